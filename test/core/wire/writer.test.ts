import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Field, makeField, type RequestHead, type ResponseHead } from "../../../src/core/message.ts";
import { parseRequestHead } from "../../../src/core/wire/head.ts";
import {
  CRLF,
  chunkOpening,
  isForbiddenTrailer,
  isHopByHop,
  lastChunk,
  writeRequestHead,
  writeResponseHead,
} from "../../../src/core/wire/writer.ts";
import { fuzzRuns } from "../../support/fuzz.ts";

const toFields = (fields: readonly (readonly [string, string])[]): Field[] =>
  fields.map(([name, value]) => makeField(name, value));
const request = (method: string, ...fields: readonly (readonly [string, string])[]): RequestHead => ({
  method,
  target: "http://example.com/a",
  minor: 1,
  fields: toFields(fields),
});
const response = (status: number, ...fields: readonly (readonly [string, string])[]): ResponseHead => ({
  status,
  reason: "Fine",
  minor: 0,
  fields: toFields(fields),
});

describe("writeRequestHead", () => {
  it("keeps names, values and order, and replaces the target", () => {
    const head = request("GET", ["host", "example.com"], ["X-A", "caf\xe9"], ["x-a", ""], ["X-A", "2"]);
    expect(writeRequestHead(head, "/a", 0)).toBe(
      "GET /a HTTP/1.1\r\nhost: example.com\r\nX-A: caf\xe9\r\nx-a: \r\nX-A: 2\r\n\r\n",
    );
  });

  it("writes a new length in the old one's place", () => {
    const head = request("POST", ["a", "1"], ["content-LENGTH", "5"], ["b", "2"]);
    expect(writeRequestHead(head, "/", 7)).toBe("POST / HTTP/1.1\r\na: 1\r\ncontent-LENGTH: 7\r\nb: 2\r\n\r\n");
    expect(writeRequestHead(head, "/", "chunked")).toBe(
      "POST / HTTP/1.1\r\na: 1\r\nb: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
  });

  it("never writes two lengths", () => {
    const head = request("POST", ["Content-Length", "5"], ["Transfer-Encoding", "gzip"], ["Content-Length", "6"]);
    expect(writeRequestHead(head, "/", 7)).toBe("POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n");
    expect(writeRequestHead(head, "/", "chunked")).toBe("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  });

  it.each([
    ["GET", 0, ""],
    ["DELETE", 0, ""],
    ["POST", 0, "Content-Length: 0\r\n"],
    ["PUT", 0, "Content-Length: 0\r\n"],
    ["PATCH", 0, "Content-Length: 0\r\n"],
    ["DELETE", 3, "Content-Length: 3\r\n"],
  ])("%s with %i bytes that had no length field says %j", (method, length, fields) => {
    expect(writeRequestHead(request(method), "/", length)).toBe(`${method} / HTTP/1.1\r\n${fields}\r\n`);
  });

  it("leaves out what is for one connection, and what Connection names", () => {
    const head = request(
      "GET",
      ["Host", "a"],
      ["Connection", "keep-alive, X-Once ,\tHost,content-length"],
      ["Proxy-Connection", "keep-alive"],
      ["Proxy-Authorization", "Basic eDp5"],
      ["Keep-Alive", "timeout=5"],
      ["Upgrade", "h2c"],
      ["Connection", "x-twice"],
      ["X-Once", "1"],
      ["X-Twice", "2"],
      ["X-Thrice", "3"],
      ["Content-Length", "4"],
    );
    expect(writeRequestHead(head, "/", 4)).toBe(
      "GET / HTTP/1.1\r\nHost: a\r\nX-Thrice: 3\r\nContent-Length: 4\r\n\r\n",
    );
  });

  it("keeps no-break spaces apart from blanks in Connection", () => {
    expect(writeRequestHead(request("GET", ["Connection", "\xa0a, b"], ["a", "1"], ["b", "2"]), "/", 0)).toBe(
      "GET / HTTP/1.1\r\na: 1\r\n\r\n",
    );
  });

  it("says of TE only that trailers are welcome", () => {
    expect(writeRequestHead(request("GET", ["te", "gzip, Trailers"]), "/", 0)).toContain("\r\nTE: trailers\r\n");
    expect(writeRequestHead(request("GET", ["te", "gzip"]), "/", 0)).toBe("GET / HTTP/1.1\r\n\r\n");
  });

  it("is read back as it was written", () => {
    const names = fc.constantFrom("Accept", "x-a", "X-A", "Cookie", "Via", "Date");
    const values = fc.string({ unit: fc.constantFrom("a", "\xff", "\t", " ", ":", ","), maxLength: 8 });
    fc.assert(
      fc.property(fc.array(fc.tuple(names, values)), (fields) => {
        const head = request("PUT", ...fields.map(([name, value]) => [name, value.trim()] as const));
        const text = writeRequestHead(head, "/a", 5);
        const parsed = parseRequestHead(Buffer.from(text.slice(0, -2), "latin1"), 100);
        expect(parsed).toEqual({
          kind: "head",
          head: { ...head, target: "/a", fields: [...head.fields, makeField("Content-Length", "5")] },
        });
      }),
      fuzzRuns(300),
    );
  });
});

describe("writeResponseHead", () => {
  it("answers in HTTP/1.1, whatever the upstream spoke", () => {
    expect(writeResponseHead(response(200, ["Set-Cookie", "a"], ["set-cookie", "b"]), 2, false)).toBe(
      "HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 2\r\n\r\n",
    );
    expect(writeResponseHead({ ...response(200), reason: "" }, 0, true)).toBe(
      "HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
  });

  it("leaves the length as it came where there is no body", () => {
    expect(writeResponseHead(response(304, ["Content-Length", "5"]), undefined, false)).toContain(
      "Content-Length: 5\r\n",
    );
    expect(writeResponseHead(response(200), undefined, false)).not.toContain("Content-Length");
  });

  it("writes no length where the connection's end is the body's", () => {
    expect(writeResponseHead(response(200, ["Content-Length", "5"]), "close", true)).toBe(
      "HTTP/1.1 200 Fine\r\nConnection: close\r\n\r\n",
    );
  });

  it.each([100, 103, 204])("writes no length for %i", (status) => {
    const fine = `HTTP/1.1 ${status} Fine\r\n\r\n`;
    expect(writeResponseHead(response(status, ["Content-Length", "5"]), undefined, false)).toBe(fine);
    expect(writeResponseHead(response(status, ["Content-Length", "5"]), 0, false)).toBe(fine);
    expect(writeResponseHead(response(status, ["Transfer-Encoding", "chunked"]), 0, false)).toBe(fine);
  });

  it("keeps the upstream's word about its connection to itself", () => {
    const head = response(200, ["Connection", "close"], ["Keep-Alive", "timeout=5"], ["Proxy-Connection", "close"]);
    expect(writeResponseHead(head, 0, false)).toBe("HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n");
  });

  it("writes our own challenge: clients that offer no credentials unasked need it", () => {
    const head = response(407, ["Proxy-Authenticate", "Basic"]);
    expect(writeResponseHead(head, 0, true)).toContain("\r\nProxy-Authenticate: Basic\r\n");
  });
});

describe("chunks", () => {
  it("open with their size and end with CRLF", () => {
    expect(chunkOpening(1)).toBe("1\r\n");
    expect(chunkOpening(65_535)).toBe("ffff\r\n");
    expect(CRLF.toString("latin1")).toBe("\r\n");
  });

  it("end with trailers, but for those that must not stand there", () => {
    expect(lastChunk([])).toBe("0\r\n\r\n");
    const trailers = toFields([
      ["X-Sum", "1"],
      ["Content-Length", "5"],
      ["host", "a"],
      ["Trailer", "b"],
      ["TE", "c"],
    ]);
    expect(lastChunk(trailers)).toBe("0\r\nX-Sum: 1\r\n\r\n");
  });
});

describe("isHopByHop and isForbiddenTrailer", () => {
  it.each([
    ["connection", true, true],
    ["transfer-encoding", true, true],
    ["proxy-authorization", true, true],
    ["content-length", false, true],
    ["host", false, true],
    ["cookie", false, false],
    ["trailer", false, true],
  ])("%s: %s, %s", (key, hopByHop, forbidden) => {
    expect(isHopByHop(key)).toBe(hopByHop);
    expect(isForbiddenTrailer(key)).toBe(forbidden);
  });
});
