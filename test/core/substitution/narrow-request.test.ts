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

    const margin = longest - 1;

    it("is removed, with its condition, where what comes could not be cut back", () => {
      for (const range of [
        "bytes=0-99999,5-9",
        "bytes=5-1",
        "bytes=",
        "bytes=-",
        "bytes=-0",
        "bytes=a-b",
        "bytes=0-9999999999999999",
      ]) {
        expect(narrow({ Range: range, "If-Range": '"v1"', "Accept-Encoding": "gzip" })).toEqual({
          "Accept-Encoding": "gzip",
        });
      }
      const head = { ...requestOf({ Range: "bytes=0-999", Accept: "*/*" }), method: "HEAD" };
      expect(narrowRequest(head, scrubber).fields.map(({ name }) => name)).toEqual(["Accept"]);
    });

    it.each([
      ["bytes=5000-5001", `bytes=${5000 - margin}-${5001 + margin}`],
      ["BYTES = 0-0", `bytes=0-${margin}`],
      ["bytes=9000-", `bytes=${9000 - margin}-`],
      ["bytes=1-", "bytes=0-"],
      ["bytes=-1", `bytes=-${1 + margin}`],
    ])("of %j is widened, and asks for no coding", (range, widened) => {
      expect(narrow({ Range: range, "If-Range": '"v1"', "Accept-Encoding": "gzip, br" })).toEqual({
        Range: widened,
        "If-Range": '"v1"',
        "Accept-Encoding": "identity",
      });
    });

    it("may have Azure's name", () => {
      expect(narrow({ "x-ms-range": "bytes=0-6", "x-ms-range-get-content-md5": "true" })).toEqual({
        "x-ms-range": `bytes=0-${6 + margin}`,
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

    it.each([
      ["Authorization", "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host;range;x-amz-date, Signature=00"],
      ["Authorization", "SharedKey account:AAAA"],
      ["Authorization", 'Signature keyId="x",headers="(request-target) range",signature="AAAA"'],
      ["Signature-Input", 'sig1=("@method" "range");created=1'],
      ["Signature", 'keyId="x",headers="date Range",signature="AAAA"'],
    ])("that a signature covers stays: %s %s", (name, value) => {
      expect(narrow({ Range: "bytes=5-6", [name]: value })).toEqual({
        Range: "bytes=5-6",
        [name]: value,
        "Accept-Encoding": "identity",
      });
    });

    it("that a signature leaves out is widened", () => {
      for (const fields of [
        { Authorization: "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host;x-amz-date, Signature=00" },
        { "Signature-Input": 'sig1=("@method" "content-range")' },
        { Authorization: "Bearer range" },
      ]) {
        const { Range } = narrow({ ...fields, Range: "bytes=0-6" });
        expect(Range).toBe(`bytes=0-${6 + margin}`);
      }
    });

    it("of another unit is the application's", () => {
      const head = requestOf({ Range: "items=0-4", "Accept-Encoding": "gzip" });
      expect(narrowRequest(head, scrubber)).toBe(head);
    });
  });
});
