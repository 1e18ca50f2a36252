// What the tests of request substitution share: grants, scopes, and ways to run a transform.

import fc from "fast-check";
import { parseHost } from "../../../src/core/authority/host.ts";
import { parseHostPattern } from "../../../src/core/authority/pattern.ts";
import type { Grant, Location, OnViolation, Surface } from "../../../src/core/grants.ts";
import { type BodyTransform, makeField, type RequestHead } from "../../../src/core/message.ts";
import { SecretValue } from "../../../src/core/secret-value.ts";
import { GrantIndex } from "../../../src/core/substitution/grant-index.ts";
import { SubstitutionScope } from "../../../src/core/substitution/scope.ts";

/** A placeholder of our grammar whose characters all tell which one it is. */
export function placeholder(seed: string, length = 41): string {
  return `dtn_secret_${seed.repeat(length).slice(0, length - 11)}`;
}

export interface GrantOptions {
  readonly placeholder?: string;
  readonly hosts?: readonly string[];
  readonly locations?: readonly string[];
  readonly onViolation?: OnViolation;
}

export function parseLocation(text: string): Location {
  const colon = text.indexOf(":");
  // The tests write surfaces by hand; a wrong one shows as a refused substitution.
  const surface = (colon < 0 ? text : text.slice(0, colon)) as Surface;
  return { surface, part: colon < 0 ? undefined : text.slice(colon + 1) };
}

export function grant(name: string, value: string | Buffer, options: GrantOptions = {}): Grant {
  return {
    env: name,
    name,
    placeholder: options.placeholder ?? placeholder(name.toLowerCase()),
    value: new SecretValue(name, value),
    hosts: (options.hosts ?? ["api.example.com"]).map((text) => {
      const parsed = parseHostPattern(text);
      if (parsed.kind !== "pattern") throw new Error(parsed.detail);
      return parsed.pattern;
    }),
    locations: options.locations?.map(parseLocation),
    onViolation: options.onViolation,
  };
}

export interface ScopeOptions {
  readonly host?: string;
  readonly secure?: boolean;
  readonly surfaces?: readonly string[];
  readonly onViolation?: OnViolation;
  readonly sandboxOnViolation?: OnViolation;
  readonly retired?: readonly Grant[];
}

export function indexOf(grants: readonly Grant[], options: ScopeOptions = {}): GrantIndex {
  return new GrantIndex(
    {
      sandboxId: "sandbox",
      version: "1",
      tokenHash: undefined,
      sources: [],
      onViolation: options.sandboxOnViolation,
      egress: { allow: [], deny: [] },
      grants,
      retired: options.retired ?? [],
    },
    {
      locations: (options.surfaces ?? ["header", "basic", "path", "query", "body"]).map(parseLocation),
      onViolation: options.onViolation ?? "pass",
    },
  );
}

export function scopeFor(grants: readonly Grant[], options: ScopeOptions = {}): SubstitutionScope {
  const host = parseHost(options.host ?? "api.example.com");
  if (host.kind !== "host") throw new Error(host.detail);
  return new SubstitutionScope(indexOf(grants, options).forHost(host.host), { secure: options.secure ?? true });
}

export function request(target: string, ...fields: readonly (readonly [string, string])[]): RequestHead {
  return { method: "POST", target, minor: 1, fields: fields.map(([name, value]) => makeField(name, value)) };
}

/** Runs a transform over a body that was cut at these offsets. Keys that it asks for stay unknown. */
export function run(
  transform: BodyTransform,
  body: Buffer,
  scope: SubstitutionScope,
  cuts: readonly number[] = [],
): Buffer {
  const out: Buffer[] = [];
  const emit = (bytes: Buffer): void => {
    out.push(Buffer.from(bytes));
  };
  let from = 0;
  for (const cut of [...cuts, body.length]) {
    // The caller's memory may be used again: the transform must not depend on it after the call.
    const chunk = Buffer.from(body.subarray(from, cut));
    for (let key = transform.push(chunk, emit); key !== undefined; key = transform.push(Buffer.alloc(0), emit)) {
      chunk.fill(0x21);
      scope.markAsked(key);
    }
    chunk.fill(0x21);
    from = cut;
  }
  for (let key = transform.end(emit); key !== undefined; key = transform.end(emit)) scope.markAsked(key);
  return Buffer.concat(out);
}

/** Sorted cuts of a body of this length. */
export function cutsOf(length: number): fc.Arbitrary<readonly number[]> {
  return fc.oneof(
    fc.array(fc.nat({ max: length }), { maxLength: 12 }).map((cuts) => cuts.sort((a, b) => a - b)),
    fc.constantFrom(1, 2, 3, 5).map((step) => Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step)),
  );
}
