// What the Secret API's trail can say was done.

/** `what.verb`, as an audit entry names it and as the trail is filtered by. */
export const changeActions = [
  "secret.create",
  "secret.update",
  "secret.delete",
  "sandbox.create",
  "sandbox.update",
  "sandbox.update_secrets",
  "sandbox.resolve",
  "sandbox.delete",
  "sandbox.expire",
  "api_key.create",
  "api_key.delete",
  "organization.create",
  "organization.update",
  "master_key.rotate",
] as const;

export type ChangeAction = (typeof changeActions)[number];
