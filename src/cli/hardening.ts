// Closes the ways by which the runtime itself would show the process's memory or environment to others.

import { writeFileSync } from "node:fs";
import type { Logger } from "../telemetry/logger.ts";

/** Options of Node that write the heap to files or let a debugger in. Whoever sets them should know that values are in it. */
const revealing = /--(?:inspect(?:-brk|-wait)?|heapsnapshot-[a-z-]+|heap-prof|diagnostic-dir)\b/;

/** For a service, before it holds any value. What the platform does not have is left out. */
export function harden(logger: Logger): void {
  // A diagnostic report (on a crash, or a signal) would hold the environment, and keys may be in it.
  process.report.excludeEnv = true;
  // Without a listener Node opens its inspector, from which memory can be read.
  process.on("SIGUSR1", () => logger.warn({}, "SIGUSR1 opens no debugger here"));
  try {
    // A core dump then holds no memory, however large dumps may be (core(5)). Node cannot set limits of its own process.
    writeFileSync("/proc/self/coredump_filter", "0");
  } catch {
    // Not Linux, or not ours to set.
  }
  const option = revealing.exec([...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" "))?.[0];
  if (option !== undefined) logger.warn({ option }, "Node was started with an option that shows values to others");
}
