import { describe, expect, it } from "vitest";
import type { RequestHead } from "../../../src/core/message.ts";
import { readRangeAsk, widenRange } from "../../../src/core/substitution/byte-range.ts";
import { fieldsOf } from "./scrub-support.ts";

function ask(fields: Record<string, string>, method = "GET") {
  const head: RequestHead = { method, target: "/", minor: 1, fields: fieldsOf(fields) };
  return readRangeAsk(head);
}

describe("readRangeAsk", () => {
  it("reads one range", () => {
    expect(ask({ Range: "bytes=5-9" })).toEqual({ kind: "widened", range: { kind: "from", first: 5, last: 9 } });
    expect(ask({ Range: " Bytes = 5- " })).toMatchObject({ range: { kind: "from", first: 5, last: undefined } });
    expect(ask({ "x-ms-range": "bytes=-9" })).toMatchObject({ range: { kind: "suffix", length: 9 } });
  });

  it("says what cannot be widened, and what need not be", () => {
    expect(ask({ Range: "bytes=5-9,11-12" })).toEqual({ kind: "dropped" });
    expect(ask({ Range: "bytes=5-9" }, "POST")).toEqual({ kind: "dropped" });
    expect(ask({ Range: "bytes=5-9", Authorization: "SharedKey a:b" })).toEqual({ kind: "kept" });
    expect(ask({ Range: "bytes=5-9" }, "PUT")).toEqual({ kind: "none" });
    expect(ask({ Range: "items=5-9" })).toEqual({ kind: "none" });
    expect(ask({})).toEqual({ kind: "none" });
  });
});

describe("widenRange", () => {
  it("never begins before the first byte", () => {
    expect(widenRange({ kind: "from", first: 5, last: 9 }, 10)).toBe("bytes=0-19");
    expect(widenRange({ kind: "from", first: 50, last: undefined }, 10)).toBe("bytes=40-");
    expect(widenRange({ kind: "suffix", length: 9 }, 10)).toBe("bytes=-19");
  });
});
