// Who calls: a bearer credential, and what it may do.

import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Clock } from "../core/ports.ts";
import type { Actor, ApiKeyRecord, Permission, Store } from "../core/store.ts";
import type { LoginGuard } from "./login-guard.ts";
import { Problem } from "./problem.ts";
import { requireSameOrigin, type Sessions } from "./sessions.ts";

export const permissions = [
  "manage:secrets",
  "write:sandboxes",
  "delete:sandboxes",
  "resolve:secrets",
  "read:audit_logs",
  "manage:api_keys",
  "manage:organizations",
] as const satisfies readonly Permission[];

export interface Caller {
  readonly kind: "bootstrap" | "proxy" | "key";
  readonly actor: Actor;
  /** Whose secrets and sandboxes this call is about. */
  readonly organizationId: string;
  /** Resolves the sandboxes of all organizations. */
  readonly everyOrganization: boolean;
  readonly permissions: ReadonlySet<Permission>;
  /** Bound to this sandbox alone. */
  readonly sandboxId: string | null;
  /** The stored key, where it is one. */
  readonly key: ApiKeyRecord | undefined;
}

/** How often at most a key's last use is noted. */
const TOUCH_INTERVAL_MS = 60_000;

export function hashToken(token: string): string {
  return `sha256:${createHash("sha256").update(token, "utf8").digest("hex")}`;
}

export class Callers {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #bootstrapHash: string | undefined;
  readonly #proxyHash: string | undefined;
  readonly #sessions: Sessions;
  readonly #guard: LoginGuard;

  constructor(
    store: Store,
    clock: Clock,
    sessions: Sessions,
    guard: LoginGuard,
    keys: { apiKey?: string | undefined; proxyKey?: string | undefined },
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#sessions = sessions;
    this.#guard = guard;
    this.#bootstrapHash = keys.apiKey === undefined ? undefined : hashToken(keys.apiKey);
    this.#proxyHash = keys.proxyKey === undefined ? undefined : hashToken(keys.proxyKey);
  }

  /**
   * By the bearer credential, else by the console's session. Throws 401 where there is none of ours, 403 across sites, and
   * 429 where too many were shown from `address`.
   */
  of(headers: IncomingHttpHeaders, address: string): Promise<Caller> {
    const { authorization } = headers;
    if (authorization === undefined) return this.#inSession(headers, chosenBy(headers));
    const hash = hashOfBearer(authorization);
    // What is no bearer's counts as one guess, whatever it is.
    const identify = () => (hash === undefined ? refuse() : this.#byHash(hash, chosenBy(headers)));
    return this.#guard.judge(address, hash ?? "", identify);
  }

  /** As `of`, for a call that was let in with the same headers and goes on: it is judged anew, and does not count. */
  async again(headers: IncomingHttpHeaders): Promise<Caller> {
    const { authorization } = headers;
    if (authorization === undefined) return this.#inSession(headers, chosenBy(headers));
    const hash = hashOfBearer(authorization);
    return hash === undefined ? refuse() : this.#byHash(hash, chosenBy(headers));
  }

  /** The holder of the API key with this hash, who signs in from `address`. Throws 401 and 429 like `of`. */
  signIn(hash: string, address: string): Promise<Caller> {
    return this.#guard.judge(address, hash, () => this.#byHash(hash, undefined));
  }

  /** The holder of the key with this hash, judged anew: a key that was revoked since is none. */
  async #byHash(hash: string, organization: string | undefined): Promise<Caller> {
    const { defaultId } = this.#store.organizations;
    if (equalHashes(hash, this.#proxyHash))
      return {
        kind: "proxy",
        actor: { kind: "proxy", name: "proxy" },
        organizationId: defaultId,
        everyOrganization: true,
        permissions: new Set<Permission>(["resolve:secrets"]),
        sandboxId: null,
        key: undefined,
      };
    if (equalHashes(hash, this.#bootstrapHash))
      return {
        kind: "bootstrap",
        actor: { kind: "bootstrap", name: "bootstrap" },
        organizationId: await this.#chosen(organization),
        everyOrganization: false,
        permissions: new Set(permissions.filter((permission) => permission !== "resolve:secrets")),
        sandboxId: null,
        key: undefined,
      };
    return this.#keyHolder(hash);
  }

  async #inSession(headers: IncomingHttpHeaders, organization: string | undefined): Promise<Caller> {
    const keyHash = this.#sessions.find(headers.cookie);
    if (keyHash === undefined) throw unauthorized();
    requireSameOrigin(headers);
    const caller = await this.#byHash(keyHash, organization);
    // Values are for proxies: no page gets to resolve, whatever its key may do elsewhere.
    return { ...caller, permissions: new Set([...caller.permissions].filter((each) => each !== "resolve:secrets")) };
  }

  async #keyHolder(hash: string): Promise<Caller> {
    const key = await this.#store.apiKeys.findByHash(hash);
    const now = this.#clock();
    if (key === undefined || (key.expiresAt !== null && key.expiresAt <= now)) throw unauthorized();
    if (key.lastUsedAt === null || now - key.lastUsedAt >= TOUCH_INTERVAL_MS) {
      // Only a convenience for the list of keys: a failure must not fail the call.
      this.#store.apiKeys.touch(key.id, now).catch(() => undefined);
    }
    return {
      kind: "key",
      actor: { kind: "key", name: key.name },
      organizationId: key.organizationId,
      everyOrganization: false,
      permissions: new Set(key.permissions),
      sandboxId: key.sandboxId,
      key,
    };
  }

  async #chosen(organization: string | undefined): Promise<string> {
    const { defaultId } = this.#store.organizations;
    if (organization === undefined || organization === "" || organization === defaultId) return defaultId;
    if (organization.includes("\0") || (await this.#store.organizations.get(organization)) === undefined)
      throw new Problem(404, "Organization not found");
    return organization;
  }
}

export function requirePermission(caller: Caller, anyOf: readonly Permission[]): void {
  if (!anyOf.some((permission) => caller.permissions.has(permission))) throw new Problem(403, "Access denied");
}

/** The organization that a caller who may choose has chosen. */
function chosenBy(headers: IncomingHttpHeaders): string | undefined {
  const organization = headers["x-daytona-organization-id"];
  return typeof organization === "string" ? organization : undefined;
}

/** Undefined for what is no bearer's credential. */
function hashOfBearer(authorization: string): string | undefined {
  const token = /^Bearer +([\x21-\x7e]{1,4096})$/i.exec(authorization)?.[1];
  return token === undefined ? undefined : hashToken(token);
}

async function refuse(): Promise<never> {
  throw unauthorized();
}

function unauthorized(): Problem {
  return new Problem(401, "Invalid credentials", { "www-authenticate": "Bearer" });
}

function equalHashes(a: string, b: string | undefined): boolean {
  return b !== undefined && a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
