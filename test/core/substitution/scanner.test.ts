import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BodyScanner, type BodySighting } from "../../../src/core/substitution/scanner.ts";
import type { Spelling } from "../../../src/core/substitution/spelling.ts";
import { bodiesWith, findPlaceholders } from "../../support/placeholder-model.ts";
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

/** The same, by the naive search. */
function model(spelling: Spelling, body: Buffer): Found[] {
  const literalOf = (key: string) => oursOnly.index.byKey(key)?.grant.placeholder;
  return findPlaceholders(spelling, body, literalOf).map(({ start, end, literal, altered }) => {
    return { start, end, name: literal === undefined ? undefined : literal === A ? "A" : "B", altered };
  });
}

const literals = [A, LONG, placeholder("z"), A.slice(0, 38), LONG.slice(0, 150), "dtn_secret_", "dtn_secret_abc"];

describe("the body scanner", () => {
  it.each(["plain", "json", "percent"] as const)("finds what a naive search finds, for any cut: %s", (spelling) => {
    const input = bodiesWith(literals, spelling)
      .map((text) => Buffer.from(text, "latin1"))
      .chain((body) => fc.record({ body: fc.constant(body), cuts: cutsOf(body.length) }));
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
