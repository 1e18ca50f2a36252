import { describe, expect, it } from "vitest";
import { edgesOf, isBytePart, parseContentRange } from "../../../src/core/substitution/content-range.ts";
import { fieldsOf } from "./scrub-support.ts";

describe("parseContentRange", () => {
  it.each([
    ["bytes 0-499/500", { first: 0, last: 499, size: 500, length: 500, cutsStart: false, cutsEnd: false }],
    ["bytes 0-499/1234", { first: 0, last: 499, size: 1234, length: 500, cutsStart: false, cutsEnd: true }],
    ["bytes 734-1233/1234", { first: 734, last: 1233, size: 1234, length: 500, cutsStart: true, cutsEnd: false }],
    [" Bytes  7-7/* ", { first: 7, last: 7, size: undefined, length: 1, cutsStart: true, cutsEnd: true }],
    ["bytes */1234", undefined],
    ["bytes 5-4/10", undefined],
    ["bytes 0-9999999999999999999/10", undefined],
    ["items 0-4/10", undefined],
    [undefined, undefined],
  ])("reads %j", (value, range) => {
    expect(parseContentRange(value)).toEqual(range);
  });
});

describe("edgesOf", () => {
  it("says which edges are cut, in doubt both", () => {
    expect(edgesOf(fieldsOf({ "Content-Range": "bytes 0-4/9" }))).toEqual({ kind: "part", start: false, end: true });
    expect(edgesOf(fieldsOf({ "Content-Range": "bytes ?" }))).toEqual({ kind: "part", start: true, end: true });
    expect(edgesOf(fieldsOf({ "Content-Type": "multipart/byteranges; boundary=x" }))).toEqual({ kind: "byteranges" });
  });
});

describe("a type of many parts", () => {
  it("is no matter where the head has a Content-Range", () => {
    const fields = { "Content-Type": "multipart/byteranges; boundary=x", "Content-Range": "bytes 0-4/9" };
    expect(edgesOf(fieldsOf(fields))).toEqual({ kind: "part", start: false, end: true });
    expect(isBytePart(fieldsOf({ ...fields, "Content-Range": "items 0-4/9" }))).toBe(false);
  });
});

describe("isBytePart", () => {
  it("is true of bytes only", () => {
    expect(isBytePart(fieldsOf({ "Content-Range": "bytes 0-4/9" }))).toBe(true);
    expect(isBytePart(fieldsOf({ "Content-Range": "bytes nonsense" }))).toBe(true);
    expect(isBytePart(fieldsOf({ "Content-Type": "Multipart/ByteRanges; boundary=x" }))).toBe(true);
    expect(isBytePart(fieldsOf({ "Content-Range": "id a..z; max=200" }))).toBe(false);
    expect(isBytePart(fieldsOf({ "Content-Type": "application/json" }))).toBe(false);
  });
});
