// /secret: create, list, get, update, delete. A value comes in and never goes out.

import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { SecretValue } from "../core/secret-value.ts";
import type { NewSecret, SecretPatch, SecretRecord, SecretStore } from "../core/store.ts";
import { isEntangled, placeholderFor } from "../core/substitution/placeholder.ts";
import { shortValueWarning } from "../core/substitution/scrub-bounds.ts";
import {
  asSecretValue,
  description,
  hosts,
  locations,
  onViolation,
  ownPlaceholder,
  secretName,
  secretValue,
} from "./fields.ts";
import { judgeHost } from "./hosts.ts";
import { nextCursor, pageQuery, toPageQuery } from "./paging.ts";
import { notFound, Problem } from "./problem.ts";
import { type AnyRoute, fields, route } from "./route.ts";

/** Daytona's bare list fails beyond this many. */
export const MAX_BARE_LIST = 1_500;
const PLACEHOLDER_TRIES = 3;

const createBody = fields({
  name: secretName,
  value: secretValue,
  description: description.nullish(),
  hosts: hosts.optional(),
  locations: locations.nullish(),
  onViolation: onViolation.nullish(),
  placeholder: ownPlaceholder.optional(),
});

const updateBody = fields({
  value: secretValue.optional(),
  description: description.nullish(),
  hosts: hosts.optional(),
  locations: locations.nullish(),
  onViolation: onViolation.nullish(),
  placeholder: ownPlaceholder.optional(),
});

const updateQuery = fields({
  unrestricted: z.enum(["true", "false"], "must be true or false").optional(),
});

export const secretAnswer = z
  .object({
    id: z.string(),
    name: z.string(),
    description: z.string().optional(),
    createdAt: z.iso.datetime(),
    placeholder: z.string(),
    hosts: z.array(z.string()),
    updatedAt: z.iso.datetime(),
    locations: z.array(z.string()).optional(),
    onViolation: z.enum(["pass", "block"]).optional(),
    warnings: z.array(z.string()).optional(),
  })
  .meta({ title: "Secret" });

const tag = "secrets";
const access = ["manage:secrets"] as const;

export function secretRoutes(
  store: SecretStore,
  random: (size: number) => Uint8Array = randomBytes,
): readonly AnyRoute[] {
  return [
    route({
      method: "POST",
      path: "/secret",
      summary: "Create a secret",
      tag,
      access,
      body: createBody,
      status: 201,
      answer: secretAnswer,
      faults: { 409: "The name or placeholder is taken" },
      handle: async ({ body, caller }) => {
        const value = asSecretValue(body.name, body.value);
        if (body.placeholder !== undefined && isEntangled(value.reveal(), body.placeholder)) throw entangled();
        const warnings = hostWarnings(body.hosts ?? []);
        const notes = notesOf(warnings, value);
        for (let attempt = 1; ; attempt++) {
          const secret: NewSecret = {
            organizationId: caller.organizationId,
            name: body.name,
            value,
            description: body.description ?? null,
            hosts: body.hosts ?? [],
            locations: body.locations ?? null,
            onViolation: body.onViolation ?? null,
            placeholder: body.placeholder ?? placeholderFor((count) => randomChars(random, count), value.byteLength),
            ownPlaceholder: body.placeholder !== undefined,
          };
          const outcome = await store.create(secret, caller.actor, notes);
          switch (outcome.kind) {
            case "created":
              return present(outcome.secret, warnings);
            case "name-taken":
              throw new Problem(409, "A secret with this name already exists");
            case "placeholder-taken":
              if (body.placeholder === undefined && attempt < PLACEHOLDER_TRIES) continue;
              throw new Problem(409, "The placeholder is taken, part of another one, or holds another one");
            case "over-quota":
              throw new Problem(400, `The organization's quota of ${outcome.quota} secrets is used up`);
            default:
              return outcome satisfies never;
          }
        }
      },
    }),

    route({
      method: "GET",
      path: "/secret",
      summary: "List all secrets (deprecated: use /secret/paginated)",
      tag,
      access,
      status: 200,
      answer: z.array(secretAnswer),
      handle: async ({ caller }) => {
        const page = await store.list(caller.organizationId, {
          limit: MAX_BARE_LIST,
          sort: "createdAt",
          order: "desc",
        });
        if (page.more)
          throw new Problem(400, `There are more than ${MAX_BARE_LIST} secrets; list them with GET /secret/paginated`);
        return page.items.map((secret) => present(secret));
      },
    }),

    route({
      method: "GET",
      path: "/secret/paginated",
      summary: "List secrets in pages",
      tag,
      access,
      query: pageQuery,
      status: 200,
      answer: z.object({ items: z.array(secretAnswer), total: z.number(), nextCursor: z.string().nullable() }),
      handle: async ({ query, caller }) => {
        const wanted = toPageQuery(query);
        const page = await store.list(caller.organizationId, wanted);
        return {
          items: page.items.map((secret) => present(secret)),
          total: page.total,
          nextCursor: nextCursor(page, wanted),
        };
      },
    }),

    route({
      method: "GET",
      path: "/secret/:secretId",
      summary: "Get a secret",
      tag,
      access,
      status: 200,
      answer: secretAnswer,
      handle: async ({ params, caller }) => {
        const secret = await store.get(caller.organizationId, params.secretId ?? "");
        if (secret === undefined) throw notFound("Secret");
        return present(secret);
      },
    }),

    route({
      method: "PATCH",
      path: "/secret/:secretId",
      summary: "Update a secret; absent fields stay, the placeholder stays when the value changes",
      tag,
      access,
      query: updateQuery,
      body: updateBody,
      status: 200,
      answer: secretAnswer,
      faults: { 409: "The placeholder is taken" },
      handle: async ({ params, query, body, caller, request }) => {
        const id = params.secretId ?? "";
        const value = body.value === undefined ? undefined : asSecretValue(id, body.value);
        const warnings = hostWarnings(body.hosts ?? []);
        // Daytona's Java SDK sends `"hosts":[]` with every update that does not set them: taken literally, rotating a
        // value would make the secret unrestricted.
        const keepRestriction =
          request.headers["x-daytona-source"] === "sdk-java" &&
          query.unrestricted !== "true" &&
          body.hosts?.length === 0;
        const patch: SecretPatch = {
          ...(value === undefined ? {} : { value }),
          ...(body.description === undefined ? {} : { description: body.description }),
          ...(body.hosts === undefined ? {} : { hosts: body.hosts }),
          ...(body.locations === undefined ? {} : { locations: body.locations }),
          ...(body.onViolation === undefined ? {} : { onViolation: body.onViolation }),
          ...(body.placeholder === undefined ? {} : { placeholder: body.placeholder }),
          keepRestriction,
        };
        const outcome = await store.update(caller.organizationId, id, patch, caller.actor, notesOf(warnings, value));
        switch (outcome.kind) {
          case "updated":
            return present(outcome.secret, warnings);
          case "not-found":
            throw notFound("Secret");
          case "placeholder-taken":
            throw new Problem(409, "The placeholder is taken, part of another one, or holds another one");
          case "placeholder-in-value":
            throw entangled();
          case "placeholder-without-value":
            throw new Problem(
              400,
              "A new placeholder needs the value as well: the two must not be part of each other, and a stored value is not compared",
            );
          default:
            return outcome satisfies never;
        }
      },
    }),

    route({
      method: "DELETE",
      path: "/secret/:secretId",
      summary: "Delete a secret; sandboxes that mount it can no longer use it",
      tag,
      access,
      status: 204,
      handle: async ({ params, caller }) => {
        if (!(await store.delete(caller.organizationId, params.secretId ?? "", caller.actor))) throw notFound("Secret");
      },
    }),
  ];
}

