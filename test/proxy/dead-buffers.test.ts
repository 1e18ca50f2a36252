import { afterEach, expect, test, vi } from "vitest";
import { collectWith, passedThrough } from "../../src/proxy/dead-buffers.ts";

const mebibyte = 1_048_576;

afterEach(() => collectWith(undefined));

test("the young generation is collected once every few megabytes, after the turn", async () => {
  const collect = vi.fn();
  collectWith(collect);
  for (let count = 0; count < 64; count++) passedThrough(mebibyte / 4);
  expect(collect).not.toHaveBeenCalled();
  await new Promise(setImmediate);
  expect(collect).toHaveBeenCalledTimes(4);
});

test("V8 is left to itself where it was not told how", async () => {
  passedThrough(64 * mebibyte);
  await new Promise(setImmediate);
});
