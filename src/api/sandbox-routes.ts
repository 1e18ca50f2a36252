// /sandbox: who may call through the proxy and with which secrets. keyswap starts no machines: a sandbox here is a
// registration, whose answer has every field that Daytona's clients insist on.

import { randomBytes, randomUUID } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Clock } from "../core/ports.ts";
import type { MountRequest, Permission, SandboxRecord, SandboxStore, SandboxWriteFault } from "../core/store.ts";
import { hashToken } from "./caller.ts";
import { displayName, egressPolicy, instant, labels, mounts, onViolation, plainText, sources } from "./fields.ts";
import { cursorText, limit, nextCursor, type pageQuery, queryText, toPageQuery } from "./paging.ts";
import { notFound, Problem } from "./problem.ts";
import { placeholderEnvironment, proxyEnvironment, proxyUrlFor } from "./proxy-settings.ts";
import { type AnyRoute, fields, route } from "./route.ts";

export interface SandboxRouteOptions {
  readonly store: SandboxStore;
  readonly clock: Clock;
  readonly proxyUrl: () => string;
  readonly caCertificate: () => string;
  readonly random?: (size: number) => Uint8Array;
}

const size = z.number("must be a number").min(0, "must not be negative").max(1_000_000, "is too large");
const text = plainText.max(256, "must have at most 256 characters");

const createBody = fields({
  name: displayName.nullish(),
  user: text.nullish(),
  target: text.nullish(),
  snapshot: text.nullish(),
  labels: labels.nullish(),
  public: z.boolean("must be true or false").nullish(),
  cpu: size.nullish(),
  gpu: size.nullish(),
  memory: size.nullish(),
  disk: size.nullish(),
  ttlMinutes: size.nullish(),
  secrets: mounts.nullish(),
  // Daytona's network rules. What cannot be kept is refused rather than ignored.
  domainAllowList: plainText.max(16_384, "is too long").nullish(),
  networkBlockAll: z.literal(false, "is not supported: keep the sandbox from the network itself").nullish(),
  networkAllowList: z.literal("", "is not supported: use domainAllowList or egressPolicy").nullish(),
  // Ours.
  sources: sources.nullish(),
  onViolation: onViolation.nullish(),
  expiresAt: instant.nullish(),
  egressPolicy: egressPolicy.nullish(),
});

const updateBody = fields({
  labels: labels.optional(),
  sources: sources.optional(),
  onViolation: onViolation.nullish(),
  expiresAt: instant.nullish(),
  egressPolicy: egressPolicy.optional(),
});

const secretsBody = fields({ secrets: mounts });

const listQuery = fields({
  cursor: cursorText.optional(),
  limit: limit.optional(),
  id: queryText.optional(),
  name: queryText.optional(),
  labels: z
    .string("must be given once")
    .max(4_096, "is too long")
    .transform((json, context) => {
      const result = labels.safeParse(parseJson(json));
      if (result.success) return result.data;
      context.addIssue({ code: "custom", message: "must be a JSON object of strings" });
      return z.NEVER;
    })
    .optional(),
  sort: z.string("must be given once").optional(),
  order: z.enum(["asc", "desc"], "must be asc or desc").optional(),
});

const pagedQuery = listQuery.extend({
  page: z
    .string("must be given once")
    .regex(/^[1-9]\d{0,5}(\.0+)?$/, "must be a number from 1 on")
    .transform(Number)
    .optional(),
});

