import { describe, expect, test } from "vitest";
import { workers } from "../../src/config/values.ts";

describe("a number of workers", () => {
  test.each([-1, 0, 1.5, 257, "0", "many", "-1", true])("%j is refused with all that may stand there", (given) => {
    const { error } = workers.safeParse(given);
    expect(error?.issues.map((issue) => issue.message)).toEqual(["must be auto or a whole number from 1 to 256"]);
  });

  test("is a number, in text too, or auto", () => {
    expect(workers.parse(3)).toBe(3);
    expect(workers.parse("256")).toBe(256);
    expect(workers.parse("auto")).toBeGreaterThan(0);
  });
});
