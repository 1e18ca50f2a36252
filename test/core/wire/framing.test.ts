import { describe, expect, it } from "vitest";
import { makeField, type RequestHead, type ResponseHead } from "../../../src/core/message.ts";
import { hasNoBody, isPersistent, requestFraming, responseFraming } from "../../../src/core/wire/framing.ts";

type Fields = readonly (readonly [string, string])[];

function request(fields: Fields, method = "POST", minor: 0 | 1 = 1): RequestHead {
  return { method, target: "/", minor, fields: fields.map(([name, value]) => makeField(name, value)) };
}
function response(status: number, fields: Fields, minor: 0 | 1 = 1): ResponseHead {
  return { status, reason: "", minor, fields: fields.map(([name, value]) => makeField(name, value)) };
}
const length = (value: number | "chunked" | "close") => ({ kind: "framing", length: value });

describe("requestFraming", () => {
  it.each<[Fields, ReturnType<typeof length>]>([
    [[], length(0)],
    [[["Content-Length", "0"]], length(0)],
    [[["CONTENT-length", "0012"]], length(12)],
    [[["Content-Length", "9007199254740991"]], length(Number.MAX_SAFE_INTEGER)],
    [[["Transfer-Encoding", "Chunked"]], length("chunked")],
  ])("%j is %j", (fields, expected) => {
    expect(requestFraming(request(fields))).toEqual(expected);
  });

  it.each<[string, Fields]>([
    ["Content-Length", [["Content-Length", "9007199254740992"]]],
    ["Content-Length", [["Content-Length", ""]]],
    ["Content-Length", [["Content-Length", "1,1"]]],
    [
      "two Content-Length fields",
      [
        ["Content-Length", "1"],
        ["Content-Length", "1"],
      ],
    ],
    [
      "two Transfer-Encoding fields",
      [
        ["Transfer-Encoding", "chunked"],
        ["Transfer-Encoding", "chunked"],
      ],
    ],
    [
      "both Content-Length and Transfer-Encoding",
      [
        ["Content-Length", "1"],
        ["Transfer-Encoding", "chunked"],
      ],
    ],
    [
      "both Content-Length and Transfer-Encoding",
      [
        ["Transfer-Encoding", "chunked"],
        ["Content-Length", "0"],
      ],
    ],
    ["Transfer-Encoding other than chunked", [["Transfer-Encoding", "gzip, chunked"]]],
  ])("refuses: %s %j", (detail, fields) => {
    expect(requestFraming(request(fields))).toEqual({ kind: "malformed", detail });
  });

  it("refuses chunked coding in HTTP/1.0", () => {
    expect(requestFraming(request([["Transfer-Encoding", "chunked"]], "POST", 0)).kind).toBe("malformed");
  });

  it("refuses a body of CONNECT", () => {
    expect(requestFraming(request([["Content-Length", "1"]], "CONNECT")).kind).toBe("malformed");
    expect(requestFraming(request([["Transfer-Encoding", "chunked"]], "CONNECT")).kind).toBe("malformed");
    expect(requestFraming(request([["Content-Length", "0"]], "CONNECT"))).toEqual(length(0));
  });
});

describe("responseFraming", () => {
  const five: Fields = [["Content-Length", "5"]];
  it.each<[number, string, Fields, 0 | 5 | "chunked" | "close"]>([
    [200, "GET", five, 5],
    [200, "GET", [["Transfer-Encoding", "chunked"]], "chunked"],
    [200, "GET", [], "close"],
    [404, "POST", [], "close"],
    [200, "HEAD", five, 0],
    [200, "HEAD", [["Transfer-Encoding", "chunked"]], 0],
    [204, "GET", five, 0],
    [304, "GET", five, 0],
    [100, "POST", [], 0],
    [101, "GET", [], 0],
    [200, "CONNECT", five, 0],
    [403, "CONNECT", five, 5],
    [205, "GET", five, 5],
  ])("%i for %s with %j: %s", (status, method, fields, expected) => {
    expect(responseFraming(response(status, fields), method)).toEqual(length(expected));
  });

  it("refuses ambiguous lengths even where there is no body", () => {
    expect(responseFraming(response(304, [...five, ...five]), "GET").kind).toBe("malformed");
  });

  it("refuses an interim response that declares a body", () => {
    expect(responseFraming(response(103, five), "GET").kind).toBe("malformed");
    expect(responseFraming(response(101, [["Transfer-Encoding", "chunked"]]), "GET").kind).toBe("malformed");
    expect(responseFraming(response(100, [["Content-Length", "0"]]), "GET")).toEqual(length(0));
  });
});

describe("hasNoBody", () => {
  it("goes by status and method alone", () => {
    const without = [100, 101, 199, 200, 204, 205, 206, 299, 300, 304, 407].map((status) => [
      hasNoBody(status, "GET"),
      hasNoBody(status, "CONNECT"),
    ]);
    expect(without.map(([get]) => get)).toEqual([
      true,
      true,
      true,
      false,
      true,
      false,
      false,
      false,
      false,
      true,
      false,
    ]);
    expect(without.map(([, connect]) => connect)).toEqual([...new Array(8).fill(true), false, true, false]);
    expect(hasNoBody(200, "HEAD")).toBe(true);
  });
});

describe("isPersistent", () => {
  it.each<[Fields, 0 | 1, boolean]>([
    [[], 1, true],
    [[["Connection", "keep-alive"]], 1, true],
    [[["Connection", "close"]], 1, false],
    [[["Connection", "keep-alive, Close"]], 1, false],
    [
      [
        ["Connection", "a"],
        ["connection", "CLOSE"],
      ],
      1,
      false,
    ],
    [[["Proxy-Connection", "close"]], 1, false],
    [[["Proxy-Connection", "keep-alive"]], 1, true],
    [[["Connection", "closed"]], 1, true],
    [[], 0, false],
    [[["Connection", "keep-alive"]], 0, false],
  ])("%j in HTTP/1.%i: %s", (fields, minor, expected) => {
    expect(isPersistent(request(fields, "GET", minor))).toBe(expected);
    expect(isPersistent(response(200, fields, minor))).toBe(expected);
  });
});
