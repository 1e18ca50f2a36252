import { expect, it } from "vitest";
import { Allowance, Allowances, perMinute } from "../../src/core/allowance.ts";

let now = 1_000_000;
const clock = (): number => now;

it("gives so many at once, then so many a second, never more than at once", () => {
  const allowance = new Allowance({ burst: 3, perSecond: 2, clock });
  const take = (): boolean[] => Array.from({ length: 4 }, () => allowance.take());
  expect(take()).toEqual([true, true, true, false]);
  now += 1000;
  expect(take()).toEqual([true, true, false, false]);
  now += 3_600_000;
  expect(take()).toEqual([true, true, true, false]);
});

it("a clock that was set back gives nothing and takes nothing away", () => {
  const allowance = new Allowance({ burst: 2, perSecond: 1, clock });
  expect(allowance.take()).toBe(true);
  now -= 60_000;
  expect([allowance.take(), allowance.take()]).toEqual([true, false]);
  now += 1000;
  expect(allowance.take()).toBe(true);
});

it("keys do not share theirs, and a million of them are not kept", () => {
  const allowances = new Allowances({ burst: 1, perSecond: 0, clock });
  expect([allowances.take("a"), allowances.take("a"), allowances.take("b")]).toEqual([true, false, true]);
  expect([allowances.isEmpty("a"), allowances.isEmpty("never seen")]).toEqual([true, false]);
  for (let count = 0; count < 20_000; count++) allowances.take(`key ${count}`);
  // Forgotten, so it starts anew.
  expect(allowances.take("a")).toBe(true);
});

it("what is given back can be taken again, and is never more than at once", () => {
  const allowances = new Allowances({ burst: 2, perSecond: 0, clock });
  expect([allowances.take("a"), allowances.take("a"), allowances.take("a")]).toEqual([true, true, false]);
  allowances.giveBack("a");
  expect([allowances.take("a"), allowances.take("a")]).toEqual([true, false]);
  for (let count = 0; count < 5; count++) allowances.giveBack("a");
  expect([allowances.take("a"), allowances.take("a"), allowances.take("a")]).toEqual([true, true, false]);
  allowances.giveBack("never seen");
  expect(allowances.isEmpty("never seen")).toBe(false);
});

it("so many in a minute", () => {
  const allowance = new Allowance(perMinute(3, clock));
  expect([allowance.take(), allowance.take(), allowance.take(), allowance.take()]).toEqual([true, true, true, false]);
  now += 20_000;
  expect([allowance.take(), allowance.take()]).toEqual([true, false]);
});
