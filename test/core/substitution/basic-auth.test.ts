import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { basicMayHold, isBasic, substituteBasic } from "../../../src/core/substitution/basic-auth.ts";
import { Draft } from "../../../src/core/substitution/draft.ts";
import { grant, placeholder, scopeFor } from "./requests.ts";

const A = placeholder("a");
const encode = (pair: string): string => `Basic ${Buffer.from(pair, "utf8").toString("base64")}`;

describe("Basic credentials", () => {
  it("are told by their scheme", () => {
    expect([isBasic("Basic eA=="), isBasic("basic eA=="), isBasic("Bearer abc"), isBasic("Basic")]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it("hold a placeholder at any alignment, and keep all else", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (user, tail) => {
        const scope = scopeFor([grant("A", "geheim")]);
        const value = encode(`${user}:${A}${tail}`);
        expect(basicMayHold(value, scope.view)).toBe(true);
        const draft = new Draft(scope);
        expect(substituteBasic(value, draft)).toBe(encode(`${user}:geheim${tail}`));
        expect(draft.finish()).toEqual([]);
        expect(scope.substituted).toEqual([{ secret: "A", surface: "basic" }]);
      }),
    );
  });

  it("take a value of UTF-8", () => {
    expect(substituteBasic(encode(`u:${A}`), new Draft(scopeFor([grant("A", "clé€")])))).toBe(encode("u:clé€"));
  });

  it("stay where they are not canonical, or not UTF-8", () => {
    const scope = scopeFor([grant("A", "v")]);
    const invalid = `Basic ${Buffer.concat([Buffer.from([0xff]), Buffer.from(A)]).toString("base64")}`;
    const unpadded = encode(`u:${A}x`).replace(/=+$/, "");
    const trailing = encode(`u:${A}`).replace(/.(=+)$/, "B$1");
    for (const value of [invalid, `${unpadded}=====`, trailing, `${encode(`u:${A}`)} x`]) {
      const draft = new Draft(scope);
      expect(substituteBasic(value, draft)).toBe(value);
      draft.finish();
    }
    expect(scope.substituted).toEqual([]);
  });

  it("ask for unknown keys", () => {
    const draft = new Draft(scopeFor([]));
    substituteBasic(encode(`${placeholder("y")}:${placeholder("z")}`), draft);
    expect(draft.finish()).toEqual(["y".repeat(25), "z".repeat(25)]);
  });
});
