import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BodyScanner, type BodySighting } from "../../../src/core/substitution/scanner.ts";
import type { Spelling } from "../../../src/core/substitution/spelling.ts";
import { cutsOf, grant, placeholder, scopeFor } from "./requests.ts";

const A = placeholder("a");
const LONG = placeholder("b", 200);
const OWN = "sk-0123456789/abcdefg";
const OWN_LONGER = "sk-0123456789/abcdefg-longer";
const view = scopeFor([
  grant("A", "1"),
  grant("B", "2", { placeholder: LONG }),
  grant("C", "3", { placeholder: OWN }),
  grant("D", "4", { placeholder: OWN_LONGER }),
]).view;
const oursOnly = scopeFor([grant("A", "1"), grant("B", "2", { placeholder: LONG })]).view;

interface Found {
  readonly start: number;
  readonly end: number;
  readonly name: string | undefined;
  readonly altered: boolean;
}

function scan(spelling: Spelling, body: Buffer, cuts: readonly number[], from = view): Found[] {
  const scanner = new BodyScanner(spelling);
  const found: Found[] = [];
  let held = Buffer.alloc(0);
  let offset = 0;
  const take = (window: Buffer, final: boolean): void => {
    scanner.reset();
    let at = 0;
    for (;;) {
      const next: BodySighting | number = scanner.next(window, at, final, from);
      if (typeof next === "number") {
        held = Buffer.from(window.subarray(next));
        offset += next;
        return;
      }
      const { start, end, grant: owner, altered } = next;
      found.push({ start: offset + start, end: offset + end, name: owner?.grant.name, altered });
      at = end;
    }
  };
  let last = 0;
  for (const cut of [...cuts, body.length]) {
    take(Buffer.concat([held, body.subarray(last, cut)]), false);
    last = cut;
  }
  take(held, true);
  return found;
}

/** The same, naively: decode everything into characters, search the text, look the positions up. */
function model(spelling: Spelling, body: Buffer): Found[] {
  const text = body.toString("latin1");
  const unit =
    spelling === "json"
      ? /\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{0,3}|\\[\s\S]|[\s\S]/g
      : spelling === "percent"
        ? /%[0-9a-fA-F]{2}|[\s\S]/g
        : /[\s\S]/g;
  const starts: number[] = [];
  let decoded = "";
  for (const match of text.matchAll(unit)) {
    starts.push(match.index);
    decoded += decodeUnit(match[0]);
  }
  starts.push(text.length);
  const found: Found[] = [];
  const candidate = /dtn_secret_([a-z0-9]{25})/g;
  for (let match = candidate.exec(decoded); match !== null; match = candidate.exec(decoded)) {
    const owner = oursOnly.index.byKey(match[1]!);
    const whole = owner !== undefined && decoded.startsWith(owner.grant.placeholder, match.index);
    const end = match.index + (whole ? owner.grant.placeholder.length : 36);
    candidate.lastIndex = end;
    found.push({
      start: starts[match.index]!,
      end: starts[end]!,
      name: owner?.grant.name,
      altered: owner !== undefined && !whole,
    });
  }
  return found;
}

function decodeUnit(unit: string): string {
  if (unit.length === 1) return unit.charCodeAt(0) < 0x80 ? unit : "\uffff";
  if (unit === "\\/") return "/";
  const hex = /^(?:\\u00|%)([0-7][0-9a-f])$/i.exec(unit)?.[1];
  return hex === undefined ? "\uffff" : String.fromCharCode(Number.parseInt(hex, 16));
}

