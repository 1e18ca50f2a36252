// `keyswap ca show|rotate` on the folder of a keyswap that runs and is told to reload.

import { afterAll, expect, test } from "vitest";
import { waitUntil } from "../support/wait.ts";
import { makeWorkbench } from "../support/workbench.ts";

const bench = makeWorkbench();
afterAll(() => bench[Symbol.asyncDispose]());

interface Shown {
  readonly fingerprint: string;
  readonly trusted: number;
}

async function show(): Promise<Shown> {
  return JSON.parse((await bench.run(["ca", "show", "--json"])).stdout) as Shown;
}

test("a CA is rotated under a keyswap that runs: it stays ready, and both are trusted in between", async () => {
  const running = await bench.start(["start"]);
  const ready = async (): Promise<number> => (await fetch(`http://${running.ready.admin}/readyz`)).status;
  const reload = async (): Promise<void> => {
    const reloads = (): number => running.stderr().split('"configuration reloaded"').length;
    const before = reloads();
    process.kill(running.pid, "SIGHUP");
    await waitUntil(() => {
      if (reloads() === before) throw new Error("not reloaded yet");
    });
    await waitUntil(async () => expect(await ready()).toBe(200));
  };
  const first = await show();
  expect(first.trusted).toBe(1);

  expect((await bench.run(["ca", "rotate"])).code).toBe(0);
  expect(await show()).toMatchObject({ fingerprint: first.fingerprint, trusted: 2 });
  await reload();

  const again = await bench.run(["ca", "rotate"]);
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining("--finish")]);

  expect((await bench.run(["ca", "rotate", "--finish"])).code).toBe(0);
  const second = await show();
  expect([second.fingerprint === first.fingerprint, second.trusted]).toEqual([false, 2]);
  await reload();

  expect((await bench.run(["ca", "rotate", "--forget"])).code).toBe(0);
  expect(await show()).toMatchObject({ fingerprint: second.fingerprint, trusted: 1 });
  await reload();
  expect((await running.stop()).code).toBe(0);
});

test("show says what is missing where there is no CA yet", async () => {
  const { code, stderr } = await bench.run(["ca", "show"], { env: { KEYSWAP_CERTS_DIR: `${bench.certsDir}-none` } });
  expect([code, stderr]).toEqual([1, expect.stringContaining("there is no CA in")]);
});
