import { expect, it } from "vitest";
import { HeldBody, HeldBytes } from "../../src/proxy/held-bytes.ts";

const kiB = 1024;

it("a body reserves more as it grows, up to three times the bound on one", () => {
  const room = new HeldBytes(10_000 * kiB);
  room.reserve(100 * kiB);
  const body = new HeldBody(room, 100 * kiB, 100 * kiB);
  expect([body.add(100 * kiB), room.reserved]).toEqual([true, 100 * kiB]);
  expect([body.add(1), room.reserved]).toEqual([true, 164 * kiB]);
  expect([body.add(200 * kiB - 1), room.reserved]).toEqual([true, 356 * kiB]);
  expect([body.add(1), room.reserved]).toEqual([false, 356 * kiB]);
});

it("a body does not grow where others hold the rest", () => {
  const room = new HeldBytes(200 * kiB);
  room.reserve(150 * kiB);
  const body = new HeldBody(room, 10 * kiB, 100 * kiB);
  expect([body.add(10 * kiB), body.add(1)]).toEqual([true, false]);
  expect(room.reserved).toBe(150 * kiB);
});
