import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePlaceholder, placeholderFor, randomCharsFor } from "../../../src/core/substitution/placeholder.ts";

const chars = (count: number): string => "k7".repeat(count).slice(0, count);

describe("placeholders", () => {
  it("are as long as the value they are made for, within 36 and 256 bytes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), (length) => {
        const made = placeholderFor(chars, length);
        expect(made.length).toBe(length > 256 ? 36 : Math.max(36, length));
        expect(parsePlaceholder(made)).toEqual({ kind: "placeholder", key: chars(25) });
      }),
    );
  });

  it("take all their random characters from the caller and check them", () => {
    expect(randomCharsFor(40)).toBe(29);
    expect(() => placeholderFor((count) => "k".repeat(count - 1), 40)).toThrow(TypeError);
    expect(() => placeholderFor((count) => "K".repeat(count), 40)).toThrow(TypeError);
  });

  it("have the first 25 characters as their key", () => {
    expect(parsePlaceholder(`dtn_secret_${"a".repeat(25)}bcd`)).toEqual({ kind: "placeholder", key: "a".repeat(25) });
  });

  it.each([
    ["dtn_secret_short"],
    [`dtn_secret_${"A".repeat(25)}`],
    [`dtn_secret_${"a".repeat(25)}_`],
    [`x-dtn_secret_${"a".repeat(25)}`],
    ["sk-too-short-to-be-one"].map((text) => text.slice(0, 19)),
    ["sk-with a blank in its middle"],
    ['sk-with-"quotes"-in-its-middle'],
  ])("are not %j", (text) => {
    expect(parsePlaceholder(text!).kind).toBe("invalid");
  });

  it("may be a caller's own literal of 20 or more characters", () => {
    expect(parsePlaceholder("sk-0123456789abcdefg")).toEqual({ kind: "own", key: "sk-0123456789abcdefg" });
  });
});
