import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FormLocator } from "../../../src/core/substitution/form-locator.ts";

function partAt(text: string, at: number): string | undefined {
  const locator = new FormLocator();
  const bytes = Buffer.from(text);
  for (let i = 0; i < at; i++) locator.advance(bytes, i, i + 1);
  return locator.part();
}

describe("the form locator", () => {
  it("knows the field of each value, as URLSearchParams does", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme", maxLength: 8 }), { maxLength: 5 }), (names) => {
        const text = new URLSearchParams(names.map((name, i) => [name, `MARK${i}`])).toString();
        const parts = names.map((_, i) => partAt(text, text.lastIndexOf(`MARK${i}`)));
        expect(parts).toEqual(names);
      }),
    );
  });

  it("names nothing within a name, or where the name is too long or no text", () => {
    expect(partAt("abc=1", 2)).toBeUndefined();
    expect(partAt(`${"n".repeat(300)}=1`, 301)).toBeUndefined();
    expect(partAt("%C3=1", 4)).toBeUndefined();
    expect(partAt("a=1&b", 5)).toBeUndefined();
    expect(partAt("a=b=c", 5)).toBe("a");
  });
});