export const sandboxAnswer = z
  .object({
    id: z.string(),
    organizationId: z.string(),
    name: z.string(),
    user: z.string(),
    env: z.record(z.string(), z.string()).meta({ description: "The mounted secrets' placeholders." }),
    labels: z.record(z.string(), z.string()),
    public: z.boolean(),
    networkBlockAll: z.boolean(),
    domainAllowList: z.string().optional(),
    target: z.string(),
    cpu: z.number(),
    gpu: z.number(),
    memory: z.number(),
    disk: z.number(),
    toolboxProxyUrl: z.string(),
    state: z.string(),
    desiredState: z.string(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    autoDestroyAt: z.iso.datetime().optional(),
    secrets: z.array(z.record(z.string(), z.string())),
    sources: z.array(z.string()),
    onViolation: z.enum(["pass", "block"]).nullable(),
    egressPolicy: z.object({ allow: z.array(z.string()), deny: z.array(z.string()) }),
    expiresAt: z.iso.datetime().nullable(),
  })
  .meta({ title: "Sandbox" });

const egressAnswer = z.object({
  proxyUrl: z.string().meta({ description: "With the sandbox's token, which is shown this once." }),
  caCertificate: z.string(),
  env: z.record(z.string(), z.string()),
});

const tag = "sandboxes";
const write: readonly Permission[] = ["write:sandboxes"];
const read: readonly Permission[] = ["write:sandboxes", "delete:sandboxes"];

export function sandboxRoutes(options: SandboxRouteOptions): readonly AnyRoute[] {
  const { store, clock } = options;
  const random = options.random ?? randomBytes;

  const makeToken = () => Buffer.from(random(32)).toString("base64url");
  const egressOf = (sandbox: SandboxRecord, token: string) => {
    const proxyUrl = proxyUrlFor(options.proxyUrl(), sandbox.id, token);
    return {
      proxyUrl,
      caCertificate: options.caCertificate(),
      env: { ...proxyEnvironment(proxyUrl), ...placeholderEnvironment(sandbox.mounts) },
    };
  };
  const find = async (organizationId: string, idOrName: string | undefined) => {
    const sandbox = await store.get(organizationId, idOrName ?? "");
    if (sandbox === undefined) throw notFound("Sandbox");
    return sandbox;
  };

  return [
    route({
      method: "POST",
      path: "/sandbox",
      summary: "Register a sandbox; the answer alone carries its proxy credentials",
      tag,
      access: write,
      body: createBody,
      status: 200,
      answer: sandboxAnswer.extend({ egress: egressAnswer }),
      faults: { 404: "A secret of that name does not exist", 409: "The name or a source address is taken" },
      handle: async ({ body, caller, request }) => {
        const token = makeToken();
        const now = clock();
        const id = randomUUID();
        const outcome = await store.create(
          {
            id,
            organizationId: caller.organizationId,
            name: body.name ?? id,
            tokenHash: hashToken(token),
            labels: body.labels ?? {},
            attributes: {
              ...given("user", body.user),
              ...given("target", body.target),
              ...given("snapshot", body.snapshot),
              ...given("public", body.public),
              ...given("cpu", body.cpu),
              ...given("gpu", body.gpu),
              ...given("memory", body.memory),
              ...given("disk", body.disk),
            },
            onViolation: body.onViolation ?? null,
            egress: body.egressPolicy ?? { allow: domainList(body.domainAllowList ?? ""), deny: [] },
            sources: body.sources ?? [],
            mounts: body.secrets ?? [],
            expiresAt: expiry(body.expiresAt ?? undefined, body.ttlMinutes ?? 0, now),
          },
          caller.actor,
        );
        if (outcome.kind !== "created") throw sandboxProblem(outcome, body.secrets ?? []);
        return { ...present(outcome.sandbox, request), egress: egressOf(outcome.sandbox, token) };
      },
    }),

    route({
      method: "GET",
      path: "/sandbox",
      summary: "List sandboxes in pages",
      tag,
      access: read,
      query: listQuery,
      status: 200,
      answer: z.object({ items: z.array(sandboxAnswer), total: z.number(), nextCursor: z.string().nullable() }),
      handle: async ({ query, caller, request }) => {
        const wanted = { ...toPageQuery(sortable(query)), id: query.id, labels: query.labels };
        const page = await store.list(caller.organizationId, wanted);
        return {
          items: page.items.map((sandbox) => present(sandbox, request)),
          total: page.total,
          nextCursor: nextCursor(page, wanted),
        };
      },
    }),

    route({
      method: "GET",
      path: "/sandbox/paginated",
      summary: "List sandboxes by page number (deprecated: use GET /sandbox)",
      tag,
      access: read,
      query: pagedQuery,
      status: 200,
      answer: z.object({
        items: z.array(sandboxAnswer),
        total: z.number(),
        page: z.number(),
        totalPages: z.number(),
      }),
      handle: async ({ query, caller, request }) => {
        const number = query.page ?? 1;
        const paging = toPageQuery(sortable({ ...query, cursor: undefined }));
        const page = await store.list(caller.organizationId, {
          ...paging,
          id: query.id,
          labels: query.labels,
          offset: (number - 1) * paging.limit,
        });
        return {
          items: page.items.map((sandbox) => present(sandbox, request)),
          total: page.total,
          page: number,
          totalPages: Math.ceil(page.total / paging.limit),
        };
      },
    }),

    route({
      method: "GET",
      path: "/sandbox/:sandboxId",
      summary: "Get a sandbox by id or name",
      tag,
      access: read,
      status: 200,
      answer: sandboxAnswer,
      handle: async ({ params, caller, request }) =>
        present(await find(caller.organizationId, params.sandboxId), request),
    }),

    route({
      method: "PATCH",
      path: "/sandbox/:sandboxId",
      summary: "Update a sandbox's labels, sources, rules or expiry; absent fields stay",
      tag,
      access: write,
      body: updateBody,
      status: 200,
      answer: sandboxAnswer,
      faults: { 409: "A source address is taken" },
      handle: async ({ params, body, caller, request }) => {
        const outcome = await store.update(
          caller.organizationId,
          params.sandboxId ?? "",
          {
            ...(body.labels === undefined ? {} : { labels: body.labels }),
            ...(body.sources === undefined ? {} : { sources: body.sources }),
            ...(body.onViolation === undefined ? {} : { onViolation: body.onViolation }),
            ...(body.egressPolicy === undefined ? {} : { egress: body.egressPolicy }),
            ...(body.expiresAt === undefined ? {} : { expiresAt: expiry(body.expiresAt ?? undefined, 0, clock()) }),
          },
          caller.actor,
        );
        if (outcome.kind !== "updated") throw sandboxProblem(outcome);
        return present(outcome.sandbox, request);
      },
    }),

    route({
      method: "PUT",
      path: "/sandbox/:sandboxId/secrets",
      summary: "Replace the secrets a sandbox mounts; an empty list detaches all",
      tag,
      access: write,
      body: secretsBody,
      status: 200,
      answer: sandboxAnswer,
      handle: async ({ params, body, caller, request }) => {
        const patch = { mounts: body.secrets };
        const outcome = await store.update(caller.organizationId, params.sandboxId ?? "", patch, caller.actor);
        if (outcome.kind !== "updated") throw sandboxProblem(outcome, body.secrets);
        return present(outcome.sandbox, request);
      },
    }),

    route({
      method: "POST",
      path: "/sandbox/:sandboxId/token",
      summary: "Make a new proxy token; the old one stops working",
      tag,
      access: write,
      status: 200,
      answer: sandboxAnswer.extend({ egress: egressAnswer }),
      handle: async ({ params, caller, request }) => {
        const token = makeToken();
        const patch = { tokenHash: hashToken(token) };
        const outcome = await store.update(caller.organizationId, params.sandboxId ?? "", patch, caller.actor);
        if (outcome.kind !== "updated") throw sandboxProblem(outcome);
        return { ...present(outcome.sandbox, request), egress: egressOf(outcome.sandbox, token) };
      },
    }),

    route({
      method: "DELETE",
      path: "/sandbox/:sandboxId",
      summary: "Delete a sandbox",
      tag,
      access: read,
      status: 200,
      answer: sandboxAnswer,
      handle: async ({ params, caller, request }) => {
        const sandbox = await store.delete(caller.organizationId, params.sandboxId ?? "", caller.actor);
        if (sandbox === undefined) throw notFound("Sandbox");
        return { ...present(sandbox, request), state: "destroyed", desiredState: "destroyed" };
      },
    }),

    route({
      method: "GET",
      path: "/sandbox/:sandboxId/toolbox-proxy-url",
      summary: "Where Daytona's clients look for a sandbox's toolbox; keyswap has none",
      tag,
      access: read,
      status: 200,
      answer: z.object({ url: z.string() }),
      handle: async ({ params, caller, request }) => {
        await find(caller.organizationId, params.sandboxId);
        return { url: toolboxUrl(request) };
      },
    }),
  ];
}

/** A sandbox with all the fields that the Python, Go and Java clients insist on. */
function present(sandbox: SandboxRecord, request: FastifyRequest): z.input<typeof sandboxAnswer> {
  const { attributes } = sandbox;
  const attribute = <T extends string | number | boolean>(name: string, otherwise: T): T => {
    const value = attributes[name];
    // Attributes were written from the checked body: each has its fallback's type.
    return value === undefined ? otherwise : (value as T);
  };
  const expiresAt = sandbox.expiresAt === null ? null : new Date(sandbox.expiresAt).toISOString();
  return {
    id: sandbox.id,
    organizationId: sandbox.organizationId,
    name: sandbox.name,
    user: attribute("user", "daytona"),
    env: placeholderEnvironment(sandbox.mounts),
    labels: { ...sandbox.labels },
    public: attribute("public", false),
    networkBlockAll: false,
    ...(sandbox.egress.allow.length === 0 ? {} : { domainAllowList: sandbox.egress.allow.join(",") }),
    target: attribute("target", "local"),
    cpu: attribute("cpu", 1),
    gpu: attribute("gpu", 0),
    memory: attribute("memory", 1),
    disk: attribute("disk", 1),
    ...("snapshot" in attributes ? { snapshot: attribute("snapshot", "") } : {}),
    toolboxProxyUrl: toolboxUrl(request),
    state: "started",
    desiredState: "started",
    createdAt: new Date(sandbox.createdAt).toISOString(),
    updatedAt: new Date(sandbox.updatedAt).toISOString(),
    ...(expiresAt === null ? {} : { autoDestroyAt: expiresAt }),
    secrets: sandbox.mounts.map((mount) => ({ [mount.env]: mount.secretName })),
    sources: [...sandbox.sources],
    onViolation: sandbox.onViolation,
    egressPolicy: { allow: [...sandbox.egress.allow], deny: [...sandbox.egress.deny] },
    expiresAt,
  };
}

function sandboxProblem(
  fault: SandboxWriteFault | { readonly kind: "not-found" },
  mounts: readonly MountRequest[] = [],
): Problem {
  switch (fault.kind) {
    case "not-found":
      return notFound("Sandbox");
    case "name-taken":
      return new Problem(409, "A sandbox with this name already exists");
    case "unknown-secrets": {
      // By place, not by name: the names came with the request, where a value may stand by mistake.
      const places = mounts.flatMap((mount, at) => (fault.names.includes(mount.secretName) ? [`secrets[${at}]`] : []));
      return new Problem(404, `${places.join(", ")}: no secret of this name exists in the organization`);
    }
    case "source-taken":
      return new Problem(
        409,
        "A source address range overlaps with another sandbox's, or with another one in the list",
      );
    case "too-many-secrets":
      return new Problem(400, `A sandbox of this organization may mount at most ${fault.max} secrets`);
    default:
      return fault satisfies never;
  }
}

function toolboxUrl(request: FastifyRequest): string {
  return `${request.protocol}://${request.host}/api/toolbox`;
}

function expiry(at: number | undefined, ttlMinutes: number, now: number): number | null {
  if (at !== undefined && at <= now) throw new Problem(400, "expiresAt: must be in the future");
  const ends = [at, ttlMinutes > 0 ? Math.ceil(now + ttlMinutes * 60_000) : undefined].filter(
    (end) => end !== undefined,
  );
  return ends.length === 0 ? null : Math.min(...ends);
}

function domainList(list: string): readonly string[] {
  const domains = list
    .split(",")
    .map((domain) => domain.trim())
    .filter((domain) => domain !== "");
  const result = egressPolicy.safeParse({ allow: domains });
  if (!result.success) throw new Problem(400, "domainAllowList: must be host names or *.example.com, comma-separated");
  return result.data.allow;
}

function given<T>(name: string, value: T | null | undefined): Record<string, T> {
  return value === null || value === undefined ? {} : { [name]: value };
}

/** Daytona's other sort fields say nothing about a registration: creation order stands in for them. */
function sortable(query: Omit<z.output<typeof listQuery>, "id" | "labels">): z.output<typeof pageQuery> {
  const sort = query.sort === "name" || query.sort === "updatedAt" ? query.sort : "createdAt";
  return { cursor: query.cursor, limit: query.limit, name: query.name, sort, order: query.order };
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
