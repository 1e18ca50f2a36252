import { describe, expect, it } from "vitest";
import { makeField, type RequestHead } from "../../../src/core/message.ts";
import { narrowRequest } from "../../../src/core/substitution/narrow-request.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";
import { fieldsOf, grantOf } from "./scrub-support.ts";

const scrubber = new Scrubber([grantOf("S", "0123456789abcdefghijklmnopqrstuvwxyz")]);

function requestOf(fields: Record<string, string>): RequestHead {
  return { method: "GET", target: "/", minor: 1, fields: fieldsOf(fields) };
}

function narrow(fields: Record<string, string>): Record<string, string> {
  const head = narrowRequest(requestOf(fields), scrubber);
  return Object.fromEntries(head.fields.map(({ name, value }) => [name, value]));
}

describe("narrowRequest", () => {
  it("gives back the same head where all is within bounds", () => {
    for (const value of [
      "gzip, deflate, br",
      "gzip, deflate, br, zstd",
      "br;q=1.0, gzip;q=0.8, *;q=0",
      "identity",
      "",
    ]) {
      const head = requestOf({ Accept: "*/*", "Accept-Encoding": value });
      expect(narrowRequest(head, scrubber)).toBe(head);
    }
    const head = requestOf({ Accept: "*/*" });
    expect(narrowRequest(head, scrubber)).toBe(head);
  });

  it("gives back the same head where there is nothing to scrub", () => {
    const head = requestOf({ "Accept-Encoding": "compress", Range: "bytes=0-1" });
    expect(narrowRequest(head, new Scrubber([]))).toBe(head);
  });

  it.each([
    ["gzip, compress, br", "gzip, br"],
    ["gzip, deflate, br, zstd, dcb, dcz", "gzip, deflate, br, zstd"],
    ["*", "identity"],
    ["compress;q=0.5 , GZIP;q=1.0", "GZIP;q=1.0"],
    ["gzip, *;q=0.1", "gzip"],
    ["sdch", "identity"],
  ])("narrows Accept-Encoding %j to %j", (value, narrowed) => {
    expect(narrow({ "Accept-Encoding": value })).toEqual({ "Accept-Encoding": narrowed });
    expect(narrow({ "Accept-Encoding": value })).toEqual({ "Accept-Encoding": narrowed });
  });

  it("asks gRPC and Connect for messages in codings that can be read", () => {
    expect(narrow({ "grpc-accept-encoding": "identity, snappy, gzip", "Connect-Accept-Encoding": "s2" })).toEqual({
      "grpc-accept-encoding": "identity, gzip",
      "Connect-Accept-Encoding": "identity",
    });
  });

  it("takes shared dictionaries and deltas away", () => {
    expect(
      narrow({
        "Available-Dictionary": ":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=:",
        "Dictionary-ID": '"x"',
        "A-IM": "vcdiff",
        "Accept-Encoding": "gzip, br, dcb",
        Accept: "*/*",
      }),
    ).toEqual({ "Accept-Encoding": "gzip, br", Accept: "*/*" });
  });

  describe("a Range", () => {
    const longest = scrubber.longestForm;

    it("is removed, with its condition, where a part might be shorter than the longest form", () => {
      for (const range of [
        `bytes=0-${longest - 2}`,
        `bytes=-${longest - 1}`,
        `bytes=0-99999,5-9`,
        "bytes=5-1",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "BYTES = 0-0",
      ]) {
        expect(narrow({ Range: range, "If-Range": '"v1"', "Accept-Encoding": "gzip" })).toEqual({
          "Accept-Encoding": "gzip",
        });
      }
    });

    it("goes upstream otherwise, and asks for no coding", () => {
      for (const range of [`bytes=0-${longest - 1}`, `bytes=-${longest}`, "bytes=1000-", "bytes=0-999, 2000-"]) {
        expect(narrow({ Range: range, "If-Range": '"v1"', "Accept-Encoding": "gzip, br" })).toEqual({
          Range: range,
          "If-Range": '"v1"',
          "Accept-Encoding": "identity",
        });
        expect(narrow({ range: range })).toEqual({ range: range, "Accept-Encoding": "identity" });
      }
    });

    it("may have Azure's name", () => {
      expect(narrow({ "x-ms-range": "bytes=5-6", Accept: "*/*" })).toEqual({ Accept: "*/*" });
      expect(narrow({ "X-Ms-Range": "bytes=0-999" })).toEqual({
        "X-Ms-Range": "bytes=0-999",
        "Accept-Encoding": "identity",
      });
      expect(narrow({ "x-ms-range": "nonsense", Accept: "*/*" })).toEqual({ Accept: "*/*" });
    });

    it("is removed where there are more of them, however they are named", () => {
      expect(narrow({ Range: "bytes=0-999", "x-ms-range": "bytes=0-999", Accept: "*/*" })).toEqual({ Accept: "*/*" });
      const twice = { ...requestOf({}), fields: [makeField("Range", "items=0-999"), makeField("range", "bytes=5-6")] };
      expect(narrowRequest(twice, scrubber).fields).toEqual([]);
    });

    it("of what is written stays", () => {
      const head = { ...requestOf({ "x-ms-range": "bytes=0-3", Range: "bytes=0-3" }), method: "PUT" };
      expect(narrowRequest(head, scrubber)).toBe(head);
    });

    it("of another unit is the application's", () => {
      const head = requestOf({ Range: "items=0-4", "Accept-Encoding": "gzip" });
      expect(narrowRequest(head, scrubber)).toBe(head);
    });
  });
});
