import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SecretValue } from "../../../src/core/secret-value.ts";
import { exactStandIn, type Form, formsOf, inPlaceStandIn } from "../../../src/core/substitution/forms.ts";

const placeholder = Buffer.from("dtn_secret_0123456789abcdefghijklmno");

function formsOfText(value: string | Uint8Array): readonly Form[] {
  return formsOf(new SecretValue("S", value));
}

function formOf(value: string, bytes: string): Form {
  const form = formsOfText(value).find((each) => each.bytes === bytes);
  if (form === undefined) throw new Error("no such form");
  return form;
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

describe("exactStandIn", () => {
  it("writes a placeholder as it is where text was escaped", () => {
    const form = formOf('quote"and slash/', 'quote\\"and slash/');
    expect(exactStandIn(form.spelling, form.spelledLength, placeholder)).toEqual(placeholder);
  });

  it("writes it in hex in the same case", () => {
    const lower = formOf("~value~~", "7e76616c75657e7e");
    expect(exactStandIn(lower.spelling, 8, placeholder).toString()).toBe(placeholder.toString("hex"));
    const upper = formOf("~value~~", "7E76616C75657E7E");
    expect(exactStandIn(upper.spelling, 8, placeholder).toString()).toBe(placeholder.toString("hex").toUpperCase());
  });

  it("writes it in base64 so that all around it decodes as before", () => {
    const around = fc.uint8Array({ maxLength: 9 });
    const secret = fc.uint8Array({ minLength: 8, maxLength: 60 });
    fc.assert(
      fc.property(around, secret, around, (before, value, after) => {
        const forms = formsOfText(value);
        const text = Buffer.concat([before, value, after]).toString("base64");
        const found = forms
          .filter(({ bytes, spelling }) => spelling.lengthModulus === 3 && text.includes(bytes))
          .map((form) => ({ form, at: text.indexOf(form.bytes) }))
          .filter(({ at, form }) => {
            // By chance the same characters may stand elsewhere.
            const start = Math.floor((at * 6) / 8);
            return Math.abs(start - before.length) <= 1 && form.spelledLength === value.length;
          });
        expect(found.length).toBeGreaterThan(0);
        const { form, at } = found.sort((a, b) => a.at - b.at || b.form.bytes.length - a.form.bytes.length)[0]!;
        const standIn = exactStandIn(form.spelling, form.spelledLength, placeholder).toString();
        const decoded = Buffer.from(text.slice(0, at) + standIn + text.slice(at + form.bytes.length), "base64");
        const inside = decoded.subarray(before.length, decoded.length - after.length);
        expect(decoded.subarray(0, before.length)).toEqual(Buffer.from(before));
        expect(decoded.subarray(decoded.length - after.length)).toEqual(Buffer.from(after));
        expect(inside.subarray(1, placeholder.length - 1)).toEqual(placeholder.subarray(1, -1));
        // Asterisks, but for the bits that the last character shares with its neighbour.
        expect(inside.length - placeholder.length).toBeLessThanOrEqual(2);
      }),
      { numRuns: 500 },
    );
  });

  it("writes a whole base64 text anew, with its own padding", () => {
    const value = "password-of-20-bytes";
    const form = formOf(value, Buffer.from(value).toString("base64"));
    expect(form.bytes).toMatch(/=$/);
    const standIn = exactStandIn(form.spelling, form.spelledLength, placeholder).toString();
    expect(standIn).toBe(placeholder.toString("base64"));
  });
});

describe("inPlaceStandIn", () => {
  it("is as long as the form, whatever the form", () => {
    for (const { value } of vectors) {
      for (const form of formsOfText(value)) {
        for (const literal of [placeholder, Buffer.concat([placeholder, placeholder, placeholder])]) {
          const standIn = inPlaceStandIn(form.spelling, form.spelledLength, literal, form.bytes.length);
          expect(standIn.length).toBe(form.bytes.length);
        }
      }
    }
  });

  it("cuts or pads text with asterisks, and keeps the spelling of hex and base64", () => {
    const write = (value: string, bytes: string) => {
      const form = formOf(value, bytes);
      return inPlaceStandIn(form.spelling, form.spelledLength, placeholder, bytes.length).toString();
    };
    expect(write("12345678", "12345678")).toBe("dtn_secr");
    expect(write("v".repeat(40), "v".repeat(40))).toBe(`${placeholder}****`);
    expect(write("12345678", "3132333435363738")).toBe(Buffer.from("dtn_secr").toString("hex"));
    const base64 = Buffer.from("12345678").toString("base64");
    expect(Buffer.from(write("12345678", base64), "base64").toString()).toBe("dtn_secr");
  });
});
