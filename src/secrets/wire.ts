// The Secret API's answers: bytes in, checked types out. Strict and all or nothing: one malformed grant makes the whole
// answer malformed, since a dropped grant could be the narrower of two. What is wrong is told by place ("grants[2].hosts"),
// never by content: contents are values.

import { z } from "zod";
import { type Cidr, parseCidr } from "../core/authority/ip.ts";
import { parseHostPattern } from "../core/authority/pattern.ts";
import { parseEgressPattern } from "../core/authority/policy.ts";
import type { Grant, SandboxGrants } from "../core/grants.ts";
import { parseLocation } from "../core/location.ts";
import { SecretValue } from "../core/secret-value.ts";

export type Parsed<T> =
  | { readonly kind: "parsed"; readonly value: T }
  | { readonly kind: "malformed"; readonly detail: string };

export interface SourceEntry {
  readonly cidr: Cidr;
  readonly sandboxId: string;
}

/** One message of the change stream. */
export type ChangeMessage =
  | { readonly kind: "hello"; readonly version: string }
  | { readonly kind: "heartbeat"; readonly version: string }
  | { readonly kind: "reset"; readonly version: string | undefined }
  | {
      readonly kind: "change";
      readonly version: string;
      readonly sandboxes: readonly string[];
      /** Of a secret that changed and is mounted in too many sandboxes to name them: whoever holds it has changed. */
      readonly placeholder?: string | undefined;
      readonly sources: boolean;
    }
  /** Of an event we do not know. */
  | { readonly kind: "other" };

/**
 * What a sandbox may be called. Starts with a letter, digit or underscore, so that no id is a dot segment in a path: callers
 * choose what they claim to be.
 */
export const sandboxIdPattern = /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}$/;

/** The shortest literal that may stand for a value: anything shorter would be met by chance. */
const minPlaceholderLength = 19;
const maxPlaceholderLength = 1024;

/** Text by `parse`, whose undefined means malformed. */
function parsed<T>(parse: (text: string) => T | undefined) {
  return z.string().transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: "malformed" });
    return z.NEVER;
  });
}

const sandboxId = z.string().regex(sandboxIdPattern);
const version = z.string().min(1).max(256);
const cidr = parsed(parseCidr);
const hostPattern = parsed((text) => {
  const result = parseHostPattern(text);
  return result.kind === "pattern" ? result.pattern : undefined;
});
const egressPattern = parsed((text) => {
  const result = parseEgressPattern(text);
  return result.kind === "pattern" ? result.pattern : undefined;
});
const location = parsed((text) => {
  const result = parseLocation(text);
  return result.kind === "location" ? result.location : undefined;
});
const onViolation = z.enum(["pass", "block"]).nullable();
const placeholder = z
  .string()
  .min(minPlaceholderLength)
  .max(maxPlaceholderLength)
  .regex(/^[\x21-\x7e]+$/);
// A lone surrogate has no UTF-8 form: the value that goes out would not be the one that was stored.
const value = z.string().refine((text) => text.isWellFormed());
const envName = z.string().min(1).max(1024);

const mount = z.object({ env: envName, placeholder, value, hosts: z.array(hostPattern) });
const grant = mount.extend({
  name: z.string().min(1).max(1024),
  // Required although null is common: an answer that lost a restriction on its way must not read as unrestricted.
  locations: z.array(location).nullable(),
  onViolation,
});

const egressAnswer = z.object({
  sandboxId,
  version,
  tokenHash: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  sources: z.array(cidr),
  onViolation,
  egress: z.object({ allow: z.array(egressPattern), deny: z.array(egressPattern) }),
  grants: z.array(grant),
});

const sourcesAnswer = z.object({ version, sources: z.array(z.object({ cidr, sandboxId })) });
const reportAnswer = z.object({ caFingerprint: z.string().max(128).nullable() });
const notFoundAnswer = z.object({ statusCode: z.literal(404) });

const positionMessage = z.object({ version });
const resetMessage = z.object({ version: version.optional() });
const changeMessage = z.object({
  version,
  sandboxes: z.array(z.string().max(1024)),
  placeholder: z.string().min(1).max(maxPlaceholderLength).optional(),
  sources: z.boolean(),
});

/** The answer of `GET /sandbox/{id}/egress`. */
export function parseEgressAnswer(body: Buffer, expectedId: string): Parsed<SandboxGrants> {
  const read = parseJson(body, egressAnswer);
  if (read.kind === "malformed") return read;
  const answer = read.value;
  if (answer.sandboxId !== expectedId) return malformed("sandboxId");
  return joinGrants(
    answer.grants.map((each) => ({
      env: each.env,
      name: each.name,
      placeholder: each.placeholder,
      value: new SecretValue(each.name, each.value),
      hosts: each.hosts,
      locations: each.locations ?? undefined,
      onViolation: each.onViolation ?? undefined,
    })),
    {
      sandboxId: answer.sandboxId,
      version: answer.version,
      tokenHash: answer.tokenHash,
      sources: answer.sources,
      onViolation: answer.onViolation ?? undefined,
      egress: answer.egress,
    },
  );
}

