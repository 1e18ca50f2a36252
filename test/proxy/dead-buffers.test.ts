import { afterEach, expect, test, vi } from "vitest";
import { passedThrough } from "../../src/proxy/dead-buffers.ts";

const mebibyte = 1_048_576;

afterEach(() => {
  globalThis.gc = undefined;
});

test("the young generation is collected once every few megabytes, after the turn", async () => {
  const collect = vi.fn(async () => {});
  globalThis.gc = collect;
  for (let count = 0; count < 64; count++) passedThrough(mebibyte / 4);
  expect(collect).not.toHaveBeenCalled();
  await new Promise(setImmediate);
  expect(collect.mock.calls).toEqual(Array(4).fill([{ type: "minor", execution: "sync" }]));
});

test("V8 is left to itself where it does not show its collector", async () => {
  passedThrough(64 * mebibyte);
  await new Promise(setImmediate);
});
