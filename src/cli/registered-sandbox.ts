// A sandbox for a command's time: registered at the Secret API, renewed while the command runs, deleted after it.

import { type ApiClient, ApiError, expectObject, isObject, type JsonObject, textOf } from "./api-client.ts";
import { CliError } from "./command.ts";
import type { MountArgument } from "./mount.ts";
import { listSecretNames } from "./secret-list.ts";

export interface RegisteredSandbox extends AsyncDisposable {
  readonly id: string;
  readonly proxyUrl: string;
  readonly caCertificate: string;
  readonly placeholders: Readonly<Record<string, string>>;
}

export interface SandboxRules {
  /** Host patterns; the sandbox may reach only these. */
  readonly host?: readonly string[];
  /** `pass` or `block`. */
  readonly onViolation?: string;
}

/** A killed run leaves its sandbox behind for this long at most; it is renewed while the command runs. */
const LIFETIME_MS = 24 * 3_600_000;
const RENEWAL_MS = 3_600_000;

export async function registerSandbox(
  client: ApiClient,
  mounts: readonly MountArgument[],
  { host, onViolation }: SandboxRules,
): Promise<RegisteredSandbox> {
  const expiresAt = () => new Date(Date.now() + LIFETIME_MS).toISOString();
  const created = await create(client, mounts, {
    secrets: mounts.map(({ env, secret }) => ({ [env]: secret })),
    labels: { "keyswap-run": String(process.pid) },
    expiresAt: expiresAt(),
    ...(host === undefined ? {} : { egressPolicy: { allow: [...host], deny: [] } }),
    ...(onViolation === undefined ? {} : { onViolation }),
  });
  const id = textOf(created, "id");
  const path = `/sandbox/${encodeURIComponent(id)}`;
  const egress = expectObject(created.egress);
  const env = isObject(egress.env) ? egress.env : {};
  // A failed renewal is made good by the next; the lifetime allows for many.
  const renew = () => client.call("PATCH", path, { expiresAt: expiresAt() }).catch(() => {});
  const timer = setInterval(renew, RENEWAL_MS).unref();
  return {
    id,
    proxyUrl: textOf(egress, "proxyUrl"),
    caCertificate: textOf(egress, "caCertificate"),
    placeholders: Object.fromEntries(mounts.map((mount) => [mount.env, textOf(env, mount.env)])),
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      // The command's exit code counts; a sandbox that could not be deleted expires.
      await client.call("DELETE", path).catch(() => {});
    },
  };
}

async function create(client: ApiClient, mounts: readonly MountArgument[], body: JsonObject): Promise<JsonObject> {
  try {
    return expectObject(await client.call("POST", "/sandbox", body));
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
    const known = await listSecretNames(client);
    const missing = mounts.map(({ secret }) => secret).filter((name) => !known.has(name));
    throw new CliError(2, `there is no secret named ${missing.join(", ")}`, {
      hint: `Store it first: keyswap secret create ${missing[0]} --host api.example.com --value-stdin`,
      cause: error,
    });
  }
}
