// `npm run soak -- --minutes N`: mixed traffic through a proxy and a Secret API of their own, with faults thrown in. No
// answer may be wrong, no value may come back, and memory and handles have to be flat. Prints figures; exit code 1 where
// anything was not as it should be.

import { readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { makeWorld, type World } from "../attack/world.ts";
import { serveSoak } from "./origin.ts";
import { type Soak, traffic } from "./traffic.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Memory may grow by so much from the second quarter of a run to its last. */
const maxGrowth = 1.35;
/** Open at the end beyond those at the start: kept connections to the API, files. */
const maxHandlesLeft = 15;

interface Sample {
  readonly rssMib: number;
  readonly handles: number;
}

function sample({ keyswap: { pid } }: World): Sample {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    rssMib: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024,
    handles: readdirSync(`/proc/${pid}/fd`).length,
  };
}

function peak(samples: readonly Sample[]): number {
  return Math.max(...samples.map(({ rssMib }) => rssMib));
}

async function run(minutes: number): Promise<number> {
  const world = await makeWorld({ KEYSWAP_LOG_LEVEL: "info" }, true);
  await using _closing = { [Symbol.asyncDispose]: () => world.close() };
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
  const samples: Sample[] = [];
  const sampling = setInterval(() => samples.push(sample(world)), 500);
  await traffic(soak);
  clearInterval(sampling);
  await origin.close();
  // Pools close what is unused after 30 s; handshakes and lingering ends sooner.
  let after = sample(world);
  for (let waited = 0; waited < 60 && after.handles > before.handles + maxHandlesLeft; waited++) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    after = sample(world);
  }
  const quarter = Math.floor(samples.length / 4);
  const [early, late] = [peak(samples.slice(quarter, 2 * quarter)), peak(samples.slice(3 * quarter))];
  const { code } = await world.keyswap.stop("SIGTERM");
  for (const [what, count] of [...soak.counts].sort()) say(`${String(count).padStart(8)}  ${what}`);
  say(
    `memory   ${Math.round(before.rssMib)} MiB at the start, peak of the second quarter ${Math.round(early)}, of the last ${Math.round(late)}`,
  );
  say(`handles  ${before.handles} at the start, ${after.handles} at the end`);
  const faults = [...soak.wrong];
  if (late > early * maxGrowth) faults.push("memory grows");
  if (after.handles > before.handles + maxHandlesLeft) faults.push("handles are left");
  if (code !== 0) faults.push(`the proxy ended with ${code}`);
  for (const line of world.keyswap.stderr().split("\n")) if (line.includes('"level":50')) faults.push(line);
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
