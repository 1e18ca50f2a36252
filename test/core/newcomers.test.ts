import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { Newcomers } from "../../src/core/newcomers.ts";

function crowd(newcomers: Newcomers, count: number): PassThrough[] {
  return Array.from({ length: count }, () => {
    const stream = new PassThrough();
    newcomers.add(stream);
    return stream;
  });
}

it("beyond the bound the oldest goes, each time", () => {
  const newcomers = new Newcomers(3);
  const streams = crowd(newcomers, 5);
  expect(streams.map(({ destroyed }) => destroyed)).toEqual([true, true, false, false, false]);
  expect(newcomers.size).toBe(3);
});

it("who is known does not count any more, also under TLS, and who is gone makes room", async () => {
  const newcomers = new Newcomers(2);
  const [known, under] = crowd(newcomers, 2) as [PassThrough, PassThrough];
  const secure = new PassThrough();
  newcomers.wrap(under, secure);
  newcomers.settle(known);
  newcomers.settle(secure);
  const [gone, stays] = crowd(newcomers, 2) as [PassThrough, PassThrough];
  await new Promise((resolve) => gone.once("close", resolve).destroy());
  const [late] = crowd(newcomers, 1);
  expect([known, under, stays, late].map((each) => each?.destroyed)).toEqual([false, false, false, false]);
});
