import fc from "fast-check";
import { expect, test } from "vitest";
import { Rfc3339Writer } from "../../src/core/rfc3339.ts";

test("writes every moment as Date does, in whatever order they come", () => {
  const writer = new Rfc3339Writer();
  const moment = fc.oneof(
    fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }),
    fc.integer({ min: 1_795_000_000_000, max: 1_795_000_002_000 }),
  );
  fc.assert(
    fc.property(moment, (ms) => writer.write(ms) === new Date(ms).toISOString()),
    { numRuns: 2_000 },
  );
});

test("leaves out parts of a millisecond, and refuses what is no date", () => {
  const writer = new Rfc3339Writer();
  expect(writer.write(1_000.999)).toBe("1970-01-01T00:00:01.000Z");
  expect(() => writer.write(Number.NaN)).toThrow(RangeError);
  expect(writer.write(2)).toBe("1970-01-01T00:00:00.002Z");
});
