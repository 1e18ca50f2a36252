// Whose is this source address? Longest prefix first; a look-up costs one step per distinct prefix length.

import { type IpAddress, parseIp } from "../core/authority/ip.ts";
import type { SourceEntry } from "./wire.ts";

interface Level {
  readonly family: 4 | 6;
  readonly prefix: number;
  readonly shift: bigint;
  readonly owners: Map<bigint, string>;
}

export class SourceMap {
  readonly #levels: readonly Level[];
  readonly size: number;

  constructor(entries: readonly SourceEntry[]) {
    const levels = new Map<string, Level>();
    for (const { cidr, sandboxId } of entries) {
      const name = `${cidr.family}/${cidr.prefix}`;
      const width = cidr.family === 4 ? 32 : 128;
      const level = levels.get(name) ?? {
        family: cidr.family,
        prefix: cidr.prefix,
        shift: BigInt(width - cidr.prefix),
        owners: new Map<bigint, string>(),
      };
      level.owners.set(cidr.network, sandboxId);
      levels.set(name, level);
    }
    this.#levels = [...levels.values()].sort((a, b) => b.prefix - a.prefix);
    this.size = entries.length;
  }

  /** `address` as a socket names its peer; IPv4 in IPv6 form is IPv4. */
  find(address: string): string | undefined {
    const ip = parseIp(withoutZone(address));
    return ip === undefined ? undefined : this.#findIp(ip);
  }

  #findIp(ip: IpAddress): string | undefined {
    for (const level of this.#levels) {
      if (level.family !== ip.family) continue;
      const owner = level.owners.get(ip.value >> level.shift);
      if (owner !== undefined) return owner;
    }
    return undefined;
  }
}

/** Link-local peers are named with their interface: `fe80::1%eth0`. */
function withoutZone(address: string): string {
  const percent = address.indexOf("%");
  return percent === -1 ? address : address.slice(0, percent);
}