/** A secret as Daytona's clients read it. The value is not in the record to begin with. */
export function present(secret: SecretRecord, warnings: readonly string[] = []): z.input<typeof secretAnswer> {
  return {
    id: secret.id,
    name: secret.name,
    ...(secret.description === null ? {} : { description: secret.description }),
    createdAt: new Date(secret.createdAt).toISOString(),
    placeholder: secret.placeholder,
    hosts: [...secret.hosts],
    updatedAt: new Date(secret.updatedAt).toISOString(),
    ...(secret.locations === null ? {} : { locations: [...secret.locations] }),
    ...(secret.onViolation === null ? {} : { onViolation: secret.onViolation }),
    ...(warnings.length === 0 ? {} : { warnings: [...warnings] }),
  };
}

/** Unbiased characters of [a-z0-9]: bytes from 252 on are thrown away, since 256 is no multiple of 36. */
export function randomChars(random: (size: number) => Uint8Array, count: number): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  let chars = "";
  // Each draw keeps 98 % of its bytes; a source that gives none is broken.
  for (let draw = 0; chars.length < count; draw++) {
    if (draw === 100) throw new Error("the random source gives no usable bytes");
    for (const byte of random(count + 16)) {
      if (byte < 252 && chars.length < count) chars += alphabet[byte % 36];
    }
  }
  return chars;
}

function hostWarnings(list: readonly string[]): readonly string[] {
  return list.flatMap((text) => {
    const verdict = judgeHost(text);
    return verdict.kind === "accepted" && verdict.warning !== undefined ? [verdict.warning] : [];
  });
}

/** For the audit. An answer does not tell of a short value: whoever gave it knows, and others have no field for it. */
function notesOf(
  ofHosts: readonly string[],
  value: SecretValue | undefined,
): { readonly warnings?: readonly string[] } {
  const ofValue = value === undefined ? undefined : shortValueWarning(value.byteLength);
  const warnings = ofValue === undefined ? ofHosts : [...ofHosts, ofValue];
  return warnings.length === 0 ? {} : { warnings };
}

function entangled(): Problem {
  return new Problem(400, "The value and the placeholder must not be part of each other");
}
