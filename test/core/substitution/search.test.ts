import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PatternSet } from "../../../src/core/substitution/search.ts";

interface Found {
  readonly start: number;
  readonly end: number;
  readonly value: string;
}

function setOf(...patterns: string[]): PatternSet<string> {
  return new PatternSet(patterns.map((text) => [Buffer.from(text, "latin1"), text] as const));
}

function findAll(set: PatternSet<string>, haystack: Buffer): Found[] {
  const found: Found[] = [];
  let from = 0;
  for (let match = set.find(haystack, from); match !== undefined; match = set.find(haystack, from)) {
    found.push({ start: match.start, end: match.end, value: match.value });
    from = match.end;
  }
  return found;
}

/** What a search means, without any cleverness. */
function findAllNaively(patterns: readonly string[], text: string): Found[] {
  const longestFirst = patterns.toSorted((a, b) => b.length - a.length);
  const found: Found[] = [];
  let at = 0;
  while (at < text.length) {
    const hit = longestFirst.find((pattern) => text.startsWith(pattern, at));
    if (hit !== undefined) found.push({ start: at, end: at + hit.length, value: hit });
    at += hit?.length ?? 1;
  }
  return found;
}

/** Few letters, so that patterns overlap, nest and repeat. */
const pattern = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 3, maxLength: 9 });
const patterns = fc.array(pattern, { minLength: 1, maxLength: 12 });
const longPattern = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 60, maxLength: 130 });
const text = fc.string({ unit: fc.constantFrom("a", "b", "c", "\xff"), maxLength: 200 });

