// The fuzz runner: `npm run fuzz -- --minutes 10`.
//
//   --minutes N, --seconds N   time in all, shared evenly by the targets (30 seconds)
//   --target NAME              only this one; may come more than once
//   --seed N, --path P         repeat a failure: both are printed with it
//
// Exit code 0 where nothing was found, 1 where something was, 2 for wrong usage.

import { parseArgs } from "node:util";
import fc, { type RunDetails } from "fast-check";
import type { FuzzTarget } from "./target.ts";
import { fuzzTargets } from "./targets.ts";

/** One case takes milliseconds; one that takes this long hangs. */
const caseTimeoutMs = 60_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function runTarget(target: FuzzTarget, seconds: number, seed: number, path: string | undefined) {
  const subject = await target.open();
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
  say(`${target.name}: ${details.numRuns} cases, seed ${seed}: ${fault === undefined ? "nothing found" : "FAILED"}`);
  if (fault === undefined) return true;
  say(fault);
  const where = details.counterexamplePath === null ? "" : ` --path ${details.counterexamplePath}`;
  say(`again: npm run fuzz -- --target ${target.name} --seed ${seed}${where}`);
  return false;
}

const options = {
  minutes: { type: "string" },
  seconds: { type: "string" },
  target: { type: "string", multiple: true },
  seed: { type: "string" },
  path: { type: "string" },
} as const;

async function main(): Promise<number> {
  const { values } = parseArgs({ options });
  const seconds = values.minutes === undefined ? Number(values.seconds ?? 30) : Number(values.minutes) * 60;
  const seed = Number(values.seed ?? Date.now() & 0x7fffffff);
  const targets = fuzzTargets.filter(({ name }) => values.target?.includes(name) ?? true);
  const unknown = values.target?.find((name) => fuzzTargets.every((target) => target.name !== name));
  if (!(seconds > 0) || !Number.isInteger(seed) || unknown !== undefined) {
    say(unknown === undefined ? "a time and a seed are numbers" : `no target ${unknown}`);
    say(`targets: ${fuzzTargets.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  let passed = true;
  for (const target of targets) {
    passed = (await runTarget(target, seconds / targets.length, seed, values.path)) && passed;
  }
  return passed ? 0 : 1;
}

process.exitCode = await main();
