import type { Grant } from "../../../src/core/grants.ts";
import type { BodyTransform, Field, ResponseHead } from "../../../src/core/message.ts";
import { makeField } from "../../../src/core/message.ts";
import { SecretValue } from "../../../src/core/secret-value.ts";
import type { ScrubSession } from "../../../src/core/substitution/scrubber.ts";

/** A placeholder of the usual shape, told apart by a letter. */
export function placeholderOf(letter: string, length = 36): string {
  return `dtn_secret_${letter.repeat(length - 11)}`;
}

export function grantOf(name: string, value: string | Uint8Array, placeholder = placeholderOf("p")): Grant {
  return {
    env: name,
    name,
    placeholder,
    value: new SecretValue(name, value),
    hosts: [],
    locations: undefined,
    onViolation: undefined,
  };
}

/** A session that remembers what was found. */
export function sessionOf(...carried: string[]): ScrubSession & { readonly names: string[] } {
  const names: string[] = [];
  return { carried: new Set(carried), found: (name) => names.push(name), names };
}

export function headOf(fields: Record<string, string>, status = 200, reason = "OK"): ResponseHead {
  return { status, reason, minor: 1, fields: fieldsOf(fields) };
}

export function fieldsOf(fields: Record<string, string>): Field[] {
  return Object.entries(fields).map(([name, value]) => makeField(name, value));
}

/** Runs a body through a transform, cut at the given places. */
export function run(transform: BodyTransform, body: Buffer, cuts: readonly number[] = []): Buffer {
  const emitted: Buffer[] = [];
  const emit = (bytes: Buffer) => emitted.push(Buffer.from(bytes));
  for (const chunk of cutAt(body, cuts)) transform.push(chunk, emit);
  transform.end(emit);
  return Buffer.concat(emitted);
}

export function cutAt(body: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (body.length + 1)), body.length].sort((a, b) => a - b);
  return places.slice(1).map((place, index) => body.subarray(places[index], place));
}
