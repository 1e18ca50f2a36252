import { describe, expect, it } from "vitest";
import { makeField } from "../../../src/core/message.ts";
import { isIdentity, parseCodings } from "../../../src/core/substitution/codings.ts";

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

describe("isIdentity", () => {
  it("is true of no coding only", () => {
    expect(["identity", "Identity ", ""].map(isIdentity)).toEqual([true, true, true]);
    expect(["gzip", "identity, gzip", "*"].map(isIdentity)).toEqual([false, false, false]);
  });
});
