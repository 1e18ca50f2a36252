// `npm run soak -- --minutes N`: mixed traffic through a proxy and a Secret API of their own, with faults thrown in. No
// answer may be wrong, no value may come back, and memory and handles have to be flat. Prints figures; exit code 1 where
// anything was not as it should be.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { makeWorld, rssMib, type World } from "../attack/world.ts";
import { serveSoak } from "./origin.ts";
import { type Soak, traffic } from "./traffic.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/**
 * What is left after a collection may grow by so much from the second quarter of a run to its last, and as much again as a
 * few megabytes of traffic that happens to be under way.
 */
const [maxHeldGrowth, heldSlackMib] = [1.1, 6];
/** Resident memory follows load and the allocator, so its peak is judged with more room. */
const maxPeakGrowth = 1.35;
/** Open at the end beyond those at the start: kept connections to the API, files. */
const maxHandlesLeft = 15;
const [sampleMs, probeEvery] = [500, 8];

interface Sample {
  readonly rssMib: number;
  readonly handles: number;
}

function sample(world: World): Sample {
  return { rssMib: rssMib(world), handles: readdirSync(`/proc/${world.keyswap.pid}/fd`).length };
}

interface Samples {
  readonly residentMib: readonly number[];
  /** Heap and buffers right after a collection. */
  readonly heldMib: readonly number[];
}

/** Until the signal. */
async function sampleAll(world: World, probe: string, signal: AbortSignal): Promise<Samples> {
  const residentMib: number[] = [];
  for (let turn = 0; !signal.aborted; turn++) {
    residentMib.push(sample(world).rssMib);
    if (turn % probeEvery === 0) process.kill(world.keyswap.pid, "SIGUSR2");
    await setTimeout(sampleMs);
  }
  const lines = readFileSync(probe, "utf8").trimEnd().split("\n");
  return { residentMib, heldMib: lines.map((line) => JSON.parse(line).heldMib) };
}

function byQuarter(samples: readonly number[], pick: (...samples: number[]) => number): readonly number[] {
  const length = samples.length / 4;
  return [0, 1, 2, 3].map((at) => pick(...samples.slice(Math.floor(at * length), Math.floor((at + 1) * length))));
}

async function run(minutes: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "keyswap-soak-"));
  const probe = join(folder, "held.jsonl");
  const world = await makeWorld(
    {
      KEYSWAP_LOG_LEVEL: "info",
      NODE_OPTIONS: `--expose-gc --import=${pathToFileURL(join(import.meta.dirname, "memory-probe.ts"))}`,
      SOAK_PROBE: probe,
    },
    { isApart: true },
  );
  await using _closing = {
    [Symbol.asyncDispose]: async () => {
      await world.close();
      rmSync(folder, { recursive: true });
    },
  };
  const origin = await serveSoak(world);
  const soak: Soak = {
    world,
    origin,
    values: new Set(),
    counts: new Map(),
    wrong: [],
    endsAt: performance.now() + minutes * 60_000,
    awayUntil: 0,
  };
  const before = sample(world);
  const over = new AbortController();
  const sampling = sampleAll(world, probe, over.signal);
  await traffic(soak);
  over.abort();
  const samples = await sampling;
  await origin.close();
  // Pools close what is unused after 30 s; handshakes and lingering ends sooner.
  let after = sample(world);
  for (let waited = 0; waited < 60 && after.handles > before.handles + maxHandlesLeft; waited++) {
    await setTimeout(1000);
    after = sample(world);
  }
  const held = byQuarter(samples.heldMib, Math.min);
  const peaks = byQuarter(samples.residentMib, Math.max);
  const { code } = await world.keyswap.stop("SIGTERM");
  for (const [what, count] of [...soak.counts].sort()) say(`${String(count).padStart(8)}  ${what}`);
  const line = (figures: readonly number[]): string => figures.map((figure) => figure.toFixed()).join(", ");
  say(`held     ${line(held)} MiB by quarter: heap and buffers right after a collection, at least`);
  say(`resident ${line([before.rssMib])} MiB at the start, then at most by quarter ${line(peaks)}`);
  say(`handles  ${before.handles} at the start, ${after.handles} at the end`);
  const faults = [...soak.wrong];
  // Also where a figure could not be read.
  const grows = ([, early = 0, , late = Number.NaN]: readonly number[], factor: number, slack: number): boolean =>
    !(late <= early * factor + slack);
  if (grows(held, maxHeldGrowth, heldSlackMib)) faults.push("what is held in memory grows");
  if (grows(peaks, maxPeakGrowth, 0)) faults.push("resident memory grows");
  if (after.handles > before.handles + maxHandlesLeft) faults.push("handles are left");
  if (code !== 0) faults.push(`the proxy ended with ${code}`);
  for (const line of world.keyswap.stderr().split("\n")) if (/"level":"(error|fatal)"/.test(line)) faults.push(line);
  for (const fault of faults.slice(0, 20)) say(`WRONG    ${fault}`);
  say(`${minutes} min: ${faults.length === 0 ? "nothing wrong" : `${faults.length} things wrong`}`);
  return faults.length === 0 ? 0 : 1;
}

const { values } = parseArgs({ options: { minutes: { type: "string", default: "3" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  say("--minutes is a number");
  process.exit(2);
}
process.exit(await run(minutes));
