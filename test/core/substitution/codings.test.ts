import { describe, expect, it } from "vitest";
import { makeField } from "../../../src/core/message.ts";
import { parseCodings, parseMessageCoding } from "../../../src/core/substitution/codings.ts";

function parse(...values: string[]) {
  return parseCodings(values.map((value) => makeField("Content-Encoding", value)));
}

describe("parseCodings", () => {
  it.each([
    [[], []],
    [[""], []],
    [["identity"], []],
    [["gzip"], ["gzip"]],
    [["GZIP"], ["gzip"]],
    [["x-gzip"], ["gzip"]],
    [["deflate, br"], ["deflate", "br"]],
    [
      ["zstd", "gzip"],
      ["zstd", "gzip"],
    ],
    [["identity, , gzip"], ["gzip"]],
  ])("reads %j as %j", (values, codings) => {
    expect(parse(...values)).toEqual({ kind: "codings", codings });
  });

  it.each([["compress"], ["dcb"], ["dcz"], ["gzip, aes128gcm"], ["gzip, gzip, gzip"], ["gzip;q=1"], ["gzip br"]])(
    "cannot read %j",
    (value) => {
      expect(parse(value)).toEqual({ kind: "unreadable" });
    },
  );

  it("looks at no other field", () => {
    expect(parseCodings([makeField("Transfer-Encoding", "compress"), makeField("Accept-Encoding", "dcb")])).toEqual({
      kind: "codings",
      codings: [],
    });
  });
});

describe("parseMessageCoding", () => {
  it("reads what gRPC and Connect say", () => {
    const parse = (...fields: [string, string][]) =>
      parseMessageCoding(fields.map(([name, value]) => makeField(name, value)));
    expect(parse()).toEqual({ kind: "coding", coding: undefined });
    expect(parse(["grpc-encoding", "identity"])).toEqual({ kind: "coding", coding: undefined });
    expect(parse(["grpc-encoding", "GZIP"])).toEqual({ kind: "coding", coding: "gzip" });
    expect(parse(["Connect-Content-Encoding", "zstd"])).toEqual({ kind: "coding", coding: "zstd" });
    expect(parse(["grpc-encoding", "snappy"])).toEqual({ kind: "unreadable" });
    expect(parse(["grpc-encoding", "gzip, deflate"])).toEqual({ kind: "unreadable" });
    expect(parse(["grpc-encoding", "gzip"], ["grpc-encoding", "deflate"])).toEqual({ kind: "unreadable" });
  });
});
