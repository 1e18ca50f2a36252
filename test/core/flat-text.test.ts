import fc from "fast-check";
import { expect, test } from "vitest";
import { flatten } from "../../src/core/flat-text.ts";

const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 3_000,
});

test("flat text is the same text, whatever it was made of", () => {
  fc.assert(
    fc.property(latin1, latin1, fc.nat(40), (one, other, from) => {
      const text = `${one}${other}`.slice(from);
      expect(flatten(text)).toBe(text);
    }),
  );
});
