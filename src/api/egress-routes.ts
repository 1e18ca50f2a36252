// What proxies ask, with a credential that may resolve: a sandbox's grants with their values, the map of source
// addresses. These are the only answers that hold values.

import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { Clock } from "../core/ports.ts";
import type { Permission, Store } from "../core/store.ts";
import type { Caller } from "./caller.ts";
import { notFound, Problem } from "./problem.ts";
import type { ResolveAudit } from "./resolve-audit.ts";
import { type AnyRoute, route } from "./route.ts";

const tag = "proxies";
const access: readonly Permission[] = ["resolve:secrets"];

const grant = z.object({
  env: z.string(),
  name: z.string(),
  placeholder: z.string(),
  value: z.string(),
  hosts: z.array(z.string()),
  locations: z.array(z.string()).nullable(),
  onViolation: z.enum(["pass", "block"]).nullable(),
});

export const egressAnswer = z
  .object({
    sandboxId: z.string(),
    organizationId: z.string(),
    version: z.string(),
    tokenHash: z.string(),
    sources: z.array(z.string()),
    onViolation: z.enum(["pass", "block"]).nullable(),
    egress: z.object({ allow: z.array(z.string()), deny: z.array(z.string()) }),
    grants: z.array(grant),
  })
  .meta({ title: "Egress" });

export function egressRoutes(store: Store, clock: Clock, audit: ResolveAudit): readonly AnyRoute[] {
  return [
    route({
      method: "GET",
      path: "/sandbox/:sandboxId/egress",
      summary: "A sandbox's grants with their values; conditional by ETag",
      tag,
      access,
      status: 200,
      answer: egressAnswer,
      faults: { 304: "Unchanged" },
      handle: async ({ params, caller, request, reply }) => {
        const id = await permittedSandbox(store, clock, caller, params.sandboxId ?? "", (version) =>
          isUnchanged(request, reply, version),
        );
        if (id === "unchanged") return undefined;
        const record = await store.egress.resolve(id, clock());
        if (record === undefined) throw notFound("Sandbox");
        reply.header("etag", `"${record.version}"`);
        audit.resolved(caller, record);
        return {
          sandboxId: record.sandboxId,
          organizationId: record.organizationId,
          version: String(record.version),
          tokenHash: record.tokenHash,
          sources: record.sources,
          onViolation: record.onViolation,
          egress: record.egress,
          grants: record.grants.map((each) => ({ ...each, value: each.value.reveal().toString("utf8") })),
        };
      },
    }),

    route({
      method: "GET",
      path: "/sandbox/:sandboxId/secrets",
      summary: "Daytona's resolve call: the same grants in its form",
      tag,
      access,
      status: 200,
      answer: z.array(grant.pick({ env: true, placeholder: true, value: true, hosts: true })),
      handle: async ({ params, caller }) => {
        const id = await permittedSandbox(store, clock, caller, params.sandboxId ?? "", () => false);
        const record = id === "unchanged" ? undefined : await store.egress.resolve(id, clock());
        if (record === undefined) throw notFound("Sandbox");
        audit.resolved(caller, record);
        return record.grants.map((each) => ({
          env: each.env,
          placeholder: each.placeholder,
          value: each.value.reveal().toString("utf8"),
          hosts: each.hosts,
        }));
      },
    }),

    route({
      method: "GET",
      path: "/egress/sources",
      summary: "Which source addresses belong to which sandbox; conditional by ETag",
      tag,
      access,
      status: 200,
      answer: z.object({
        version: z.string(),
        sources: z.array(z.object({ cidr: z.string(), sandboxId: z.string() })),
      }),
      faults: { 304: "Unchanged" },
      handle: async ({ caller, request, reply }) => {
        if (caller.sandboxId !== null) throw new Problem(403, "Access denied");
        // The version before the rows: an answer may be newer than it says, never older.
        const version = await store.egress.sourcesVersion();
        if (isUnchanged(request, reply, version)) return undefined;
        const sources = await store.egress.sources(caller.everyOrganization ? null : caller.organizationId);
        reply.header("etag", `"${version}"`);
        return { version: String(version), sources };
      },
    }),
  ];
}

/** Throws 404 for what the caller may not see, as for what does not exist. */
async function permittedSandbox(
  store: Store,
  clock: Clock,
  caller: Caller,
  id: string,
  unchanged: (version: number) => boolean,
): Promise<string> {
  const found = await store.egress.find(id, clock());
  const isVisible =
    found !== undefined &&
    (caller.everyOrganization || caller.organizationId === found.organizationId) &&
    (caller.sandboxId === null || caller.sandboxId === id);
  if (!isVisible) throw notFound("Sandbox");
  return unchanged(found.version) ? "unchanged" : id;
}

/** Answers 304 where the client has this version. */
function isUnchanged(request: FastifyRequest, reply: FastifyReply, version: number): boolean {
  const tags = request.headers["if-none-match"];
  if (tags === undefined) return false;
  const matches = tags.split(",").some((each) => each.trim().replace(/^W\//, "") === `"${version}"`);
  if (matches) reply.code(304).header("etag", `"${version}"`);
  return matches;
}
