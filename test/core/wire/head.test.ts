import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isToken, listHas, parseRequestHead, parseResponseHead, parseTrailers } from "../../../src/core/wire/head.ts";
import { fuzzRuns } from "../../support/fuzz.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const request = (text: string, maxFields = 10) => parseRequestHead(bytes(text), maxFields);
const response = (text: string, maxFields = 10) => parseResponseHead(bytes(text), maxFields);

describe("parseRequestHead", () => {
  it("keeps method, target, names, values and order as they were sent", () => {
    expect(request("PATCH /a?b=%20c HTTP/1.1\r\nHost: a\r\nX-Twice:1\r\nx-twice:\t2 \t\r\nEmpty:\r\n")).toEqual({
      kind: "head",
      head: {
        method: "PATCH",
        target: "/a?b=%20c",
        minor: 1,
        fields: [
          { name: "Host", key: "host", value: "a" },
          { name: "X-Twice", key: "x-twice", value: "1" },
          { name: "x-twice", key: "x-twice", value: "2" },
          { name: "Empty", key: "empty", value: "" },
        ],
      },
    });
  });

  it("takes a head without fields, and HTTP/1.0", () => {
    expect(request("GET / HTTP/1.0\r\n")).toEqual({
      kind: "head",
      head: { method: "GET", target: "/", minor: 0, fields: [] },
    });
  });

  it("takes any token as a method", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 8 }), (method) => {
        const parsed = request(`${method} ${method === "CONNECT" ? "a:1" : "/"} HTTP/1.1\r\n`);
        expect(parsed.kind).toBe(isToken(method) ? "head" : "malformed");
      }),
      fuzzRuns(300),
    );
  });

  it.each([
    ["CONNECT", "example.com:443", "head"],
    ["CONNECT", "[2001:db8::1]:443", "head"],
    ["CONNECT", "http://example.com", "malformed"],
    ["CONNECT", "/", "malformed"],
    ["GET", "example.com:443", "malformed"],
    ["GET", "*", "head"],
    ["GET", "http://example.com?a", "head"],
    ["GET", "http://", "malformed"],
    ["GET", "/a#b", "malformed"],
  ])("%s %s: %s", (method, target, kind) => {
    expect(request(`${method} ${target} HTTP/1.1\r\n`).kind).toBe(kind);
  });

  it("counts fields", () => {
    expect(request("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\n", 2).kind).toBe("head");
    expect(request("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n", 2).kind).toBe("too-many-fields");
  });

  it("never throws and never lets a control byte through", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (tail, inFields) => {
        const parsed = parseRequestHead(
          Buffer.concat([bytes(inFields ? "GET / HTTP/1.1\r\na: " : ""), tail, bytes("\r\n")]),
          10,
        );
        if (parsed.kind !== "head") return;
        const { method, target, fields } = parsed.head;
        const said = [method, target, ...fields.flatMap((field) => [field.name, field.value])].join("");
        expect(said).not.toMatch(/[\0-\x08\x0a-\x1f\x7f]/);
      }),
      fuzzRuns(2000),
    );
  });

  it("remembers names without mixing them up, however many there are", () => {
    // More than there are slots, so that names displace each other; twice, so that the remembered are used.
    const names = Array.from({ length: 3000 }, (_, i) => `X-${i % 2 === 0 ? "Name" : "nAME"}-${(i * 7919) % 3000}`);
    for (const name of [...names, ...names, "x".repeat(100), `X${"y".repeat(100)}`]) {
      const parsed = request(`GET / HTTP/1.1\r\n${name}: ${name}\r\n`);
      expect(parsed.kind === "head" && parsed.head.fields).toEqual([{ name, key: name.toLowerCase(), value: name }]);
    }
  });
});

describe("parseResponseHead", () => {
  it.each([
    ["HTTP/1.1 200 OK\r\n", 200, "OK"],
    ["HTTP/1.1 404 Not  Found \r\n", 404, "Not  Found "],
    ["HTTP/1.0 999\r\n", 999, ""],
    ["HTTP/1.1 200 \r\n", 200, ""],
    ["HTTP/1.1 500 caf\xe9\r\n", 500, "caf\xe9"],
  ])("%j", (text, status, reason) => {
    const minor = text.startsWith("HTTP/1.1") ? 1 : 0;
    expect(response(text)).toEqual({ kind: "head", head: { status, reason, minor, fields: [] } });
  });

  it("counts fields", () => {
    expect(response("HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\n", 1).kind).toBe("too-many-fields");
  });
});

describe("parseTrailers", () => {
  it("takes none and several", () => {
    expect(parseTrailers(bytes(""), 10)).toEqual({ kind: "fields", fields: [] });
    expect(parseTrailers(bytes("A: b\r\nc:d\r\n"), 10)).toEqual({
      kind: "fields",
      fields: [
        { name: "A", key: "a", value: "b" },
        { name: "c", key: "c", value: "d" },
      ],
    });
  });

  it("refuses an unfinished line", () => {
    expect(parseTrailers(bytes("A: b"), 10).kind).toBe("malformed");
    expect(parseTrailers(bytes("A: b\r"), 10).kind).toBe("malformed");
  });
});

describe("listHas", () => {
  it.each([
    ["close", "close", true],
    ["CLOSE", "close", true],
    [" a ,\tClose , b", "close", true],
    ["closed", "close", false],
    ["a close", "close", false],
    ["close;a", "close", false],
    ["\xa0close", "close", false],
    ["", "close", false],
    [",,close", "close", true],
  ])("%j has %s: %s", (value, token, has) => {
    expect(listHas(value, token)).toBe(has);
  });

  it("reads a long run of blanks in linear time", () => {
    // Quadratic time would be some 10^12 steps.
    expect(listHas(`a${" ".repeat(1_000_000)}b, close`, "close")).toBe(true);
  });
});

describe("isToken", () => {
  it("knows the characters of RFC 9110 section 5.6.2", () => {
    const tokens = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
      .filter(isToken)
      .join("");
    expect(tokens).toBe("!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~");
    expect(isToken("")).toBe(false);
    expect(isToken("a b")).toBe(false);
    expect(isToken("a\n")).toBe(false);
  });
});
