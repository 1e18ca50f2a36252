// How long properties run. In `npm test` a fixed number of cases, so that a run takes seconds; with KEYSWAP_FUZZ_SECONDS
// as many as fit into that time, for each property. KEYSWAP_FUZZ_SEED repeats a run (fast-check prints the seed of a failure).

import type { Parameters } from "fast-check";

const seconds = Number(process.env.KEYSWAP_FUZZ_SECONDS ?? 0);
const seed = process.env.KEYSWAP_FUZZ_SEED;

/** fast-check's parameters for a property that runs `cases` times in `npm test`. */
export function fuzzRuns<T>(cases: number): Parameters<T> {
  const seeded = seed === undefined ? {} : { seed: Number(seed) };
  if (!(seconds > 0)) return { numRuns: cases, ...seeded };
  return { numRuns: 2 ** 31 - 1, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false, ...seeded };
}

/** The test's timeout that leaves the budget its time, in milliseconds. */
export const fuzzTimeoutMs = 60_000 + seconds * 1000;
