// What programs import from the package: the client for secrets.

export * from "./sdk/errors.ts";
export { SecretService } from "./sdk/secret-service.ts";
export type { SecretServiceOptions } from "./sdk/transport.ts";
export type * from "./sdk/types.ts";
