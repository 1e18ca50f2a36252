import { describe, expect, it } from "vitest";
import {
  INCOMPLETE,
  isEscaped,
  isInsideUnit,
  readUnit,
  type Spelling,
  spellingsOf,
  unitCode,
  unitLength,
} from "../../../src/core/substitution/spelling.ts";

const read = (spelling: Spelling, text: string): [number, number] | "incomplete" => {
  const unit = readUnit(spelling, Buffer.from(text, "latin1"), 0);
  return unit === INCOMPLETE ? "incomplete" : [unitCode(unit), unitLength(unit)];
};

describe("units of a spelling", () => {
  it.each<[Spelling, string, [number, number] | "incomplete"]>([
    ["plain", "\\u0064", [0x5c, 1]],
    ["json", "d", [0x64, 1]],
    ["json", "\\u0064", [0x64, 6]],
    ["json", "\\u006Fx", [0x6f, 6]],
    ["json", "\\u00e9", [0xff, 6]],
    ["json", "\\u0164", [0xff, 6]],
    ["json", "\\/", [0x2f, 2]],
    ["json", "\\n", [0xff, 2]],
    ["json", "\\\\", [0xff, 2]],
    ["json", "\\", "incomplete"],
    ["json", "\\u006", "incomplete"],
    ["json", "\\u00x4", [0xff, 4]],
    ["percent", "%64", [0x64, 3]],
    ["percent", "%5F", [0x5f, 3]],
    ["percent", "%c3", [0xff, 3]],
    ["percent", "%6", "incomplete"],
    ["percent", "%", "incomplete"],
    ["percent", "%6g", [0x25, 1]],
    ["percent", "%g", [0x25, 1]],
  ])("%s %j", (spelling, text, expected) => expect(read(spelling, text)).toEqual(expected));

  it("count backslashes", () => {
    const bytes = Buffer.from("a\\\\\\u0064");
    expect([1, 2, 3].map((at) => isEscaped(bytes, at))).toEqual([false, true, false]);
  });

  it("know their inside", () => {
    const inside = (spelling: Spelling, text: string): string =>
      [...text].map((_, at) => (isInsideUnit(spelling, Buffer.from(text, "latin1"), at) ? "x" : ".")).join("");
    expect(inside("json", "a\\u0064b\\\\u00")).toBe("..xxxxx..x...".slice(0, 13));
    expect(inside("json", "\\nd")).toBe(".x.");
    expect(inside("percent", "%64%%6z%25")).toBe(".xx.....xx");
    expect(inside("plain", "%64\\n")).toBe(".....");
  });

  it("are those of common encoders for a caller's own literal", () => {
    const text = (spelling: Spelling, literal: string): string[] => spellingsOf(literal, spelling).map(String);
    expect(text("plain", "a/b+c")).toEqual(["a/b+c"]);
    expect(text("json", "a/b+c")).toEqual(["a/b+c", "a\\/b+c", "a/b\\u002bc"]);
    expect(text("percent", "a/b")).toEqual(["a/b", "a%2Fb", "a%2fb"]);
    expect(text("percent", "~(a)")).toEqual(expect.arrayContaining(["~(a)", "~%28a%29", "%7E%28a%29", "%7e%28a%29"]));
  });
});
