// What is still held, and what is not: for tests that a cache lets go.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Collects all garbage there is now. What a WeakRef showed lives on until the job ends: that has passed by then. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const gc: () => void = runInNewContext("gc");
  await new Promise((resolve) => setImmediate(resolve));
  gc();
}
