import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isToken, isTokenByte, parseFieldLines } from "../../../src/core/wire/field-line.ts";
import { fuzzRuns } from "../../support/fuzz.ts";

function parse(text: string, from = 0): ReturnType<typeof parseFieldLines> {
  return parseFieldLines(Buffer.from(text, "latin1"), text, from, 5);
}

describe("parseFieldLines", () => {
  it("begins where it is told", () => {
    expect(parse("GET / HTTP/1.1\r\na: b\r\n", 16)).toEqual({
      kind: "fields",
      fields: [{ name: "a", key: "a", value: "b" }],
    });
  });

  it.each([
    ["a b: c\r\n", "field name"],
    ["a : b\r\n", "field name"],
    [": b\r\n", "field name"],
    ["a\r\n", "field name"],
    ["a", "field name"],
    ["a: b\r\n c\r\n", "field name"],
    ["\xe9: b\r\n", "field name"],
    ["a: b", "field value"],
    ["a: b\r", "field value"],
    ["a: b\n", "field value"],
    ["a: b\rc\r\n", "field value"],
    ["a: b\0\r\n", "field value"],
    ["a: \x7f\r\n", "field value"],
  ])("refuses %j: %s", (text, detail) => {
    expect(parse(text)).toEqual({ kind: "malformed", detail });
  });

  it("reads back what was written, in any Latin-1", () => {
    const octet = (from: number, to: number) =>
      fc
        .integer({ min: from, max: to })
        .filter((byte) => byte !== 0x7f)
        .map((byte) => String.fromCharCode(byte));
    const name = fc.string({ unit: octet(0x21, 0x7e), minLength: 1, maxLength: 70 }).filter(isToken);
    const value = fc.string({ unit: octet(0x20, 0xff), maxLength: 20 }).map((text) => text.replace(/^ +| +$/g, ""));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 5 }), (fields) => {
        const parsed = parse(fields.map(([n, v]) => `${n}: ${v}\t \r\n`).join(""));
        expect(parsed).toEqual({
          kind: "fields",
          fields: fields.map(([n, v]) => ({ name: n, key: n.toLowerCase(), value: v })),
        });
      }),
      fuzzRuns(500),
    );
  });
});

describe("isTokenByte", () => {
  it("agrees with isToken on every byte", () => {
    for (let byte = 0; byte < 256; byte++) expect(isTokenByte(byte)).toBe(isToken(String.fromCharCode(byte)));
  });
});
