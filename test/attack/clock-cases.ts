// Faults: the machine's clock jumps under a running keyswap (libfaketime; the clock that does not jump stays as it is).

import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answerInHalves, assertSubstitutes, exchange, intercepted } from "./ways.ts";
import { type AttackCase, evilHost, goodHost, holds, inOwnWorld, same, until, type World } from "./world.ts";

/** Debian's package libfaketime, on any architecture. */
const [library] = globSync("/usr/lib/*/faketime/libfaketime.so.1");
const skip = library === undefined ? "libfaketime is not installed (Debian: faketime)" : undefined;

/** A keyswap that reads this offset whenever it looks at the clock. */
async function underFakeClock(run: (world: World, jump: (offset: string) => void) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "keyswap-clock-"));
  const offsets = join(folder, "offset");
  const jump = (offset: string): void => writeFileSync(offsets, `${offset}\n`);
  jump("+0");
  try {
    await inOwnWorld((world) => run(world, jump), {
      LD_PRELOAD: library ?? "",
      FAKETIME_TIMESTAMP_FILE: offsets,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Short of what a certificate of the test's own or a leaf lasts: both sides still take each other for valid. */
const jumps = ["+1h", "-3h", "+2h", "+0"] as const;

export const clockCases: readonly AttackCase[] = [
  {
    name: `a clock that jumps (${jumps.join(", ")}): answers under way come whole, new ones come, none is cut, the audit follows`,
    skip,
    run: () =>
      underFakeClock(async (world, jump) => {
        const secret = await world.secret("a real value out of time", [goodHost]);
        const sandbox = await world.sandbox([secret]);
        const tunnel = await intercepted(world, sandbox, evilHost, world.evil.port);
        for (const [at, offset] of jumps.entries()) {
          const { begun, go } = answerInHalves(world);
          // Another sandbox's: a connection that is kept for this one would not be served so.
          const client = await intercepted(world, await world.sandbox([secret]), goodHost, world.good.port);
          const answer = exchange(client, `GET /through-${at} HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`);
          await begun;
          jump(offset);
          world.good.serve = undefined;
          for (let turn = 0; turn < 5; turn++) await assertSubstitutes(world, sandbox, secret, `/at-${at}-${turn}`);
          // Deadlines are looked at every second at least: one that follows the wrong clock strikes in between.
          await new Promise((resolve) => setTimeout(resolve, 1_200));
          await assertSubstitutes(world, sandbox, secret, `/later-${at}`);
          go();
          same((await answer).body, "halfhalf", `the answer across ${offset}`);
          client.close();
          const text = `GET /tunnel-${at} HTTP/1.1\r\nHost: ${evilHost}\r\n\r\n`;
          same((await exchange(tunnel, text)).body, text, `the tunnel across ${offset}`);
        }
        tunnel.close();
        await until(() => {
          const events = new Map(world.audit().map((event) => [event.path, event]));
          for (const [at, offset] of jumps.entries()) {
            const { time } = events.get(`/later-${at}`) ?? {};
            const hours = (Date.parse(String(time)) - Date.now()) / 3_600_000;
            holds(Math.abs(hours - Number.parseInt(offset, 10)) < 0.1, `/later-${at} at ${time}, not ${offset}`);
          }
        });
        for (const line of world.keyswap.stderr().split("\n")) {
          holds(!/"level":"(error|fatal)"/.test(line), line);
        }
        same((await world.keyswap.stop("SIGTERM")).code, 0, "exit code");
      }),
  },
];
