// /sandbox: who may call through the proxy and with which secrets. keyswap starts no machines: a sandbox here is a
// registration, whose answer has every field that Daytona's clients insist on.

import { randomBytes, randomUUID } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../core/ports.ts";
import type { MountRequest, Permission, SandboxRecord, SandboxStore, SandboxWriteFault } from "../core/store.ts";
import { hashToken } from "./caller.ts";
import { nextCursor, toPageQuery } from "./paging.ts";
import { notFound, Problem } from "./problem.ts";
import { placeholderEnvironment, proxyEnvironment, proxyUrlFor } from "./proxy-settings.ts";
import { type AnyRoute, route } from "./route.ts";
import { egressAnswer, presentSandbox, sandboxAnswer, toolboxUrl } from "./sandbox-answer.ts";
import {
  createBody,
  domainList,
  expiry,
  given,
  listQuery,
  pagedQuery,
  secretsBody,
  sortable,
  updateBody,
} from "./sandbox-bodies.ts";

export interface SandboxRouteOptions {
  readonly store: SandboxStore;
  readonly clock: Clock;
  readonly proxyUrl: () => string;
  readonly caCertificate: () => string;
  readonly random?: (size: number) => Uint8Array;
}

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
        return { ...presentSandbox(outcome.sandbox, request), egress: egressOf(outcome.sandbox, token) };
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
          items: page.items.map((sandbox) => presentSandbox(sandbox, request)),
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
          items: page.items.map((sandbox) => presentSandbox(sandbox, request)),
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
        presentSandbox(await find(caller.organizationId, params.sandboxId), request),
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
        return presentSandbox(outcome.sandbox, request);
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
        return presentSandbox(outcome.sandbox, request);
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
        return { ...presentSandbox(outcome.sandbox, request), egress: egressOf(outcome.sandbox, token) };
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
        return { ...presentSandbox(sandbox, request), state: "destroyed", desiredState: "destroyed" };
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
