// The fuzz runner: `npm run fuzz -- --minutes 10`.
//
//   --minutes N, --seconds N   time in all, shared evenly by the targets (30 seconds)
//   --each N                   instead: seconds for each target
//   --jobs N                   so many targets at a time, each in a process of its own (1)
//   --target NAME              only this one; may come more than once
//   --seed N, --path P         repeat a failure: both are printed with it
//
// Exit code 0 where nothing was found, 1 where something was, 2 for wrong usage.

import { execFile } from "node:child_process";
import { parseArgs } from "node:util";
import fc, { type RunDetails } from "fast-check";
import type { FuzzTarget } from "./target.ts";
import { fuzzTargets } from "./targets.ts";

/** One case takes milliseconds; one that takes this long hangs. */
const caseTimeoutMs = 60_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Plan {
  /** For each target. */
  readonly seconds: number;
  readonly seed: number;
  /** The way to one failing case. */
  readonly path: string | undefined;
}

async function runTarget(target: FuzzTarget, { seconds, seed, path }: Plan): Promise<boolean> {
  const subject = await target.open();
  const from = process.cpuUsage();
  const details: RunDetails<unknown> = await fc.check(subject.property, {
    seed,
    ...(path === undefined ? {} : { path, endOnFailure: true }),
    numRuns: path === undefined ? 2 ** 31 - 1 : 1,
    timeout: caseTimeoutMs,
    interruptAfterTimeLimit: seconds * 1000,
    markInterruptAsFailure: false,
  });
  // Time was up in the midst of the first case: nothing was found, but nothing was looked at.
  let fault = details.failed && details.numRuns === 0 ? "no case ended in time" : undefined;
  if (details.failed) fault ??= `${details.errorInstance}\n${fc.defaultReportMessage(details)}`;
  await subject.close?.().catch((error: unknown) => {
    fault ??= `after the last case: ${error instanceof Error ? error.stack : String(error)}`;
  });
  const { user, system } = process.cpuUsage(from);
  const effort = `${details.numRuns} cases, ${Math.round((user + system) / 1e6)} s of CPU, seed ${seed}`;
  say(`${target.name}: ${effort}: ${fault === undefined ? "nothing found" : "FAILED"}`);
  if (fault === undefined) return true;
  say(fault);
  const where = details.counterexamplePath === null ? "" : ` --path ${details.counterexamplePath}`;
  say(`again: npm run fuzz -- --target ${target.name} --seed ${seed}${where}`);
  return false;
}

/** As `runTarget`, in a process of its own; what it says is shown once it has ended, in one piece. */
function runApart(target: FuzzTarget, { seconds, seed }: Plan): Promise<boolean> {
  const args = ["--target", target.name, "--seconds", `${seconds}`, "--seed", `${seed}`];
  return new Promise((resolve) => {
    execFile(process.execPath, [import.meta.filename, ...args], { maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      process.stdout.write(stdout + stderr);
      // Whatever ended it without a word of its own is a find, too.
      if (error !== null && error.code !== 1) say(`${target.name}: ended with ${error.code ?? error.signal}`);
      resolve(error === null);
    });
  });
}

const options = {
  minutes: { type: "string" },
  seconds: { type: "string" },
  each: { type: "string" },
  jobs: { type: "string", default: "1" },
  target: { type: "string", multiple: true },
  seed: { type: "string" },
  path: { type: "string" },
} as const;

async function main(): Promise<number> {
  const { values } = parseArgs({ options });
  const inAll = values.minutes === undefined ? Number(values.seconds ?? 30) : Number(values.minutes) * 60;
  const [seed, jobs] = [Number(values.seed ?? Date.now() & 0x7fffffff), Number(values.jobs)];
  const targets = fuzzTargets.filter(({ name }) => values.target?.includes(name) ?? true);
  const unknown = values.target?.find((name) => fuzzTargets.every((target) => target.name !== name));
  const seconds = values.each === undefined ? inAll / targets.length : Number(values.each);
  if (!(seconds > 0) || !Number.isInteger(seed) || !(Number.isInteger(jobs) && jobs > 0) || unknown !== undefined) {
    say(unknown === undefined ? "times, a seed and jobs are numbers" : `no target ${unknown}`);
    say(`targets: ${fuzzTargets.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const plan: Plan = { seconds, seed, path: values.path };
  const run = jobs === 1 ? runTarget : runApart;
  let passed = true;
  const left = [...targets];
  const worker = async (): Promise<void> => {
    for (let target = left.shift(); target !== undefined; target = left.shift()) {
      passed = (await run(target, plan)) && passed;
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return passed ? 0 : 1;
}

process.exitCode = await main();
