import { describe, expect, it } from "vitest";
import {
  HeaderTable,
  maxTableBytes,
  staticIndexOf,
  staticLength,
  staticName,
  staticValue,
} from "../../../src/core/http2/header-table.ts";

describe("the static table", () => {
  it("is that of RFC 7541 appendix A", () => {
    expect(staticLength).toBe(61);
    expect([staticName(1), staticName(2), staticValue(2)]).toEqual([":authority", ":method", "GET"]);
    expect([staticName(8), staticValue(8), staticName(16), staticValue(16)]).toEqual([
      ":status",
      "200",
      "accept-encoding",
      "gzip, deflate",
    ]);
    expect([staticName(32), staticName(61)]).toEqual(["cookie", "www-authenticate"]);
  });

  it("finds a name's first pair", () => {
    expect(staticIndexOf(":status")).toBe(8);
    expect(staticIndexOf("content-type")).toBe(31);
    expect(staticIndexOf("x-other")).toBe(0);
  });
});

describe("a dynamic table", () => {
  it("has the youngest pair first, and lets go of the oldest", () => {
    const evicted: string[] = [];
    const table = new HeaderTable((name, number) => evicted.push(`${number} ${name}`));
    table.resize(2 * 34);
    table.add("a", "1");
    table.add("b", "2");
    expect([table.name(1), table.value(2), table.bytes]).toEqual(["b", "1", 68]);
    table.add("c", "3");
    expect([table.length, table.name(1), table.name(2)]).toEqual([2, "c", "b"]);
    expect(evicted).toEqual(["0 a"]);
  });

  it("is empty behind a pair that does not fit", () => {
    const table = new HeaderTable();
    table.resize(100);
    table.add("a", "1");
    table.add("b", "x".repeat(100));
    expect([table.length, table.bytes]).toEqual([0, 0]);
  });

  it("goes round: as many pairs as fit, however many were added", () => {
    const table = new HeaderTable();
    for (let at = 0; at < 1_000; at++) table.add("", "");
    expect([table.length, table.bytes]).toEqual([maxTableBytes / 32, maxTableBytes]);
    for (let at = 0; at < 300; at++) table.add("n", String(at));
    expect([table.value(1), table.value(2), table.value(table.length)]).toEqual([
      "299",
      "298",
      String(300 - table.length),
    ]);
    table.resize(0);
    expect([table.length, table.bytes]).toEqual([0, 0]);
  });
});
