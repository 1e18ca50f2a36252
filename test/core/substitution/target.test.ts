import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeFormText, substituteTarget, targetMayHold, visitTarget } from "../../../src/core/substitution/target.ts";
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
        const result = substituteTarget(head + spelled + tail, scopeFor(grants));
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

  it("is visited in order", () => {
    const { view } = scopeFor(grants);
    const keys: string[] = [];
    visitTarget(`/${placeholder("z")}/${A}`, view, (sighting) => keys.push(sighting.key[0]!));
    // The end of another escape is no beginning.
    visitTarget(`/%ad${A.slice(1)}`, view, (sighting) => keys.push(sighting.key));
    expect(keys).toEqual(["z", "a"]);
  });

  it("is left alone in other forms", () => {
    for (const target of ["*", `${A}.example.com:443`]) {
      expect(substituteTarget(target, scopeFor(grants))).toBe(target);
    }
  });

  it("decodes names as forms do", () => {
    expect(decodeFormText("a+b%20c%C3%A9")).toBe("a b cé");
    expect(decodeFormText("%C3")).toBeUndefined();
  });
});
