import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { base64Forms } from "../../../src/core/substitution/base64-forms.ts";

const value = fc.uint8Array({ minLength: 8, maxLength: 50 });
const around = fc.uint8Array({ maxLength: 10 });

describe("base64Forms", () => {
  it("finds a value wherever it stands in encoded bytes, but for the edges it shares", () => {
    fc.assert(
      fc.property(
        around,
        value,
        around,
        fc.constantFrom("base64" as const, "base64url" as const),
        (before, bytes, after, alphabet) => {
          const text = Buffer.concat([before, bytes, after]).toString(alphabet);
          const longest = Math.max(
            ...base64Forms(Buffer.from(bytes))
              .map((form) => form.bytes)
              .filter((form) => text.includes(form))
              .map((form) => form.length),
          );
          // At most 4 bits at either edge stay visible.
          expect(longest * 6).toBeGreaterThanOrEqual(bytes.length * 8 - 8);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("covers a whole text with its padding, with and without", () => {
    const forms = base64Forms(Buffer.from("password-of-20-bytes")).map(({ bytes }) => bytes);
    expect(forms).toContain("cGFzc3dvcmQtb2YtMjAtYnl0ZXM=");
    expect(forms).toContain("cGFzc3dvcmQtb2YtMjAtYnl0ZXM");
    expect(forms).toContain("cGFzc3dvcmQtb2YtMjAtYnl0ZX");
  });

  it("covers Basic credentials from the colon on", () => {
    for (const user of ["", "u", "us", "use", "user"]) {
      const text = Buffer.from(`${user}:password-of-20-bytes`).toString("base64");
      const form = base64Forms(Buffer.from("password-of-20-bytes"))
        .map(({ bytes }) => bytes)
        .filter((bytes) => text.endsWith(bytes))
        .sort((a, b) => b.length - a.length)[0]!;
      // What is before the form must not tell of the value: decoding it gives only the user and the colon.
      const rest = Buffer.from(text.slice(0, text.length - form.length), "base64").toString("latin1");
      expect(`${user}:`.startsWith(rest)).toBe(true);
    }
  });

  it("covers what JSON and URLs make of `/` and `+`", () => {
    const bytes = Buffer.from([0xfb, 0xff, 0xbf, 0xfb, 0xef, 0xbe, 0xff, 0xff, 0xff]);
    const text = bytes.toString("base64");
    expect(text).toBe("+/+/++++////");
    const forms = base64Forms(bytes).map((form) => form.bytes);
    expect(forms).toContain(text.replaceAll("/", "\\/"));
    expect(forms).toContain(text.replaceAll("+", "\\u002B"));
    expect(forms).toContain(encodeURIComponent(text));
    expect(forms).toContain(encodeURIComponent(text).toLowerCase());
    expect(forms).toContain("-_-_----____");
  });

  it("shares its spellings between values", () => {
    const a = new Set(base64Forms(Buffer.from("first-value")).map(({ spelling }) => spelling));
    const b = new Set(base64Forms(Buffer.from("other-value")).map(({ spelling }) => spelling));
    expect(b).toEqual(a);
    for (const spelling of b) expect(a.has(spelling)).toBe(true);
  });
});
