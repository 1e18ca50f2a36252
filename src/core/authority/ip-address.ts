// IP addresses as numbers, read strictly and written canonically.
//
// An IPv4-mapped IPv6 address (::ffff:192.0.2.1) becomes the IPv4 address as it is read: a socket cannot tell them apart,
// so no rule may.

export interface IpAddress {
  readonly family: 4 | 6;
  /** 32 or 128 bits, most significant first. Never an IPv4-mapped address when made here. */
  readonly value: bigint;
}

/** Reads a strict dotted quad, or IPv6 by RFC 4291 2.2. No brackets, no zone id. */
export function parseIp(text: string): IpAddress | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** From 4 or 16 bytes in network order; undefined for any other length. */
export function ipFromBytes(bytes: Uint8Array): IpAddress | undefined {
  if (bytes.length !== 4 && bytes.length !== 16) return undefined;
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return bytes.length === 4 ? { family: 4, value } : ipv6(value);
}

/**
 * Reads IPv4 as inet_aton and URL parsers do: one to four parts, each decimal, octal (0…) or hexadecimal (0x…), the last
 * one filling what is left. `text` is in lower case.
 */
export function parseIpv4Number(text: string): IpAddress | undefined {
  const parts = text.split(".");
  if (parts.length > 4) return undefined;
  const numbers: bigint[] = [];
  for (const part of parts) {
    const number = parseIpv4Part(part);
    if (number === undefined) return undefined;
    numbers.push(number);
  }
  let value = numbers.pop() ?? 0n;
  if (value >= 256n ** BigInt(4 - numbers.length)) return undefined;
  for (const [index, number] of numbers.entries()) {
    if (number > 255n) return undefined;
    value += number << BigInt(24 - 8 * index);
  }
  return { family: 4, value };
}

/** Dotted quad, or RFC 5952. */
export function formatIp(ip: IpAddress): string {
  return ip.family === 4 ? formatIpv4(ip.value) : formatIpv6(ip.value);
}

function parseIpv4(text: string): IpAddress | undefined {
  // No leading zeros: some readers take them for octal.
  const parts = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(text);
  if (parts === null) return undefined;
  let value = 0n;
  for (const part of parts.slice(1)) {
    if (Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return { family: 4, value };
}

function parseIpv4Part(part: string): bigint | undefined {
  // Bounded before BigInt, whose cost grows with the square of the length.
  if (part.length > 64) return undefined;
  if (/^0x[0-9a-f]*$/.test(part)) return part === "0x" ? 0n : BigInt(part);
  if (/^0[0-7]+$/.test(part)) return BigInt(`0o${part}`);
  return /^(?:0|[1-9]\d*)$/.test(part) ? BigInt(part) : undefined;
}

const maxIpv6TextLength = 45;

function parseIpv6(text: string): IpAddress | undefined {
  if (text.length > maxIpv6TextLength) return undefined;
  const halves = text.split("::");
  const [first = "", second] = halves;
  if (halves.length > 2) return undefined;
  const head = parseGroups(first, second === undefined);
  const tail = parseGroups(second ?? "", true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  // "::" stands for one group at least.
  if (second === undefined ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail]) value = (value << 16n) | BigInt(group);
  return ipv6(value);
}

/** Groups of 16 bits; the last may be a dotted quad where the text ends the address. */
function parseGroups(text: string, endsAddress: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const quad = endsAddress && index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (quad === undefined) return undefined;
    groups.push(Number(quad.value >> 16n), Number(quad.value & 0xffffn));
  }
  return groups;
}

function ipv6(value: bigint): IpAddress {
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffffffffn } : { family: 6, value };
}

function formatIpv4(value: bigint): string {
  const bits = Number(value);
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

function formatIpv6(value: bigint): string {
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(((value >> shift) & 0xffffn).toString(16));
  // The longest run of two or more zero groups is cut out, the first one of equals.
  let start = 0;
  let length = 1;
  for (let from = 0; from < 8; from++) {
    let to = from;
    while (to < 8 && groups[to] === "0") to++;
    if (to - from > length) [start, length] = [from, to - from];
  }
  if (length === 1) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + length).join(":")}`;
}
