// CIDR blocks: lists of them, and whether an address is inside.

import { formatIp, type IpAddress, parseIp } from "./ip-address.ts";

/** A block of addresses. Make it with `parseCidr`. */
export interface Cidr {
  /** Canonical: `10.0.0.0/8`, `2001:db8::/32`. */
  readonly text: string;
  readonly family: 4 | 6;
  /** Length of the prefix in bits. */
  readonly prefix: number;
  /** The prefix alone, shifted down: an address is inside if its first `prefix` bits equal this. */
  readonly network: bigint;
}

/**
 * Reads `10.0.0.0/8`; a bare address is a block of one. Bits beyond the prefix must be zero: `10.0.0.5/8` would silently
 * mean sixteen million addresses where one was meant.
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const ip = parseIp(slash === -1 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  const width = ip.family === 4 ? 32 : 128;
  let prefix = width;
  if (slash !== -1) {
    const digits = text.slice(slash + 1);
    if (!/^(?:0|[1-9]\d{0,2})$/.test(digits)) return undefined;
    // A block in mapped form counts the 96 bits before the IPv4 address.
    prefix = Number(digits) - (ip.family === 4 && text.includes(":") ? 96 : 0);
    if (prefix < 0 || prefix > width) return undefined;
  }
  const shift = BigInt(width - prefix);
  const network = ip.value >> shift;
  if (network << shift !== ip.value) return undefined;
  return { text: `${formatIp(ip)}/${prefix}`, family: ip.family, prefix, network };
}

export function cidrContains(cidr: Cidr, ip: IpAddress): boolean {
  return ip.family === cidr.family && ip.value >> BigInt(widthOf(cidr.family) - cidr.prefix) === cidr.network;
}

/** Whether any address is in both. */
export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  if (a.family !== b.family) return false;
  const [wide, narrow] = a.prefix <= b.prefix ? [a, b] : [b, a];
  return narrow.network >> BigInt(narrow.prefix - wide.prefix) === wide.network;
}

/** Many blocks; a look-up costs one step for each distinct prefix length, however many blocks there are. */
export class CidrSet {
  readonly #levels: { readonly family: 4 | 6; readonly shift: bigint; readonly networks: Set<bigint> }[] = [];

  constructor(cidrs: Iterable<Cidr>) {
    for (const cidr of cidrs) {
      const shift = BigInt(widthOf(cidr.family) - cidr.prefix);
      const level = this.#levels.find((each) => each.family === cidr.family && each.shift === shift);
      if (level === undefined) this.#levels.push({ family: cidr.family, shift, networks: new Set([cidr.network]) });
      else level.networks.add(cidr.network);
    }
  }

  has(ip: IpAddress): boolean {
    for (const level of this.#levels) {
      if (level.family === ip.family && level.networks.has(ip.value >> level.shift)) return true;
    }
    return false;
  }
}

function widthOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}
