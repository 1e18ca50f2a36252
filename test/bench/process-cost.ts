// What a process costs, where the system tells it (Linux).

import { readFileSync } from "node:fs";

const ticksPerSecond = 100;

/** CPU seconds and resident MB; undefined where the system does not tell. */
export function readProcess(pid: number | undefined): { cpu: number; mb: number } | undefined {
  if (pid === undefined || process.platform !== "linux") return undefined;
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The command's name may hold anything; the fields follow its bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond, mb: Number(resident) / 1000 };
}

/** Ids of the processes that this one has started. */
export function childrenOf(pid: number): readonly number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return list === "" ? [] : list.split(" ").map(Number);
}

/** NaN of nothing. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
