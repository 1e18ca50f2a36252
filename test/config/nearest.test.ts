import { expect, test } from "vitest";
import { nearestName } from "../../src/config/nearest.ts";

const known = ["proxy-listen", "api-listen", "note"];

test("finds the name that is fewest edits away", () => {
  expect(nearestName("proxy-lisen", known)).toBe("proxy-listen");
  expect(nearestName("apilisten", known)).toBe("api-listen");
  expect(nearestName("nota", known)).toBe("note");
});

test("finds none where nothing is near", () => {
  expect(nearestName("frobnicate", known)).toBeUndefined();
  expect(nearestName("", known)).toBeUndefined();
});
