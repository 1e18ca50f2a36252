import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonNesting } from "../../../src/core/substitution/json-nesting.ts";

const MARK = "@@";

/** The depth at the mark, for any cut. */
function depthAt(text: string): number {
  const bytes = Buffer.from(text);
  const mark = bytes.indexOf(MARK);
  const whole = new JsonNesting();
  whole.advance(bytes, 0, mark);
  const single = new JsonNesting();
  for (let at = 0; at < mark; at++) single.advance(bytes, at, at + 1);
  expect(single.depth).toBe(whole.depth);
  return whole.depth;
}

/** A string of JSON text within a string, so many layers deep. */
function layers(depth: number, wrap: (inner: string) => unknown): string {
  let text = MARK;
  for (let layer = 0; layer < depth; layer++) text = JSON.stringify(wrap(text));
  return text;
}

describe("layers of JSON strings", () => {
  it.each([1, 2, 3, 4])("are counted: %i", (depth) => {
    expect(depthAt(layers(depth, (inner) => ({ a: [1, true, null, { b: inner }] })))).toBe(depth);
    expect(depthAt(layers(depth, (inner) => [-1.5e3, "x", inner]))).toBe(depth);
    expect(depthAt(layers(depth, (inner) => ({ [inner]: 1 })))).toBe(depth);
    expect(depthAt(layers(depth, (inner) => ({ a: `{"k":1}`, b: "{ no JSON", c: inner })))).toBe(depth);
  });

  it("are those of any JSON value, however it is written", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), fc.nat(4), fc.boolean(), (value, indent, ascii) => {
        const inner = JSON.stringify([value, MARK], null, indent);
        const text = JSON.stringify({ value, inner });
        const escaped = ascii
          ? text.replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)
          : text;
        fc.pre(escaped.indexOf(MARK) === escaped.lastIndexOf(MARK));
        expect(depthAt(escaped)).toBe(2);
      }),
    );
  });

  it.each([
    ["a sentence", `say \\"${MARK}\\"`],
    ["a template", `{name} says \\"${MARK}\\"`],
    ["GraphQL", `{ user(token: \\"${MARK}\\") }`],
    ["a list of words", `[see \\"${MARK}\\"]`],
    ["JSON with something behind it", `{\\"a\\":1} \\"${MARK}\\"`],
    ["brackets that do not match", `{\\"a\\":1] \\"${MARK}\\"`],
    ["a bare string", `\\"${MARK}\\"`],
    ["no string", `{\\"a\\": ${MARK}`],
    ["a string that has ended", `[\\"a\\"${MARK}`],
  ])("are not made of what only looks like JSON: %s", (_, text) => {
    expect(depthAt(`{"text":"${text}`)).toBe(1);
  });

  it("end with the string", () => {
    expect(depthAt(`["[\\"a\\"]","${MARK}"]`)).toBe(1);
    expect(depthAt(`{"a":"[\\"a"}\n{"b":"${MARK}"}`)).toBe(1);
    expect(depthAt(MARK)).toBe(1);
  });

  it("are not followed too deep into brackets", () => {
    expect(depthAt(`["${"[".repeat(60)}\\"${MARK}`)).toBe(2);
    expect(depthAt(`["${"[".repeat(70)}\\"${MARK}`)).toBe(1);
  });
});
