import { expect, it } from "vitest";
import { Http2Stream } from "../../../src/core/http2/stream.ts";
import { StreamTable } from "../../../src/core/http2/stream-table.ts";

function make(id = 0): Http2Stream {
  const none = (): void => {};
  const stream = new Http2Stream({ onReady: none, onHeard: none, onHeld: none, onReset: none }, 1, 1);
  stream.id = id;
  return stream;
}

it("knows what is open, what never was, and what was given up", () => {
  const table = new StreamTable();
  const [first, second] = [make(), make()];
  table.addUnopened(first);
  table.addUnopened(second);
  expect([table.size, table.isIdle(1), table.all()]).toEqual([2, true, [first, second]]);
  table.number(second);
  table.number(first);
  expect([second.id, first.id, table.last, table.get(3) === first]).toEqual([1, 3, 3, true]);
  expect([table.isIdle(1), table.isIdle(2), table.isIdle(5)]).toEqual([false, true, true]);
  table.delete(first);
  table.delete(second);
  expect([table.size, table.get(3)]).toEqual([0, undefined]);
});

it("forgets the oldest of those that were given up, in the end", () => {
  const table = new StreamTable();
  for (let id = 1; id < 4_000; id += 2) table.forget(id);
  expect([table.isForgotten(1), table.isForgotten(3_999)]).toEqual([false, true]);
});
