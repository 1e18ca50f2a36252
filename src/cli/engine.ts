// Settings of V8 that keep a service small and quick, beside those that only Node's command line can make (launch.ts).
//
// Invariant: those of `tuneEngine` come after everything is loaded. Compiled code, Node's own that it brings with it too, is
// only used under the flags it was compiled with: made earlier they cost a start 20 ms in each of its threads.

import { setFlagsFromString } from "node:v8";
import { collectWith } from "../proxy/dead-buffers.ts";
import { collector } from "./collector.ts";
import { isTriedNode } from "./launch.ts";
import { collectOnceQuiet } from "./quiet-collection.ts";

/**
 * The young generation of threads that start from now on stays at 1 MiB: the Secret API's work is small, and its young
 * generation would become as large as the proxy's. Measured: 6 MiB less; `resourceLimits` would not prevail against the
 * command line.
 */
export function boundThreads(): void {
  setFlagsFromString("--min-semi-space-size=1");
  setFlagsFromString("--max-semi-space-size=1");
}

/**
 * Percent by which the old generation may grow before all of it is collected. V8 lets 11 MB become 46, most of which is what
 * requests left behind; it takes as many collections (6 instead of 5 in 25,000 requests) for 40 MB less.
 */
const oldGeneration = "--heap-growing-percent=100";
/**
 * V8 moves allocation sites whose objects it often finds alive to the old generation; with a young one this small that is
 * guesswork. What it moves is a part of every exchange, dead at once, and until the next full collection it keeps the rest of
 * that exchange alive: 8 % of the young generation instead of 0.3 %, and 1.5 ms for each of its collections instead of 0.5.
 */
const noPretenuring = "--no-allocation-site-pretenuring";
/**
 * V8 compiles what is called often after 100 and 500 calls instead of 400 and 3,000: a proxy's few hot paths are soon known,
 * and the first 20,000 requests cost a quarter less.
 */
const earlyCompiling = ["--invocation-count-for-maglev=100", "--invocation-count-for-turbofan=500"];
/**
 * V8 throws away the code of what was not run for some collections, and the one after the start (quiet-collection.ts) is
 * several in one.
 */
const keptCode = "--no-flush-bytecode";

/** For a process that is a service and nothing else. */
export function tuneEngine(): void {
  // Flags are V8's, they come and go: it complains to stderr about one that it does not know.
  if (!isTriedNode()) return;
  for (const flag of [oldGeneration, noPretenuring, ...earlyCompiling, keptCode]) setFlagsFromString(flag);
  // The young generation is collected by the bytes that went through, too (dead-buffers.ts).
  const collect = collector();
  collectWith(() => void collect({ type: "minor", execution: "sync" }));
  collectOnceQuiet();
}
