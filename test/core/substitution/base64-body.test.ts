import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Base64Transform } from "../../../src/core/substitution/base64-body.ts";
import { type BodyRules, TextTransform } from "../../../src/core/substitution/body-text.ts";
import type { Spelling } from "../../../src/core/substitution/spelling.ts";
import { cutsOf, grant, placeholder, run, type ScopeOptions, scopeFor } from "./requests.ts";

const A = placeholder("a");

function rewrite(
  body: string,
  value: string,
  cuts: readonly number[] = [],
  spelling: Spelling = "plain",
  more: ScopeOptions = {},
) {
  const scope = scopeFor([grant("A", value, { locations: ["base64", "body"] })], more);
  const rules: BodyRules = { spelling, context: "raw", equalLength: false };
  const transform = new Base64Transform(new TextTransform(rules, scope), rules, scope);
  return { text: run(transform, Buffer.from(body, "latin1"), scope, cuts).toString("latin1"), scope, transform };
}

const encode = (text: string, alphabet: "base64" | "base64url" = "base64"): string =>
  Buffer.from(text, "latin1").toString(alphabet);

describe("placeholders within base64", () => {
  it("are substituted at any alignment, in either alphabet, padded or not, for any cut", () => {
    const bytes = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      maxLength: 12,
    });
    const input = fc
      .record({
        before: bytes,
        after: bytes,
        value: bytes,
        urlSafe: fc.boolean(),
        unpadded: fc.boolean(),
        repeat: fc.boolean(),
      })
      .chain((one) => fc.record({ one: fc.constant(one), cuts: cutsOf(60) }));
    fc.assert(
      fc.property(input, ({ one, cuts }) => {
        const { before, after, value, urlSafe, unpadded, repeat } = one;
        const build = (text: string): string => {
          const encoded = encode(before + text + after + (repeat ? text : ""), urlSafe ? "base64url" : "base64");
          return unpadded ? encoded.replace(/=+$/, "") : encoded;
        };
        const sent = build(A);
        // A run of whole groups does not show its alphabet or whether it would be padded.
        fc.pre(!/^[A-Za-z0-9]*$/.test(sent) || (!urlSafe && !unpadded));
        const { text } = rewrite(`<"${sent}">`, value, cuts);
        const decoded = Buffer.from(text.slice(2, -2), "base64").toString("latin1");
        // The value is bytes of its UTF-8.
        const utf8 = Buffer.from(value, "utf8").toString("latin1");
        expect(decoded).toBe(before + utf8 + after + (repeat ? utf8 : ""));
        if (urlSafe) expect(text.slice(2, -2)).not.toMatch(/[+/]/);
        else expect(text.slice(2, -2)).toMatch(/^[A-Za-z0-9+/]*=*$/);
      }),
      { numRuns: 500 },
    );
  });

  it("stay where the run is no canonical base64", () => {
    for (const body of [
      `${encode(`x${A}y`).replace(/.==$/, "B==")}`,
      `${encode(`x${A}`)}A`,
      `+${encode(`x${A}`)}_abc`,
    ]) {
      const { text, transform } = rewrite(body, "values");
      expect(text).toBe(body);
      expect(transform.changed).toBe(false);
    }
  });

  it("stay in step where the text goes on beyond an escape", () => {
    const inForm = `a=${encode(`xy${A}z`).replace(/=+$/, "")}%2Babc`;
    expect(rewrite(inForm, "values", [], "percent").text).toBe(inForm);
    expect(rewrite(inForm, "v".repeat(38), [], "percent").text).toBe(
      `a=${encode(`xy${"v".repeat(38)}z`).replace(/=+$/, "")}%2Babc`,
    );
    const inJson = `"${encode(A).replace(/=+$/, "")}\\/abc"`;
    const { text, scope } = rewrite(inJson, "values", [], "json");
    expect(text).toBe(inJson);
    expect(scope.notSubstituted).toEqual([{ secret: "A", surface: "base64", reason: "length-differs" }]);
  });

  it("are escaped for the form they stand in", () => {
    const value = "\xfb\xff";
    const { text } = rewrite(`a=${encode(`${A}!`)}`, value, [], "percent");
    expect(new URLSearchParams(text).get("a")).toBe(Buffer.from(`${value}!`, "utf8").toString("base64"));
  });

  it("end with the padding that a form has escaped", () => {
    for (const tail of ["", "!", "!!"]) {
      const body = `a=${encodeURIComponent(encode(A + tail))}&b=1`;
      for (const cuts of [[], Array.from(body, (_, at) => at)]) {
        expect(rewrite(body, "values", cuts, "percent").text).toBe(
          `a=${encodeURIComponent(encode(`values${tail}`))}&b=1`,
        );
        expect(rewrite(body.replaceAll("%3D", "%3d"), "v", cuts, "percent").text).toBe(
          `a=${encodeURIComponent(encode(`v${tail}`))}&b=1`,
        );
      }
    }
  });

  it("are held within a bound: a longer run keeps its groups in step", () => {
    const tail = "t".repeat(90_000);
    const body = encode(A + tail);
    for (const cuts of [[], [30_000, 65_000, 65_536, 65_540, 90_000]]) {
      // Not toBe: a difference would be printed whole.
      expect(rewrite(body, "values", cuts).text === body).toBe(true);
      expect(rewrite(body, "v".repeat(41), cuts).text === encode("v".repeat(41) + tail)).toBe(true);
    }
  });

  it("are recorded once, whatever has to be looked up", () => {
    const body = `${encode(`${A} ${placeholder("z")} ${A}`)} ${A}`;
    for (const cuts of [[], [5], [100], [130]]) {
      const { text, scope } = rewrite(body, "value", cuts);
      expect(text).toBe(`${encode(`value ${placeholder("z")} value`)} value`);
      expect(scope.substituted).toHaveLength(2);
      expect(scope.notSubstituted).toEqual([{ surface: "base64", reason: "unknown-placeholder" }]);
    }
  });
});
