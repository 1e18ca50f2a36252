import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SecretValue } from "../../../src/core/secret-value.ts";
import type { Form } from "../../../src/core/substitution/form.ts";
import { formsOf } from "../../../src/core/substitution/forms.ts";

function formsOfText(value: string | Uint8Array): readonly Form[] {
  return formsOf(new SecretValue("S", value));
}

interface Vector {
  readonly value: string;
  readonly echoes: Record<string, string>;
}

// The file is ours: made with the encoders that it names.
const vectors = JSON.parse(
  readFileSync(new URL("../../vectors/scrub/forms.json", import.meta.url), "utf8"),
) as Vector[];

describe("formsOf", () => {
  it.each(vectors.flatMap(({ value, echoes }, at) => Object.keys(echoes).map((name) => [at, name, value] as const)))(
    "value %i as written by %s",
    (at, name, value) => {
      const echo = Buffer.from(vectors[at]!.echoes[name]!, "utf8").toString("latin1");
      const found = formsOfText(value).filter(({ bytes }) => echo.includes(bytes));
      expect(found.length).toBeGreaterThan(0);
      // At most the characters that a base64 value shares with its neighbours are not covered.
      const longest = Math.max(...found.map(({ bytes }) => bytes.length));
      const isBehindOthers = name.startsWith("base64 behind") || name === "Basic credentials";
      if (isBehindOthers) expect(longest * 6).toBeGreaterThan(Buffer.byteLength(value) * 8 - 12);
      else expect(longest).toBeGreaterThanOrEqual(echo.replace(/=+$/, "").length);
    },
  );

  it("knows what this runtime's own encoders write", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 8, maxLength: 40 }), (value) => {
        fc.pre(value.isWellFormed() && value.length > 0);
        const forms = new Set(formsOfText(value).map(({ bytes }) => bytes));
        const has = (echo: string) => forms.has(Buffer.from(echo, "utf8").toString("latin1"));
        expect(has(value)).toBe(true);
        expect(has(JSON.stringify(value).slice(1, -1))).toBe(true);
        expect(has(encodeURIComponent(value))).toBe(true);
        expect(has(encodeURI(value))).toBe(true);
        expect(has(new URLSearchParams({ a: value }).toString().slice(2))).toBe(true);
        expect(has(Buffer.from(value).toString("base64"))).toBe(true);
        expect(has(Buffer.from(value).toString("base64url"))).toBe(true);
        expect(has(Buffer.from(value).toString("hex"))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("has each run of bytes once", () => {
    for (const { value } of vectors) {
      const bytes = formsOfText(value).map((form) => form.bytes);
      expect(new Set(bytes).size).toBe(bytes.length);
    }
  });

  it("takes values that are no UTF-8 as they are", () => {
    const value = Buffer.from([0xff, 0xfe, 0x22, 0x80, 0x81, 0x20, 0x41, 0x42, 0x43]);
    const forms = formsOfText(value).map(({ bytes }) => bytes);
    expect(forms).toContain(value.toString("latin1"));
    expect(forms).toContain("%FF%FE%22%80%81%20ABC");
    expect(forms).toContain(value.toString("base64"));
    expect(forms).toContain(value.toString("latin1").replace('"', '\\"'));
  });

  it("gives a short value no hex and no base64", () => {
    expect(formsOfText("abcdef").map(({ bytes }) => bytes)).toEqual(["abcdef"]);
    expect(formsOfText("abcdefgh").length).toBeGreaterThan(1);
  });

  it("keeps to the commonest encoders where a value is long", () => {
    const value = '"pem"/+é\n';
    expect(formsOfText(value.repeat(2000)).length).toBeLessThan(formsOfText(value).length);
    expect(formsOfText(value.repeat(2000)).map(({ bytes }) => bytes)).toContain(
      Buffer.from(JSON.stringify(value.repeat(2000)).slice(1, -1)).toString("latin1"),
    );
  });
});
