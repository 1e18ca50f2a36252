// The system's hosts file: names that are answered before DNS is asked.

import { readFileSync, statSync } from "node:fs";
import { type IpAddress, parseIp } from "../core/authority/ip.ts";
import type { Clock } from "../core/ports.ts";

/** A file is looked at no more often than this. */
const checkEveryMs = 1000;

/** Tells when a file changed. Synchronous on purpose: a stat costs microseconds and takes no thread of the pool. */
export class FileWatch {
  readonly path: string;
  readonly #clock: Clock;
  #checkedAt: number | undefined;
  #stamp: string | undefined;

  constructor(path: string, clock: Clock) {
    this.path = path;
    this.#clock = clock;
  }

  /** Whether the file differs from what it was at the last call, or this is the first one. */
  hasChanged(): boolean {
    const now = this.#clock();
    // Also when the clock was set back.
    const isRecent = this.#checkedAt !== undefined && now >= this.#checkedAt && now - this.#checkedAt < checkEveryMs;
    if (isRecent) return false;
    this.#checkedAt = now;
    const stamp = stampOf(this.path);
    if (stamp === this.#stamp) return false;
    this.#stamp = stamp;
    return true;
  }
}

/** Editors and container engines replace the file as often as they rewrite it. */
function stampOf(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return "absent";
  }
}

export class HostsFile {
  readonly #watch: FileWatch;
  #names: ReadonlyMap<string, readonly IpAddress[]> = new Map();

  constructor(path: string, clock: Clock) {
    this.#watch = new FileWatch(path, clock);
  }

  /** Every address of a canonical host name, in the file's order; undefined where the file does not have it. */
  find(host: string): readonly IpAddress[] | undefined {
    if (this.#watch.hasChanged()) this.#names = readHosts(this.#watch.path);
    return this.#names.get(host);
  }
}

function readHosts(path: string): ReadonlyMap<string, readonly IpAddress[]> {
  try {
    return parseHosts(readFileSync(path, "latin1"));
  } catch {
    // Absent or unreadable: as for the system's own resolver, there are no such names then.
    return new Map();
  }
}

/** The form of hosts(5). Lines that cannot be read are passed over, as the system does. */
export function parseHosts(text: string): ReadonlyMap<string, readonly IpAddress[]> {
  const names = new Map<string, IpAddress[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...hosts] = line.replace(/#.*/, "").trim().split(/\s+/);
    const ip = parseIp(address);
    if (ip === undefined) continue;
    for (const host of hosts) {
      const name = host.toLowerCase().replace(/\.$/, "");
      const addresses = names.get(name);
      if (addresses === undefined) names.set(name, [ip]);
      else if (!addresses.some((known) => known.family === ip.family && known.value === ip.value)) addresses.push(ip);
    }
  }
  return names;
}
