// Bodies of requests through the planned transform of their type: what comes out is, for any cut, what a naive reference
// makes of the whole body; and scrubbing it gives back what the client sent.

import fc from "fast-check";
import { planRequestBody } from "../../src/core/substitution/body-plan.ts";
import { encodeValue, type ValueContext } from "../../src/core/substitution/encodings.ts";
import { JsonNesting } from "../../src/core/substitution/json-nesting.ts";
import { Scrubber } from "../../src/core/substitution/scrubber.ts";
import type { Spelling } from "../../src/core/substitution/spelling.ts";
import { grant, placeholder, request, run, scopeFor } from "../core/substitution/requests.ts";
import { bodiesWith, findPlaceholders } from "../support/placeholder-model.ts";
import { cuts, offsetsOf } from "./cuts.ts";
import type { FuzzTarget } from "./target.ts";

const [A, B, ELSEWHERE] = [placeholder("a"), placeholder("b", 60), placeholder("e")];
const NOBODYS = placeholder("z");
const BUFFER_BYTES = 100;

interface Syntax {
  readonly type: string | undefined;
  readonly spelling: Spelling;
  readonly context: ValueContext;
  readonly binary?: boolean;
}

const syntaxes: readonly Syntax[] = [
  { type: "application/json", spelling: "json", context: "json" },
  { type: "application/x-ndjson", spelling: "json", context: "json" },
  { type: "application/graphql", spelling: "json", context: "json" },
  { type: "application/x-www-form-urlencoded", spelling: "percent", context: "form" },
  { type: "text/plain", spelling: "plain", context: "raw" },
  { type: "text/html", spelling: "plain", context: "xml" },
  { type: "application/soap+xml", spelling: "plain", context: "xml" },
  { type: "text/plain; charset=iso-8859-15", spelling: "plain", context: "ascii" },
  { type: undefined, spelling: "plain", context: "raw" },
  { type: "application/octet-stream", spelling: "plain", context: "raw", binary: true },
  { type: "application/x-protobuf", spelling: "plain", context: "raw", binary: true },
];

/** Values that every context takes, values that need escapes, bytes that are no text. */
const values: fc.Arbitrary<Buffer> = fc.oneof(
  fc.string({ minLength: 8, maxLength: 60 }).map((text) => Buffer.from(text)),
  fc
    .string({ unit: fc.constantFrom(..."aZ0\"\\/+=&<é %\n'"), minLength: 8, maxLength: 40 })
    .map((text) => Buffer.from(text)),
  fc.uint8Array({ minLength: 8, maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.uint8Array({ minLength: B.length, maxLength: B.length }).map((bytes) => Buffer.from(bytes)),
);

const literals = [A, B, ELSEWHERE, NOBODYS, B.slice(0, 50)];
const bodies = {
  json: bodiesWith(literals, "json"),
  percent: bodiesWith(literals, "percent"),
  plain: bodiesWith(literals, "plain"),
};
const pairs = fc.tuple(values, values);
const lengths = fc.constantFrom("known" as const, "chunked" as const);

// All made once: making them costs more than a case does.
const cases = fc.oneof(
  ...syntaxes.map((syntax) =>
    fc.record({ syntax: fc.constant(syntax), values: pairs, length: lengths, body: bodies[syntax.spelling], cuts }),
  ),
);

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function check({ syntax, values: [valueA, valueB], length, body: text, cuts }: Case): void {
  const body = Buffer.from(text, "latin1");
  if (body.length === 0) return;
  const grants = [
    grant("A", valueA, { placeholder: A }),
    grant("B", valueB, { placeholder: B }),
    grant("E", "a value for elsewhere", { placeholder: ELSEWHERE, hosts: ["other.test"] }),
  ];
  const scope = scopeFor(grants);
  const head = syntax.type === undefined ? request("/") : request("/", ["Content-Type", syntax.type]);
  const plan = planRequestBody(head, length === "chunked" ? length : body.length, scope, { bufferBytes: BUFFER_BYTES });
  if (plan.kind === "untouched") throw new Error("a plan was expected");
  const out = run(plan.transform, body, scope, offsetsOf(cuts, body.length));

  const pieces: Buffer[] = [];
  let [done, isPlain, everFound] = [0, true, false];
  const equalLength = syntax.binary === true || plan.kind === "in-place";
  for (const { start, end, literal, altered } of findPlaceholders(syntax.spelling, body, (key) =>
    [A, B, ELSEWHERE].find((one) => one.startsWith(key, "dtn_secret_".length)),
  )) {
    if (literal === undefined || literal === ELSEWHERE || altered) continue;
    const value = encodeValue(literal === A ? valueA : valueB, contextAt(syntax, body, start));
    const sniffedBinary = syntax.type === undefined && looksBinary(body.subarray(0, Math.min(512, start)));
    if (value === undefined || ((equalLength || sniffedBinary) && value.length !== end - start)) continue;
    everFound = true;
    if (body.toString("latin1", start, end) !== literal || !standsApart(body, start, end)) isPlain = false;
    pieces.push(body.subarray(done, start), value);
    done = end;
  }
  pieces.push(body.subarray(done));
  const expected = Buffer.concat(pieces);
  if (!out.equals(expected)) throw new Error(`${show(out)} is not the expected ${show(expected)}`);
  if (plan.kind === "in-place" && out.length !== body.length) throw new Error("the length changed");
  if (plan.transform.changed !== everFound) throw new Error(`changed: ${plan.transform.changed}`);

  // Where the client's own bytes hold no form of a value, and what stands beside a placeholder is no part of one,
  // scrubbing takes out what was put in and nothing else.
  const scrubber = new Scrubber(grants.slice(0, 2));
  const session = { carried: new Set<string>(), found: () => {} };
  if (!isPlain || !scrubber.scrubWhole(body, "exact", session).equals(body)) return;
  const back = scrubber.scrubWhole(out, "exact", session);
  if (overlaps(valueA, valueB)) return;
  if (!back.equals(body)) throw new Error(`scrubbed: ${show(back)}, sent: ${show(body)}`);
}

/** Beside each other such values, or their forms, can be read in more than one way. */
function overlaps(a: Buffer, b: Buffer): boolean {
  const distinct = (value: Buffer) => new Set(value).size;
  return Math.min(distinct(a), distinct(b)) < 6 || a.includes(b.subarray(0, 3)) || b.includes(a.subarray(0, 3));
}

/** Noise may happen to be JSON in JSON. */
function contextAt({ context, type }: Syntax, body: Buffer, start: number): ValueContext {
  if (context !== "json" || type === "application/graphql") return context;
  const nesting = new JsonNesting();
  nesting.advance(body, 0, start);
  return nesting.depth === 1 ? "json" : "json-in-json";
}

/** Between blanks, quotes or the body's ends. */
function standsApart(body: Buffer, start: number, end: number): boolean {
  return [start === 0 ? 0x20 : body[start - 1], body[end] ?? 0x20].every((byte) => byte === 0x20 || byte === 0x22);
}

function looksBinary(bytes: Buffer): boolean {
  return /[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(bytes.toString("latin1"));
}

function show(bytes: Buffer): string {
  return JSON.stringify(bytes.toString("latin1"));
}

export const requestBodies: FuzzTarget = {
  name: "request-bodies",
  open: () => ({ property: fc.property(cases, check) }),
};
