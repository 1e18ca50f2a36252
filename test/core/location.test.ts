import { describe, expect, it } from "vitest";
import { formatLocation, parseLocation } from "../../src/core/location.ts";

describe("parseLocation", () => {
  it.each([
    ["header", "header", undefined],
    ["basic", "basic", undefined],
    ["path", "path", undefined],
    ["query", "query", undefined],
    ["body", "body", undefined],
    ["base64", "base64", undefined],
    ["header:X-Api-Key", "header", "x-api-key"],
    ["query:Key", "query", "Key"],
    ["body:/a/b~1c", "body", "/a/b~1c"],
    ["body:a:b", "body", "a:b"],
  ])("reads %s", (text, surface, part) => {
    expect(parseLocation(text)).toEqual({ kind: "location", location: { surface, part } });
  });

  it.each([
    "",
    "Header",
    "cookie",
    "header:",
    "header:a b",
    "header:a\n",
    "basic:user",
    "path:x",
    "base64:x",
    "query:a\u0000",
    "header ",
    "body:",
  ])("refuses %j", (text) => {
    expect(parseLocation(text).kind).toBe("invalid");
  });

  it("refuses a part of absurd length", () => {
    expect(parseLocation(`body:${"a".repeat(257)}`).kind).toBe("invalid");
  });
});

describe("formatLocation", () => {
  it.each(["header", "header:x-api-key", "query:key", "body:/a"])("gives back what %s was read from", (text) => {
    const read = parseLocation(text);
    if (read.kind !== "location") throw new Error(read.detail);
    expect(formatLocation(read.location)).toBe(text);
  });
});
