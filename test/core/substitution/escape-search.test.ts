import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nextEscape } from "../../../src/core/substitution/escape-search.ts";

/** Every escape of one of the prefix's characters, naively. */
function positions(spelling: "json" | "percent", text: string): number[] {
  const pattern = spelling === "json" ? /\\u00(6[3-5eE]|7[2-4]|5[fF])|\\[\s\S]/g : /%(6[3-5eE]|7[2-4]|5[fF])/g;
  return [...text.matchAll(pattern)].filter((match) => match[1] !== undefined).map((match) => match.index);
}

describe("the search for escapes", () => {
  it.each(["json", "percent"] as const)("finds each of them: %s", (spelling) => {
    const parts = [
      "\\u0064",
      "\\u005F",
      "\\u006e",
      "\\u00e9",
      "\\u0061",
      "\\\\",
      "\\",
      "u",
      "0",
      "00",
      "6",
      "4",
      "%64",
      "%5f",
      "%6E",
      "%",
      "%6",
      "%C3",
      "x",
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...parts), { maxLength: 30 }), fc.constantFrom(0, 1500), (all, padding) => {
        const text = " ".repeat(padding) + all.join("");
        const window = Buffer.from(text, "latin1");
        const found: number[] = [];
        for (let at = nextEscape(spelling, window, 0); at < window.length; at = nextEscape(spelling, window, at + 1)) {
          found.push(at);
        }
        expect(found).toEqual(positions(spelling, text));
      }),
      { numRuns: 2000 },
    );
  });

  it("goes on beyond a stretch without any", () => {
    const window = Buffer.from(`\\u00e9${"x".repeat(5000)}\\u00e9${"y".repeat(5000)}\\u0064`);
    expect(nextEscape("json", window, 0)).toBe(10012);
  });
});
