import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  readHttp2Request,
  readHttp2Response,
  readHttp2Trailers,
  writeHttp2Request,
  writeHttp2Response,
  writeHttp2Trailers,
} from "../../../src/core/wire/http2-head.ts";

const pseudo = [":method", "POST", ":scheme", "https", ":authority", "api.good.test", ":path", "/a?b=%2F"];

function read(fields: readonly string[], ends = false) {
  return readHttp2Request([...pseudo, ...fields], ends);
}

describe("requests", () => {
  it("come out in the common form: :authority as host, the target as sent", () => {
    expect(read(["accept", "*/*", "content-length", "5"])).toEqual({
      kind: "request",
      head: {
        method: "POST",
        target: "/a?b=%2F",
        minor: 1,
        fields: [
          { name: "host", key: "host", value: "api.good.test" },
          { name: "accept", key: "accept", value: "*/*" },
          { name: "content-length", key: "content-length", value: "5" },
        ],
      },
      length: 5,
      scheme: "https",
      otherHost: undefined,
    });
  });

  it("join their cookie crumbs, and split them again", () => {
    const request = read(["cookie", "a=1", "x", "y", "cookie", "b=2"], true);
    if (request.kind !== "request") throw new Error(request.detail);
    expect(request.head.fields.filter(({ key }) => key === "cookie").map(({ value }) => value)).toEqual(["a=1; b=2"]);
    const list = writeHttp2Request(request.head, request.head.target, 0, "https", "api.good.test:443");
    expect(list.filter((_, at) => at % 2 === 1 && list[at - 1] === "cookie")).toEqual(["a=1", "b=2"]);
  });

  it("name a host beside :authority, for the caller to compare", () => {
    expect(read(["host", "evil.test"], true)).toMatchObject({ otherHost: "evil.test" });
  });

  it.each([
    ["transfer-encoding", "chunked"],
    ["connection", "close"],
    ["upgrade", "h2c"],
    ["keep-alive", "x"],
    ["te", "gzip"],
    ["X-Upper", "1"],
    ["x y", "1"],
    ["x", "a\r\nb: c"],
    ["x", "a\0b"],
    ["x", " edge"],
    ["content-length", "+5"],
    [":path", "/late"],
  ])("with %j: %j are refused", (name, value) => {
    expect(read([name, value]).kind).toBe("malformed");
  });

  it("whose length contradicts itself or the stream's end are refused", () => {
    expect(read(["content-length", "5", "content-length", "5"]).kind).toBe("malformed");
    expect(read(["content-length", "5"], true).kind).toBe("malformed");
    expect(read(["content-length", "0"], true)).toMatchObject({ length: 0 });
    expect(read([], false)).toMatchObject({ length: "chunked" });
  });

  it.each([
    [[":method", "CONNECT", ":scheme", "https", ":path", "/", ":authority", "a.test"]],
    [[":method", "GET", ":scheme", "https", ":path", "http://a/", ":authority", "a.test"]],
    [[":method", "GET", ":scheme", "https", ":path", "/a b", ":authority", "a.test"]],
    [[":method", "GET", ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.test"]],
    [[":method", "GET", ":path", "/", ":authority", "a.test"]],
    [[":method", "GET", ":scheme", "https", ":path", "/", ":authority", ""]],
    [[":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.test", ":protocol", "websocket"]],
  ])("%j are refused", (list) => {
    expect(readHttp2Request(list, true).kind).toBe("malformed");
  });

  it("never throw, whatever the names and values", () => {
    const text = fc.string({ unit: "binary", maxLength: 12 });
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text)), fc.boolean(), (pairs, ends) => {
        expect(["request", "malformed"]).toContain(read(pairs.flat(), ends).kind);
      }),
    );
  });
});

describe("responses", () => {
  it("take their status, and keep no body where there is none", () => {
    expect(readHttp2Response([":status", "200", "a", "b"], false, "GET")).toMatchObject({
      kind: "response",
      head: { status: 200, fields: [{ key: "a", value: "b" }] },
      length: "chunked",
    });
    expect(readHttp2Response([":status", "200", "content-length", "9"], true, "HEAD")).toMatchObject({ length: 0 });
    expect(readHttp2Response([":status", "20"], false, "GET").kind).toBe("malformed");
    expect(readHttp2Response(["a", "b"], false, "GET").kind).toBe("malformed");
    // There are no upgrades in HTTP/2 (section 8.6).
    expect(readHttp2Response([":status", "101"], false, "GET").kind).toBe("malformed");
  });

  it("are written without the fields of one connection", () => {
    const fields = ["Connection", "Keep-Alive", "Transfer-Encoding", "X"].map((name) => {
      return { name, key: name.toLowerCase(), value: "v" };
    });
    expect(writeHttp2Response({ status: 204, reason: "", minor: 1, fields }, undefined)).toEqual([
      ":status",
      "204",
      "x",
      "v",
    ]);
  });
});

describe("trailers", () => {
  it("lose what frames or routes a message", () => {
    const read = readHttp2Trailers(["grpc-status", "0", "content-length", "4", "host", "x"]);
    expect(read).toMatchObject({ kind: "fields", fields: [{ key: "grpc-status", value: "0" }] });
    expect(readHttp2Trailers([":path", "/"]).kind).toBe("malformed");
  });

  it("that stand twice are written twice", () => {
    const field = (value: string) => ({ name: "A", key: "a", value });
    expect(writeHttp2Trailers([field("1"), field("2")])).toEqual(["a", "1", "a", "2"]);
  });
});
