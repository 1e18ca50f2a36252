// docs/threat-model.md names what shows each promise: all of it has to be there.

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const text = readFileSync(join(root, "docs/threat-model.md"), "utf8");
/** Rows of the table: what is promised, and what shows it. */
const promises = text.split("\n").flatMap((line) => {
  const [, promise, shown] = /^\| \*\*(.+?)\.\*\*.* \| (.+) \|$/.exec(line) ?? [];
  return promise === undefined || shown === undefined ? [] : [{ promise, shown }];
});

test("there are promises, and each says what shows it", () => {
  expect(promises.length).toBeGreaterThan(8);
});

test.each(promises)("$promise: the tests exist", ({ shown }) => {
  const paths = [...shown.matchAll(/`(test\/[^`]+)`/g)].map(([, path]) => path ?? "");
  const attacks = [...shown.matchAll(/attack: (\w+)/g)].map(([, name]) => `test/attack/${name}.ts`);
  expect([...paths, ...attacks]).not.toEqual([]);
  for (const path of [...paths, ...attacks]) expect([path, existsSync(join(root, path))]).toEqual([path, true]);
});
