// `npm run bench`: keyswap with everything on, against no proxy at all and against http-proxy, and against its own figures
// of the last commit that changed them. What counts are ratios within one run: the machine's own speed falls out of them.
//
//   --json       one JSON document instead of tables
//   --write      keeps this run as figures.json
//   --rounds N   default 3; contenders take turns, in rotated order
//   --seconds N  of each timed phase, default 2
//   --growth     only what more secrets, grants, connections and workers cost (Linux); without it this comes last
//   --quick      one short round, to see that it works; without growth
//
// CPU is that of the contender's process, user and system, where the system tells it (Linux).

import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatGrowth, type Growth, measureGrowth } from "./growth.ts";
import type { Timing } from "./measure.ts";
import { formatTimings, timeAll } from "./micro.ts";
import { startPeers } from "./peers.ts";
import { phases } from "./phases.ts";
import { median, readProcess } from "./process-cost.ts";

interface Sample {
  readonly perSecond: number;
  /** Microseconds for one request, connection or MiB. */
  readonly cpuUs: number | undefined;
  readonly residentMb: number | undefined;
}

interface Row {
  readonly phase: string;
  readonly unit: string;
  readonly contender: string;
  readonly perSecond: number;
  readonly cpuUs: number | undefined;
  /** To http-proxy in the same round. */
  readonly cpuRatio: number | undefined;
  readonly speedRatio: number;
  readonly peakMb: number | undefined;
}

interface Figures {
  readonly date: string;
  readonly node: string;
  readonly processor: string;
  readonly processors: number;
  readonly rounds: number;
  readonly rows: readonly Row[];
  readonly micro: readonly Timing[];
  readonly growth: readonly Growth[];
}

const reference = "http-proxy";
const figuresFile = join(import.meta.dirname, "figures.json");

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    growth: { type: "boolean", default: false },
    rounds: { type: "string" },
    seconds: { type: "string" },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
const seconds = Number(values.seconds ?? (values.quick ? 0.3 : 2));
if (values.growth && values.write) {
  process.stderr.write("bench: --write keeps a whole run, so not with --growth\n");
  process.exit(2);
}
if (!(rounds >= 1 && rounds <= 100) || !(seconds > 0 && seconds <= 60)) {
  process.stderr.write("bench: --rounds is 1 to 100, --seconds is more than 0 and at most 60\n");
  process.exit(2);
}

function say(text: string): void {
  if (!values.json) process.stdout.write(text);
}

function medianOf(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((number) => number !== undefined);
  return known.length === 0 ? undefined : median(known);
}

async function measureProxies(): Promise<Row[]> {
  await using peers = await startPeers();
  const { contenders } = peers;
  const rows: Row[] = [];
  // A little of everything first: pools, compiled code.
  for (const { target } of contenders) for (const phase of phases) await phase.run(target, seconds / 2);
  for (const phase of phases) {
    const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
    let unit = "";
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < contenders.length; turn++) {
        const { name, pid, target } = contenders[(turn + round) % contenders.length]!;
        const [before, from] = [readProcess(pid), performance.now()];
        const work = await phase.run(target, seconds);
        const [after, took] = [readProcess(pid), (performance.now() - from) / 1000];
        unit = work.unit;
        const cpu = before === undefined || after === undefined ? undefined : after.cpu - before.cpu;
        samples.get(name)!.push({
          perSecond: work.amount / took,
          cpuUs: cpu === undefined ? undefined : (cpu / work.amount) * 1e6,
          residentMb: after?.mb,
        });
      }
    }
    const base = samples.get(reference)!;
    for (const [contender, own] of samples) {
      rows.push({
        phase: phase.name,
        unit,
        contender,
        perSecond: median(own.map((sample) => sample.perSecond)),
        cpuUs: medianOf(own.map((sample) => sample.cpuUs)),
        cpuRatio: medianOf(own.map((sample, round) => ratio(sample.cpuUs, base[round]?.cpuUs))),
        speedRatio: median(own.map((sample, round) => sample.perSecond / base[round]!.perSecond)),
        peakMb: medianOf(own.map((sample) => sample.residentMb)),
      });
    }
    say(formatPhase(phase.name, unit, rows.slice(-contenders.length)));
  }
  return rows;
}

function ratio(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

function formatPhase(phase: string, unit: string, rows: readonly Row[]): string {
  const head = `\n${phase}\n${"".padEnd(14)}${`${unit}/s`.padStart(14)}${"x ref".padStart(8)}${`CPU us/${unit}`.padStart(20)}${"x ref".padStart(8)}${"MB".padStart(7)}\n`;
  const cell = (number: number | undefined, digits: number, width: number) =>
    (number === undefined ? "-" : number.toFixed(digits)).padStart(width);
  const lines = rows.map(
    (row) =>
      `${row.contender.padEnd(14)}${cell(row.perSecond, 0, 14)}${cell(row.speedRatio, 2, 8)}${cell(row.cpuUs, 0, 20)}${cell(row.cpuRatio, 2, 8)}${cell(row.peakMb, 0, 7)}\n`,
  );
  return head + lines.join("");
}

function readFigures(): Figures | undefined {
  try {
    return JSON.parse(readFileSync(figuresFile, "utf8")) as Figures; // written below
  } catch {
    return undefined;
  }
}

/** keyswap's ratios now and in the committed figures. */
function formatChanges(now: Figures, then: Figures): string {
  const lines = now.rows
    .filter((row) => row.contender === "keyswap")
    .map((row) => {
      const old = then.rows.find((other) => other.phase === row.phase && other.contender === row.contender);
      const pair = (a: number | undefined, b: number | undefined) =>
        `${a?.toFixed(2) ?? "-"} -> ${b?.toFixed(2) ?? "-"}`;
      return `${row.phase.padEnd(46)}CPU ${pair(old?.cpuRatio, row.cpuRatio).padEnd(18)}speed ${pair(old?.speedRatio, row.speedRatio)}\n`;
    });
  return `\nkeyswap against ${reference}: ${then.date.slice(0, 10)} -> now\n${lines.join("")}`;
}

if (!values.growth) say(`ref is ${reference}; medians of ${rounds} rounds\n`);
const rows = values.growth ? [] : await measureProxies();
const micro = values.growth ? [] : await timeAll();
const hasGrowth = values.growth || !(values.quick || process.platform !== "linux");
if (hasGrowth) say("\nCPU of a small request\n");
const growth = hasGrowth
  ? await measureGrowth({ rounds: rounds * 3, seconds: seconds / 2 }, (row) => say(formatGrowth(row)))
  : [];
const [processor] = cpus();
const figures: Figures = {
  date: new Date().toISOString(),
  node: process.version,
  processor: processor?.model ?? "unknown",
  processors: cpus().length,
  rounds,
  rows,
  micro,
  growth,
};
const committed = readFigures();
if (values.json) process.stdout.write(`${JSON.stringify({ figures, committed }, undefined, 2)}\n`);
else {
  if (micro.length > 0) say(`\n${formatTimings(micro)}`);
  if (committed !== undefined && rows.length > 0) say(formatChanges(figures, committed));
}
if (values.write) writeFileSync(figuresFile, `${JSON.stringify(figures, undefined, 2)}\n`);
