// Closes the ways by which the runtime itself would show the process's memory or environment to others.

import { writeFileSync } from "node:fs";
import type { Logger } from "../telemetry/logger.ts";

type Warner = Pick<Logger, "warn">;

/** Options of Node that write the heap to files or let a debugger in. Whoever sets them should know that values are in it. */
const revealing = /--(?:inspect(?:-brk|-wait)?|heapsnapshot-[a-z-]+|heap-prof|diagnostic-dir)\b/;

/** For a process that is keyswap's own, before it holds any value. What the platform does not have is left out. */
export function harden(logger: Warner): void {
  refuseInspection(logger);
  try {
    // A core dump then holds no memory, however large dumps may be (core(5)). Node cannot set limits of its own process.
    writeFileSync("/proc/self/coredump_filter", "0");
  } catch {
    // Not Linux, or not ours to set.
  }
}

/** The same but for core dumps: that setting is inherited, and what `run` starts is not keyswap's. */
export function refuseInspection(logger: Warner): void {
  // A diagnostic report (on a crash, or a signal) would hold the environment, and keys may be in it.
  process.report.excludeEnv = true;
  // Without a listener Node opens its inspector, from which memory can be read.
  if (process.listenerCount("SIGUSR1") === 0)
    process.on("SIGUSR1", () => logger.warn({}, "SIGUSR1 opens no debugger here"));
  const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ");
  // What is refused need not be warned of.
  const options = refuseHeapSnapshots(logger) ? given.replaceAll("--heapsnapshot-signal", "") : given;
  const option = revealing.exec(options)?.[0];
  if (option !== undefined) logger.warn({ option }, "Node was started with an option that shows values to others");
}

/** `--heapsnapshot-signal`: Node's own listener would write the heap, with values in it, to a file. Whether there was one. */
function refuseHeapSnapshots(logger: Warner): boolean {
  let isRefused = false;
  for (const signal of process.eventNames()) {
    // The types know of listeners by their event's name only.
    for (const listener of process.listeners(signal as NodeJS.Signals)) {
      // The name that Node gives it. Should that change, the option is warned of, and a test fails.
      if (listener.name !== "doWriteHeapSnapshot") continue;
      process.off(signal, listener);
      process.on(signal, () => logger.warn({ signal }, "no heap snapshot is written: values would be in it"));
      isRefused = true;
    }
  }
  return isRefused;
}
