import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Draft } from "../../../src/core/substitution/draft.ts";
import { decodeFormText, substituteTarget, targetMayHold } from "../../../src/core/substitution/target.ts";
import { grant, placeholder, scopeFor } from "./requests.ts";

const A = placeholder("a");

describe("a request target", () => {
  const grants = [grant("A", "v/1")];

  it("changes nowhere but at placeholders", () => {
    const parts = fc.constantFrom(
      "/",
      "%2F",
      "%2f",
      "..",
      "//",
      "?",
      "&",
      "=",
      "a",
      "%",
      "%zz",
      "%C3%A9",
      ";",
      "+",
      "#",
      "%ad",
      "tn_secret_",
    );
    fc.assert(
      fc.property(fc.array(parts), fc.array(parts), fc.boolean(), (before, after, escaped) => {
        const [head, tail] = [`/${before.join("")}`, after.join("")];
        fc.pre(!/%[0-9a-f]?$/i.test(head));
        const spelled = escaped ? A.replace(/[aetn_]/g, (char) => `%${char.charCodeAt(0).toString(16)}`) : A;
        const result = substituteTarget(head + spelled + tail, new Draft(scopeFor(grants)));
        expect(result).toBe(`${head}v%2F1${tail}`);
      }),
    );
  });

  it("may hold a placeholder only where one can be read", () => {
    const { view } = scopeFor(grants);
    expect(targetMayHold("/a%2Fb%20c", view)).toBe(false);
    expect(targetMayHold(`/%64${A.slice(1)}`, view)).toBe(true);
    expect(targetMayHold(`/${A}`, view)).toBe(true);
  });

  it("asks for unknown keys, and for none where another escape ends like a placeholder's beginning", () => {
    const draft = new Draft(scopeFor(grants));
    substituteTarget(`/${placeholder("z")}/${A}?${placeholder("y")}`, draft);
    expect(draft.finish()).toEqual(["z".repeat(25), "y".repeat(25)]);
    const none = new Draft(scopeFor([]));
    const target = `/%ad${A.slice(1)}`;
    expect(substituteTarget(target, none)).toBe(target);
    expect(none.finish()).toEqual([]);
  });

  it("is left alone in other forms", () => {
    for (const target of ["*", `${A}.example.com:443`]) {
      expect(substituteTarget(target, new Draft(scopeFor(grants)))).toBe(target);
    }
  });

  it("decodes names as forms do", () => {
    expect(decodeFormText("a+b%20c%C3%A9")).toBe("a b cé");
    expect(decodeFormText("%C3")).toBeUndefined();
  });
});
