import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonLocator } from "../../../src/core/substitution/json-locator.ts";

/** Pointers of all strings that start with a mark, as the locator sees them. */
function located(text: string, cut = 0): (string | undefined)[] {
  const bytes = Buffer.from(text, "utf8");
  const locator = new JsonLocator();
  const found: (string | undefined)[] = [];
  let from = 0;
  for (let at = bytes.indexOf("MARK"); at >= 0; at = bytes.indexOf("MARK", at + 1)) {
    const middle = Math.min(at, Math.max(from, cut));
    locator.advance(bytes, from, middle);
    locator.advance(bytes, middle, at);
    from = at;
    found.push(locator.part());
  }
  return found;
}

function walk(value: unknown, pointer: string, found: (string | undefined)[]): void {
  if (typeof value === "string") {
    if (value.includes("MARK")) found.push(pointer);
  } else if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) walk(item, `${pointer}/${i}`, found);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      if (key.includes("MARK")) found.push(undefined);
      walk(item, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, found);
    }
  }
}

describe("the JSON locator", () => {
  it("knows the pointer of every string, as a parser does", () => {
    const key = fc.oneof(fc.constantFrom("a", "a/b", "~", 'q"', "é", "\\", "MARK", "0"), fc.string({ maxLength: 5 }));
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom("MARK", "plain", '"[{', 1, null, true, "\\"),
        fc.array(tie("tree"), { maxLength: 3 }),
        fc.dictionary(key, tie("tree"), { maxKeys: 3, noNullPrototype: true }),
      ),
    }));
    fc.assert(
      fc.property(tree, fc.constantFrom(undefined, 2), fc.nat(60), (value, indent, cut) => {
        const expected: (string | undefined)[] = [];
        walk(value, "", expected);
        expect(located(JSON.stringify(value, null, indent), cut)).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it("starts anew with each document", () => {
    expect(located('{"a":["MARK"]}\n{"b":"MARK"}\n"MARK"')).toEqual(["/a/0", "/b", ""]);
  });

  it("names nothing outside of strings, too deep, or under a key that is too long", () => {
    expect(located("{MARK:1}")).toEqual([undefined]);
    expect(located(`${"[".repeat(65)}"MARK"${"]".repeat(65)}`)).toEqual([undefined]);
    expect(located(`${"[".repeat(65)}1${"]".repeat(65)}["MARK"]`)).toEqual(["/0"]);
    expect(located(`{"${"k".repeat(300)}":"MARK","a":"MARK"}`)).toEqual([undefined, "/a"]);
  });

  it("reads what is not JSON without an error", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (data) => {
        const locator = new JsonLocator();
        locator.advance(Buffer.from(data), 0, data.length);
        expect(["string", "undefined"]).toContain(typeof locator.part());
      }),
    );
  });
});