const respell: Readonly<Record<Spelling, (char: string) => string>> = {
  plain: (char) => char,
  json: (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  percent: (char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
};

function bodies(spelling: Spelling): fc.Arbitrary<Buffer> {
  const literals = fc
    .tuple(
      fc.constantFrom(A, LONG, placeholder("z"), A.slice(0, 38), LONG.slice(0, 150), "dtn_secret_", "dtn_secret_abc"),
      fc.array(fc.nat(250), { maxLength: 6 }),
      fc.oneof({ arbitrary: fc.constant(999), weight: 3 }, fc.nat(200)),
    )
    .map(([text, escaped, end]) => {
      const spelled = [...text].map((char, i) => (escaped.includes(i) ? respell[spelling](char) : char));
      return spelled.slice(0, end).join("");
    });
  const noise = fc.constantFrom(
    ...'\\ % \\\\ \\u \\u0 \\u00 \\u006 %6 %a d dt dtn_secr \\u00ad %ad \\d \\n \\/ \\u0064 %64 \\u00e9 " & tn_secret_ \u00e9'.split(
      " ",
    ),
  );
  return fc
    .array(fc.oneof(literals, noise, fc.string({ unit: "binary", maxLength: 5 })), { maxLength: 10 })
    .map((parts) => Buffer.from(parts.join(""), "latin1"));
}

describe("the body scanner", () => {
  it.each(["plain", "json", "percent"] as const)("finds what a naive search finds, for any cut: %s", (spelling) => {
    const input = bodies(spelling).chain((body) => fc.record({ body: fc.constant(body), cuts: cutsOf(body.length) }));
    fc.assert(
      fc.property(input, ({ body, cuts }) => {
        const expected = model(spelling, body);
        expect(scan(spelling, body, [], oursOnly)).toEqual(expected);
        expect(scan(spelling, body, cuts, oursOnly)).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it.each(["plain", "json", "percent"] as const)("finds callers' own placeholders for any cut: %s", (spelling) => {
    const parts = fc.constantFrom(
      OWN,
      OWN_LONGER,
      OWN.slice(0, 12),
      OWN_LONGER.slice(0, 24),
      A,
      A.slice(0, 30),
      "sk-",
      " ",
      "\\",
      "%2F",
      "\\/",
    );
    const input = fc
      .array(parts, { maxLength: 8 })
      .map((all) => Buffer.from(all.join("")))
      .chain((body) => fc.record({ body: fc.constant(body), cuts: cutsOf(body.length) }));
    fc.assert(
      fc.property(input, ({ body, cuts }) => {
        const whole = scan(spelling, body, []);
        expect(scan(spelling, body, cuts)).toEqual(whole);
        const text = body.toString();
        const longest = [...text.matchAll(/sk-0123456789\/abcdefg(-longer)?/g)].map((match) => match.index);
        expect(whole.filter((one) => one.name === "C" || one.name === "D").map((one) => one.start)).toEqual(
          expect.arrayContaining(spelling === "json" ? [] : longest),
        );
      }),
      { numRuns: 200 },
    );
  });

  it("prefers the longer of two literals, and ours to a caller's that starts like it", () => {
    expect(scan("plain", Buffer.from(`${OWN}${OWN_LONGER}`), [])).toMatchObject([{ name: "C" }, { name: "D" }]);
    const mixed = scopeFor([
      grant("A", "1"),
      grant("S", "2", { placeholder: "dtn_secret_zzzzzzzzzzzzzzzz" }),
      grant("T", "3", { placeholder: A.slice(0, 30) }),
    ]).view;
    for (const cuts of [[], [5], [27], [28], [40]]) {
      expect(scan("plain", Buffer.from(`${placeholder("z")}${A}`), cuts, mixed)).toMatchObject([
        { name: "S" },
        { name: "A" },
      ]);
    }
  });

  it("holds back nothing but what may go on", () => {
    const clear = (text: string, spelling: Spelling): number => {
      const next = new BodyScanner(spelling).next(Buffer.from(text, "latin1"), 0, false, view);
      return typeof next === "number" ? text.length - next : -1;
    };
    expect(clear("nothing here", "plain")).toBe(0);
    expect(clear("a dtn_", "plain")).toBe(4);
    expect(clear(`a ${A.slice(0, 40)}`, "plain")).toBe(40);
    expect(clear("a dtn_x", "plain")).toBe(0);
    expect(clear("a \\\\", "json")).toBe(0);
    expect(clear("a \\", "json")).toBe(1);
    expect(clear("a \\u0064\\u00", "json")).toBe(10);
    expect(clear("a %6", "percent")).toBe(2);
    expect(clear("a %6", "plain")).toBe(0);
    expect(clear("a sk-0123", "plain")).toBe(7);
  });
});
