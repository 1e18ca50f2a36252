import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SecretValue } from "../../../src/core/secret-value.ts";
import { exactStandIn, type Form, inPlaceStandIn } from "../../../src/core/substitution/form.ts";
import { formsOf } from "../../../src/core/substitution/forms.ts";

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
