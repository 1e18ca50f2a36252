import { describe, expect, it } from "vitest";
import { notSubstitutedReasons } from "../../src/core/reasons.ts";

describe("notSubstitutedReasons", () => {
  it.each(Object.entries(notSubstitutedReasons))("%s can stand in a header field and is explained", (code, text) => {
    expect(code).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
    // Half a sentence: it is put behind "not substituted:".
    expect(text).toMatch(/^[a-z][\x20-\x7e]*[^.]$/);
  });

  it("has no two explanations alike", () => {
    const texts = Object.values(notSubstitutedReasons);
    expect(new Set(texts).size).toBe(texts.length);
  });
});
