import { describe, expect, it } from "vitest";
import { findInText, mayHold, replaceInText } from "../../../src/core/substitution/text-search.ts";
import { grant, placeholder, scopeFor } from "./requests.ts";

const A = placeholder("a");
const view = scopeFor([grant("A", "1")]).view;

describe("searching a head's strings", () => {
  it("finds a placeholder in the middle of a text", () => {
    expect(findInText(`Bearer ${A};x`, 0, view)).toMatchObject({ start: 7, end: 7 + A.length, altered: false });
    expect(findInText(`Bearer ${A};x`, 8, view)).toBeUndefined();
  });

  it("takes a longer run of letters as the placeholder and what follows it", () => {
    expect(findInText(`${A}zz`, 0, view)).toMatchObject({ end: A.length, altered: false });
  });

  it("tells an altered placeholder and an unknown one", () => {
    expect(findInText(A.slice(0, -1), 0, view)).toMatchObject({ altered: true, end: 36 });
    expect(findInText(placeholder("q"), 0, view)).toMatchObject({ grant: undefined, key: "q".repeat(25), end: 36 });
  });

  it("goes on after a prefix that is no placeholder", () => {
    expect(mayHold("dtn_secret_short", view)).toBe(true);
    expect(findInText(`dtn_secret_short dtn_secret_${A}`, 0, view)).toMatchObject({ start: 28 });
    expect(findInText("dtn_secret_short", 0, view)).toBeUndefined();
  });

  it("finds callers' own placeholders, the longest where one begins like another", () => {
    const own = scopeFor([
      grant("A", "1"),
      grant("B", "2", { placeholder: "sk-0123456789abcdefg" }),
      grant("C", "3", { placeholder: "sk-0123456789abcdefg-more" }),
      grant("D", "4", { placeholder: "dtn_secret_a7f3b2c1e9d4f6g8" }),
    ]).view;
    const names = (text: string): string[] => {
      const found: string[] = [];
      replaceInText(text, own, (sighting) => {
        found.push(sighting.grant?.grant.name ?? "?");
        return undefined;
      });
      return found;
    };
    expect(names(`sk-0123456789abcdefg sk-0123456789abcdefg-more ${A} sk-0123456789abcdef`)).toEqual(["B", "C", "A"]);
    expect(names("dtn_secret_a7f3b2c1e9d4f6g8")).toEqual(["D"]);
  });

  it("does not look at what it has put in", () => {
    expect(replaceInText(`${A}${A}`, view, () => A)).toBe(A + A);
    expect(replaceInText(`x${A}y${A}z`, view, () => "")).toBe("xyz");
  });
});
