// /api-keys: made, listed and revoked, in Daytona's form. A key's text is in the answer that makes it and nowhere else.

import { randomBytes, randomUUID } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../core/ports.ts";
import type { ApiKeyRecord, Permission, Store } from "../core/store.ts";
import { type Caller, hashToken, permissions } from "./caller.ts";
import { displayName, instant } from "./fields.ts";
import { queryText } from "./paging.ts";
import { notFound, Problem } from "./problem.ts";
import { type AnyRoute, fields, route } from "./route.ts";

/** Organizations are above keys, which belong to one: only the bootstrap key manages them. */
const grantable = permissions.filter((permission) => permission !== "manage:organizations");

const createBody = fields({
  name: displayName,
  permissions: z
    .array(z.enum(grantable, `must be one of ${grantable.join(", ")}`), "must be an array of permissions")
    .min(1, "must name at least one permission")
    .max(grantable.length, "must not repeat permissions"),
  expiresAt: instant.nullish(),
  sandboxId: queryText.nullish(),
});

const keyAnswer = z.object({
  name: z.string(),
  value: z.string(),
  createdAt: z.iso.datetime(),
  permissions: z.array(z.string()),
  lastUsedAt: z.iso.datetime().nullable(),
  expiresAt: z.iso.datetime().nullable(),
  sandboxId: z.string().nullable(),
  userId: z.string(),
});

const tag = "API keys";
const access: readonly Permission[] = ["manage:api_keys"];

export function apiKeyRoutes(
  store: Store,
  clock: Clock,
  random: (size: number) => Uint8Array = randomBytes,
): readonly AnyRoute[] {
  return [
    route({
      method: "POST",
      path: "/api-keys",
      summary: "Make an API key; this answer alone holds it",
      tag,
      access,
      body: createBody,
      status: 201,
      answer: keyAnswer,
      faults: { 403: "A permission that the caller may not give", 409: "The name is taken" },
      handle: async ({ body, caller }) => {
        const wanted = [...new Set<Permission>(body.permissions)];
        refuseExcess(caller, wanted);
        const sandboxId = body.sandboxId ?? null;
        if (sandboxId !== null) await requireSandbox(store, caller, wanted, sandboxId);
        const expiresAt = body.expiresAt ?? null;
        if (expiresAt !== null && expiresAt <= clock()) throw new Problem(400, "expiresAt: must be in the future");
        const value = `dtn_${Buffer.from(random(32)).toString("hex")}`;
        const record = await store.apiKeys.create(
          {
            id: randomUUID(),
            organizationId: caller.organizationId,
            name: body.name,
            hash: hashToken(value),
            hint: value.slice(0, 8),
            permissions: wanted,
            sandboxId,
            expiresAt,
          },
          caller.actor,
        );
        if (record === "name-taken") throw new Problem(409, "An API key with this name already exists");
        return { ...present(record), value };
      },
    }),

    route({
      method: "GET",
      path: "/api-keys",
      summary: "List API keys, masked",
      tag,
      access,
      status: 200,
      answer: z.array(keyAnswer),
      handle: async ({ caller }) => (await store.apiKeys.list(caller.organizationId)).map(present),
    }),

    route({
      method: "GET",
      path: "/api-keys/current",
      summary: "The key of this very request",
      tag,
      access: "any-credential",
      status: 200,
      answer: keyAnswer,
      handle: async ({ caller }) => (caller.key === undefined ? presentFixed(caller) : present(caller.key)),
    }),

    route({
      method: "GET",
      path: "/api-keys/:name",
      summary: "Get an API key, masked",
      tag,
      access,
      status: 200,
      answer: keyAnswer,
      handle: async ({ params, caller }) => {
        const key = await store.apiKeys.get(caller.organizationId, params.name ?? "");
        if (key === undefined) throw notFound("API key");
        return present(key);
      },
    }),

    route({
      method: "DELETE",
      path: "/api-keys/:name",
      summary: "Revoke an API key",
      tag,
      access,
      status: 204,
      handle: async ({ params, caller }) => {
        if (!(await store.apiKeys.delete(caller.organizationId, params.name ?? "", caller.actor)))
          throw notFound("API key");
      },
    }),
  ];
}

/** Nobody gives what they do not have. Resolving goes alone, and only the bootstrap key gives it. */
function refuseExcess(caller: Caller, wanted: readonly Permission[]): void {
  if (wanted.includes("resolve:secrets")) {
    if (wanted.length > 1)
      throw new Problem(400, "permissions: resolve:secrets is for proxies and goes with no other permission");
    if (caller.kind !== "bootstrap") throw new Problem(403, "Access denied");
    return;
  }
  if (!wanted.every((permission) => caller.permissions.has(permission))) throw new Problem(403, "Access denied");
}

async function requireSandbox(store: Store, caller: Caller, wanted: readonly Permission[], id: string): Promise<void> {
  if (!wanted.includes("resolve:secrets"))
    throw new Problem(400, "sandboxId: only a key with resolve:secrets can be bound to a sandbox");
  const sandbox = await store.sandboxes.get(caller.organizationId, id);
  if (sandbox?.id !== id) throw notFound("Sandbox");
}

function present(key: ApiKeyRecord): z.input<typeof keyAnswer> {
  return {
    name: key.name,
    value: `${key.hint}********`,
    createdAt: new Date(key.createdAt).toISOString(),
    permissions: [...key.permissions],
    lastUsedAt: key.lastUsedAt === null ? null : new Date(key.lastUsedAt).toISOString(),
    expiresAt: key.expiresAt === null ? null : new Date(key.expiresAt).toISOString(),
    sandboxId: key.sandboxId,
    // Daytona's clients want one; keyswap has no users.
    userId: key.id,
  };
}

/** The keys that configuration gives have no record. */
function presentFixed(caller: Caller): z.input<typeof keyAnswer> {
  return {
    name: caller.actor.name,
    value: "********",
    createdAt: new Date(0).toISOString(),
    permissions: [...caller.permissions],
    lastUsedAt: null,
    expiresAt: null,
    sandboxId: null,
    userId: caller.kind,
  };
}
