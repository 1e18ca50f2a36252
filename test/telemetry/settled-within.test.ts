import { expect, test } from "vitest";
import { settledWithin } from "../../src/telemetry/settled-within.ts";

const never = new Promise<never>(() => {});

test("says whether the work was done in time", async () => {
  expect(await settledWithin(Promise.resolve("done"), 60_000)).toBe(true);
  expect(await settledWithin(never, 1)).toBe(false);
});

test("rejects as the work does, and leaves no timer", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  await expect(settledWithin(Promise.reject(new Error("failed")), 60_000)).rejects.toThrow("failed");
  await settledWithin(Promise.resolve(), 60_000);
  expect(timers()).toBe(before);
});
