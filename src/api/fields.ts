// The checked forms of what requests carry. Messages are our own words; what was sent is never part of one.

import { z } from "zod";
import { type Cidr, parseCidr } from "../core/authority/ip.ts";
import { parseHostPattern } from "../core/authority/pattern.ts";
import { parseLocation } from "../core/location.ts";
import { SecretValue } from "../core/secret-value.ts";
import type { SourceRange } from "../core/store.ts";
import { parsePlaceholder } from "../core/substitution/placeholder.ts";
import { judgeHost, MAX_HOSTS } from "./hosts.ts";

export const MAX_VALUE_BYTES = 64 * 1024;
export const MAX_NAME_LENGTH = 256;
export const MAX_DESCRIPTION_LENGTH = 4_096;
export const MAX_OWN_PLACEHOLDER_LENGTH = 512;
export const MAX_MOUNTS = 1_000;
export const MAX_SOURCES = 64;
const MAX_LOCATIONS = 64;

/** Text that every database takes and gives back unchanged. */
export const plainText = z
  .string("must be a string")
  .refine((text) => text.isWellFormed() && !text.includes("\0"), "must be well-formed text without NUL");

export const secretName = z
  .string("must be a string")
  .max(MAX_NAME_LENGTH, `must have at most ${MAX_NAME_LENGTH} characters`)
  .regex(
    /^[a-zA-Z_][a-zA-Z0-9_-]*$/,
    "must start with a letter or underscore and hold only letters, digits, hyphens and underscores",
  )
  .meta({ description: "Unique within the organization." });

/** Kept exactly; bytes are UTF-8. The value leaves the request's body here and goes on as a SecretValue. */
export const secretValue = z
  .string("must be a string")
  .refine((text) => text.length > 0, "must not be empty")
  .refine((text) => text.isWellFormed(), "must be well-formed Unicode")
  .refine((text) => Buffer.byteLength(text) <= MAX_VALUE_BYTES, `must have at most ${MAX_VALUE_BYTES} bytes`)
  .meta({ description: "Write-only.", writeOnly: true });

export const description = plainText.max(
  MAX_DESCRIPTION_LENGTH,
  `must have at most ${MAX_DESCRIPTION_LENGTH} characters`,
);

export const hosts = z
  .array(
    z.string("must be a string").superRefine((text, context) => {
      const verdict = judgeHost(text);
      if (verdict.kind === "refused") context.addIssue({ code: "custom", message: verdict.detail });
    }),
    "must be an array of host names",
  )
  .max(MAX_HOSTS, `must have at most ${MAX_HOSTS} entries`)
  .meta({
    description: "Host names or *.example.com (the domain itself and every name below it). Empty: unrestricted.",
  });

export const locations = z
  .array(
    z
      .string("must be a string")
      .refine(
        (text) => text.length <= 256 && parseLocation(text).kind === "location",
        "must be header, basic, path, query, body or base64, or one part of it, as header:x-api-key",
      ),
    "must be an array of locations",
  )
  .min(1, "must name at least one location, or be null")
  .max(MAX_LOCATIONS, `must have at most ${MAX_LOCATIONS} entries`)
  .meta({ description: "Where in a request the value may be written; null: the deployment's default." });

export const onViolation = z.enum(["pass", "block"], "must be pass or block");

export const ownPlaceholder = z
  .string("must be a string")
  .max(MAX_OWN_PLACEHOLDER_LENGTH, `must have at most ${MAX_OWN_PLACEHOLDER_LENGTH} characters`)
  .superRefine((text, context) => {
    const result = parsePlaceholder(text);
    if (result.kind === "own") return;
    const message =
      result.kind === "invalid" ? `must be: ${result.detail}` : "must not be of the form that is made here";
    context.addIssue({ code: "custom", message });
  })
  .meta({ description: "The caller's own literal that stands for the value." });

/** Daytona's `[{"ENV": "secret-name"}]`, each entry with exactly one key. */
export const mounts = z
  .array(z.record(z.string(), z.unknown(), "must be an object with one key"), "must be an array of {ENV: secret name}")
  .max(MAX_MOUNTS, `must have at most ${MAX_MOUNTS} entries`)
  .transform((entries, context) => {
    const seen = new Set<string>();
    return entries.map((entry, index) => {
      const refuse = (message: string) => {
        context.addIssue({ code: "custom", message, path: [index] });
        return z.NEVER;
      };
      const [pair, ...more] = Object.entries(entry);
      if (pair === undefined || more.length > 0) return refuse("must have exactly one key");
      const [env, secretName] = pair;
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(env) || env.length > MAX_NAME_LENGTH)
        return refuse("the key must be the name of an environment variable");
      if (typeof secretName !== "string" || secretName.includes("\0") || secretName.length > MAX_NAME_LENGTH)
        return refuse("the value must be the name of a secret");
      if (seen.has(env)) return refuse("repeats an environment variable");
      seen.add(env);
      return { env, secretName };
    });
  });

export const sources = z
  .array(
    z.string("must be a string").transform((text, context): SourceRange => {
      const cidr = parseCidr(text);
      if (cidr !== undefined) return rangeOf(cidr);
      context.addIssue({ code: "custom", message: "must be an address or CIDR block without bits beyond its prefix" });
      return z.NEVER;
    }),
    "must be an array of CIDR blocks",
  )
  .max(MAX_SOURCES, `must have at most ${MAX_SOURCES} entries`);

const hostPatterns = z
  .array(
    z.string("must be a string").superRefine((text, context) => {
      const result = parseHostPattern(text);
      if (result.kind === "invalid") context.addIssue({ code: "custom", message: result.detail });
    }),
    "must be an array of host patterns",
  )
  .max(1_000, "must have at most 1000 entries");

export const egressPolicy = z.object(
  { allow: hostPatterns.default([]), deny: hostPatterns.default([]) },
  "must be an object with allow and deny",
);

/** RFC 3339; milliseconds since the epoch from here on. */
export const instant = z.string("must be a date and time as 2026-01-31T12:00:00Z").transform((text, context) => {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (!Number.isNaN(time)) return time;
  context.addIssue({ code: "custom", message: "must be a date and time as 2026-01-31T12:00:00Z" });
  return z.NEVER;
});

export const labels = z
  .record(
    plainText.max(256, "keys must have at most 256 characters"),
    plainText.max(1_024, "values must have at most 1024 characters"),
    "must be an object of strings",
  )
  .refine((record) => Object.keys(record).length <= 64, "must have at most 64 entries");

/** A name for a sandbox, an API key or an organization: one line. */
export const displayName = plainText
  .min(1, "must not be empty")
  .max(MAX_NAME_LENGTH, `must have at most ${MAX_NAME_LENGTH} characters`)
  .refine(
    (text) => !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text) && text.trim() === text,
    "must be one line without blanks around it",
  );

export function asSecretValue(name: string, value: string): SecretValue {
  return new SecretValue(name, value);
}

function rangeOf(cidr: Cidr): SourceRange {
  const width = cidr.family === 4 ? 32 : 128;
  const shift = BigInt(width - cidr.prefix);
  const base = cidr.family === 4 ? 0xffff_0000_0000n : 0n;
  const first = base + (cidr.network << shift);
  const last = first + (1n << shift) - 1n;
  const hex = (address: bigint) => address.toString(16).padStart(32, "0");
  return { cidr: cidr.text, first: hex(first), last: hex(last) };
}
