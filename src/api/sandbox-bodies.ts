// What requests about sandboxes carry, in its checked form.

import { z } from "zod";
import { displayName, egressPolicy, instant, labels, mounts, onViolation, plainText, sources } from "./fields.ts";
import { cursorText, limit, type pageQuery, queryText } from "./paging.ts";
import { Problem } from "./problem.ts";
import { fields } from "./route.ts";

const size = z.number("must be a number").min(0, "must not be negative").max(1_000_000, "is too large");
const text = plainText.max(256, "must have at most 256 characters");

export const createBody = fields({
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

export const updateBody = fields({
  labels: labels.optional(),
  sources: sources.optional(),
  onViolation: onViolation.nullish(),
  expiresAt: instant.nullish(),
  egressPolicy: egressPolicy.optional(),
});

export const secretsBody = fields({ secrets: mounts });

export const listQuery = fields({
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

export const pagedQuery = listQuery.extend({
  page: z
    .string("must be given once")
    .regex(/^[1-9]\d{0,5}(\.0+)?$/, "must be a number from 1 on")
    .transform(Number)
    .optional(),
});

export function expiry(at: number | undefined, ttlMinutes: number, now: number): number | null {
  if (at !== undefined && at <= now) throw new Problem(400, "expiresAt: must be in the future");
  const ends = [at, ttlMinutes > 0 ? Math.ceil(now + ttlMinutes * 60_000) : undefined].filter(
    (end) => end !== undefined,
  );
  return ends.length === 0 ? null : Math.min(...ends);
}

export function domainList(list: string): readonly string[] {
  const domains = list
    .split(",")
    .map((domain) => domain.trim())
    .filter((domain) => domain !== "");
  const result = egressPolicy.safeParse({ allow: domains });
  if (!result.success) throw new Problem(400, "domainAllowList: must be host names or *.example.com, comma-separated");
  return result.data.allow;
}

export function given<T>(name: string, value: T | null | undefined): Record<string, T> {
  return value === null || value === undefined ? {} : { [name]: value };
}

/** Daytona's other sort fields say nothing about a registration: creation order stands in for them. */
export function sortable(query: Omit<z.output<typeof listQuery>, "id" | "labels">): z.output<typeof pageQuery> {
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