/** The answer of Daytona's `GET /sandbox/{id}/secrets`. It names no secrets, so messages show the variables' names. */
export function parseResolveAnswer(body: Buffer, id: string, versionOfBody: string): Parsed<SandboxGrants> {
  const read = parseJson(body, z.array(mount));
  if (read.kind === "malformed") return read;
  return joinGrants(
    read.value.map((each) => ({
      env: each.env,
      name: each.env,
      placeholder: each.placeholder,
      value: new SecretValue(each.env, each.value),
      hosts: each.hosts,
      locations: undefined,
      onViolation: undefined,
    })),
    {
      sandboxId: id,
      version: versionOfBody,
      tokenHash: undefined,
      sources: [],
      onViolation: undefined,
      egress: { allow: [], deny: [] },
    },
  );
}

/** The answer of `POST /egress/proxies`. */
export function parseReportAnswer(body: Buffer): Parsed<{ readonly caFingerprint: string | undefined }> {
  const read = parseJson(body, reportAnswer);
  return read.kind === "malformed"
    ? read
    : { kind: "parsed", value: { caFingerprint: read.value.caFingerprint ?? undefined } };
}

/** The answer of `GET /egress/sources`. */
export function parseSourcesAnswer(body: Buffer): Parsed<readonly SourceEntry[]> {
  const read = parseJson(body, sourcesAnswer);
  if (read.kind === "malformed") return read;
  const owners = new Map<string, string>();
  for (const [index, entry] of read.value.sources.entries()) {
    const owner = owners.get(entry.cidr.text);
    if (owner !== undefined && owner !== entry.sandboxId) return malformed(`sources[${index}].cidr`);
    owners.set(entry.cidr.text, entry.sandboxId);
  }
  return { kind: "parsed", value: read.value.sources };
}

/** Whether this is the body of a Secret API's own 404, and not that of some server that stands in its place. */
export function isNotFoundAnswer(body: Buffer): boolean {
  return parseJson(body, notFoundAnswer).kind === "parsed";
}

/** One server-sent event of `GET /changes`. */
export function parseChangeMessage(event: string | undefined, data: string): Parsed<ChangeMessage> {
  switch (event) {
    case "hello":
    case "heartbeat": {
      const read = parseJson(data, positionMessage);
      return read.kind === "malformed" ? read : { kind: "parsed", value: { kind: event, version: read.value.version } };
    }
    case "reset": {
      const read = parseJson(data === "" ? "{}" : data, resetMessage);
      return read.kind === "malformed"
        ? read
        : { kind: "parsed", value: { kind: "reset", version: read.value.version } };
    }
    case "change": {
      const read = parseJson(data, changeMessage);
      return read.kind === "malformed" ? read : { kind: "parsed", value: { kind: "change", ...read.value } };
    }
    default:
      return { kind: "parsed", value: { kind: "other" } };
  }
}

/** Checks what no single grant shows. One secret mounted twice under two names is legal. */
function joinGrants(grants: readonly Grant[], rest: Omit<SandboxGrants, "grants" | "retired">): Parsed<SandboxGrants> {
  const byEnv = new Set<string>();
  const byPlaceholder = new Map<string, Grant>();
  for (const [index, each] of grants.entries()) {
    if (byEnv.has(each.env)) return malformed(`grants[${index}].env`);
    byEnv.add(each.env);
    const other = byPlaceholder.get(each.placeholder);
    if (other !== undefined && !other.value.equals(each.value)) return malformed(`grants[${index}].placeholder`);
    byPlaceholder.set(each.placeholder, each);
  }
  return { kind: "parsed", value: { ...rest, grants, retired: [] } };
}

function malformed(place: string): { readonly kind: "malformed"; readonly detail: string } {
  return { kind: "malformed", detail: `malformed at ${place === "" ? "its top" : place}` };
}

function parseJson<T>(text: Buffer | string, schema: z.ZodType<T>): Parsed<T> {
  let json: unknown;
  try {
    json = JSON.parse(typeof text === "string" ? text : new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    // The error is dropped: V8's message quotes what it could not read.
    return { kind: "malformed", detail: "not JSON" };
  }
  const read = schema.safeParse(json);
  if (read.success) return { kind: "parsed", value: read.data };
  // Of the issue only the place is used: it is made of our own field names and of indexes.
  return malformed(formatPlace(read.error.issues[0]?.path ?? []));
}

function formatPlace(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`))
    .join("")
    .replace(/^\./, "");
}
