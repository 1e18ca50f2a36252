// Bodies of answers through the scrubber: for any cut the stream comes out as the whole body does, no spelling of a value
// is left, and what is none stays as it is.

import fc from "fast-check";
import type { ScrubMode } from "../../src/core/substitution/scrub-body.ts";
import { Scrubber } from "../../src/core/substitution/scrubber.ts";
import { grantOf, placeholderOf, run, sessionOf } from "../core/substitution/scrub-support.ts";
import { spellings } from "../support/spellings.ts";
import { cuts, offsetsOf } from "./cuts.ts";
import type { FuzzTarget } from "./target.ts";

const names = ["one", "two", "three"] as const;
const placeholders = names.map((name) => placeholderOf(name.slice(0, 1), 41));

const values = fc.oneof(
  fc.string({ minLength: 8, maxLength: 60 }).map((text) => Buffer.from(text)),
  fc
    .string({ unit: fc.constantFrom(..."aZ09\"\\/+=&<é ~'\n"), minLength: 8, maxLength: 50 })
    .map((text) => Buffer.from(text)),
  fc.uint8Array({ minLength: 8, maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
);

/** An echo of a value, a piece of one, or anything. */
type Segment =
  | { readonly kind: "echo"; readonly value: number; readonly spelling: number; readonly cutTo: number }
  | { readonly kind: "filler"; readonly bytes: Uint8Array };

const segments: fc.Arbitrary<Segment> = fc.oneof(
  fc.record({
    kind: fc.constant("echo" as const),
    value: fc.nat(names.length - 1),
    spelling: fc.nat(spellings.length - 1),
    cutTo: fc.oneof({ arbitrary: fc.constant(10_000), weight: 4 }, fc.nat(60)),
  }),
  fc.record({ kind: fc.constant("filler" as const), bytes: fc.uint8Array({ maxLength: 30 }) }),
  fc.record({
    kind: fc.constant("filler" as const),
    bytes: fc.string({ unit: fc.constantFrom(...'\\"%&;=+/\n ax2'), maxLength: 12 }).map((text) => Buffer.from(text)),
  }),
);

const cases = fc.record({
  values: fc.tuple(values, values, values),
  segments: fc.array(segments, { maxLength: 12 }),
  mode: fc.constantFrom<ScrubMode>("exact", "in-place", "sniffed"),
  cuts,
});

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function check({ values: made, segments: parts, mode, cuts }: Case): void {
  const grants = made.map((value, at) => grantOf(names[at]!, value, placeholders[at]));
  const scrubber = new Scrubber(grants);
  const echoes: Buffer[] = [];
  const body = Buffer.concat(
    parts.map((part) => {
      if (part.kind === "filler") return Buffer.from(part.bytes);
      const echo = spellings[part.spelling]!.write(made[part.value]!);
      if (echo === undefined) return Buffer.from("-");
      if (part.cutTo < echo.length) return echo.subarray(0, part.cutTo);
      echoes.push(echo);
      // Two spellings with nothing between them can share characters: which of them is one of two readings.
      return Buffer.concat([echo, Buffer.from("\n")]);
    }),
  );
  const whole = sessionOf();
  const expected = mode === "sniffed" ? run(scrubber.body(mode, whole), body) : scrubber.scrubWhole(body, mode, whole);
  const streamed = sessionOf();
  const out = run(scrubber.body(mode, streamed), body, offsetsOf(cuts, body.length));
  if (!out.equals(expected)) throw new Error(`${show(out)} in pieces, ${show(expected)} whole`);
  if (String(streamed.names) !== String(whole.names)) throw new Error("found otherwise");
  if (mode === "in-place" && out.length !== body.length) throw new Error("the length changed");
  if (whole.names.length === 0 && out !== body && !out.equals(body)) throw new Error("changed without a find");
  for (const echo of echoes) if (out.includes(echo)) throw new Error(`left: ${show(echo)} in ${show(out)}`);
}

function show(bytes: Buffer): string {
  return JSON.stringify(bytes.toString("latin1"));
}

export const responseBodies: FuzzTarget = {
  name: "response-bodies",
  open: () => ({ property: fc.property(cases, check) }),
};
