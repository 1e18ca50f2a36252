// Every target runs a few cases with each test run, so that none breaks unseen. Long runs: `npm run fuzz`.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fuzzTargets } from "./targets.ts";

/** The same ones each time. */
const [cases, seed] = [40, 1];

describe("fuzz target", () => {
  it.each(fuzzTargets)("$name", async ({ open }) => {
    const subject = await open();
    try {
      const details = await fc.check(subject.property, { numRuns: cases, seed });
      expect(details.failed ? fc.defaultReportMessage(details) : "").toBe("");
    } finally {
      await subject.close?.();
    }
  });
});

it("names are unique", () => {
  expect(new Set(fuzzTargets.map(({ name }) => name)).size).toBe(fuzzTargets.length);
});