describe("PatternSet", () => {
  it("finds the leftmost match, and the longest that starts there", () => {
    const set = setOf("secret", "secret-longer", "cret-longer-still");
    expect(set.find(Buffer.from("a secret-longer-still b"))).toEqual({
      kind: "match",
      start: 2,
      end: 15,
      value: "secret-longer",
    });
    expect(set.find(Buffer.from("a secret-longe"))).toMatchObject({ start: 2, end: 8, value: "secret" });
    expect(set.find(Buffer.from("a secre"))).toBeUndefined();
  });

  it("starts where it is told to", () => {
    const set = setOf("needle");
    expect(set.find(Buffer.from("needle needle"), 1)).toMatchObject({ start: 7 });
    expect(set.find(Buffer.from("needle"), 1)).toBeUndefined();
    expect(set.find(Buffer.from("needle"), 99)).toBeUndefined();
  });

  it("keeps the first value of a repeated pattern", () => {
    const set = new PatternSet([
      [Buffer.from("same"), 1],
      [Buffer.from("same"), 2],
    ]);
    expect(set.size).toBe(1);
    expect(set.find(Buffer.from("the same"))?.value).toBe(1);
  });

  it("knows its lengths, finds nothing when empty and refuses patterns that are too short", () => {
    expect(setOf("abc", "abcdef")).toMatchObject({ minLength: 3, maxLength: 6, size: 2 });
    const empty = setOf();
    expect(empty).toMatchObject({ minLength: 0, maxLength: 0, size: 0 });
    expect(empty.find(Buffer.from("anything"))).toBeUndefined();
    expect(empty.findMore(Buffer.from("anything"), 0)).toBeUndefined();
    expect(empty.holdBack(Buffer.from("anything"))).toBe(8);
    expect(empty.mayMatch("anything")).toBe(false);
    expect(() => setOf("ab")).toThrow(RangeError);
    expect(() => setOf("")).toThrow(RangeError);
  });

  it("finds what a naive search finds", () => {
    fc.assert(
      fc.property(patterns, text, (words, haystack) => {
        expect(findAll(setOf(...words), Buffer.from(haystack, "latin1"))).toEqual(findAllNaively(words, haystack));
      }),
      { numRuns: 2000 },
    );
  });

  it("finds patterns that are longer than its window, and tells them apart behind it", () => {
    fc.assert(
      fc.property(fc.array(longPattern, { minLength: 1, maxLength: 6 }), text, fc.nat(5), (words, filler, pick) => {
        const common = "x".repeat(70);
        const all = [...words, ...words.map((word) => common + word)];
        const haystack = filler + all[pick % all.length] + filler + common + filler;
        expect(findAll(setOf(...all), Buffer.from(haystack, "latin1"))).toEqual(findAllNaively(all, haystack));
      }),
      { numRuns: 500 },
    );
  });

  it("holds exactly from the first place where a longer or later input could make a match", () => {
    fc.assert(
      fc.property(patterns, text, (words, haystack) => {
        const next = setOf(...words).findMore(Buffer.from(haystack, "latin1"), 0);
        let expected: { kind: string; start: number } | undefined;
        for (let start = 0; start < haystack.length && expected === undefined; start++) {
          const rest = haystack.slice(start);
          if (words.some((word) => word.length > rest.length && word.startsWith(rest)))
            expected = { kind: "hold", start };
          else if (words.some((word) => rest.startsWith(word))) expected = { kind: "match", start };
        }
        if (expected === undefined) expect(next).toBeUndefined();
        else expect(next).toMatchObject(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it("says where a partial match at the end starts", () => {
    fc.assert(
      fc.property(patterns, text, (words, haystack) => {
        let expected = 0;
        const isPrefix = (rest: string) => words.some((word) => word.length > rest.length && word.startsWith(rest));
        while (expected < haystack.length && !isPrefix(haystack.slice(expected))) expected++;
        expect(setOf(...words).holdBack(Buffer.from(haystack, "latin1"))).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it("finds and holds a single pattern in a long haystack as in a short one", () => {
    const word = fc.oneof(pattern, longPattern);
    fc.assert(
      fc.property(word, text, fc.nat(200), fc.boolean(), (only, filler, cut, isThere) => {
        const set = setOf(only);
        const haystack = Buffer.from(
          `${filler.padEnd(700, "-")}${isThere ? only : ""}${filler}${only.slice(0, cut)}`,
          "latin1",
        );
        const start = haystack.indexOf(only);
        expect(set.find(haystack)?.start).toBe(start < 0 ? undefined : start);
        expect(set.find(haystack, start + 1)?.start).toBe(
          haystack.indexOf(only, start + 1) < 0 ? undefined : haystack.indexOf(only, start + 1),
        );
        const next = set.findMore(haystack, 0);
        if (start >= 0) expect(next).toMatchObject({ kind: "match", start, end: start + only.length });
        else if (set.holdBack(haystack) < haystack.length)
          expect(next).toEqual({ kind: "hold", start: set.holdBack(haystack) });
        else expect(next).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });

  it("looks no further than the limit", () => {
    const set = setOf("needle");
    const haystack = Buffer.from("..needle..needle..");
    expect(set.findMore(haystack, 0, 2)).toBeUndefined();
    expect(set.findMore(haystack, 0, 3)).toMatchObject({ kind: "match", start: 2 });
    expect(set.findMore(haystack, 3, 10)).toBeUndefined();
    expect(set.findMore(Buffer.from("..need"), 0, 2)).toBeUndefined();
    expect(set.findMore(Buffer.from("..need"), 0, 3)).toEqual({ kind: "hold", start: 2 });
  });

  it("never says of a string with a match that it has none", () => {
    fc.assert(
      fc.property(patterns, text, (words, haystack) => {
        const found = findAllNaively(words, haystack);
        if (found.length > 0) expect(setOf(...words).mayMatch(haystack)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it("passes strings that have nothing in common with its patterns", () => {
    const set = setOf("dtn_secret_0123456789", "zzzzzzzz");
    expect(set.mayMatch("application/json; charset=utf-8")).toBe(false);
    expect(set.mayMatch("\u4e2d\u6587 not Latin-1 at all \u4e2d\u6587")).toBe(false);
    expect(set.mayMatch("")).toBe(false);
  });

  it("finds every one of thousands of patterns", () => {
    const words = Array.from({ length: 5000 }, (_, i) => `pattern-${(i * 7919).toString(36)}-${i}-`);
    const set = setOf(...words);
    const haystack = Buffer.from(words.join(" "), "latin1");
    expect(findAll(set, haystack).map(({ value }) => value)).toEqual(words);
  });
});
