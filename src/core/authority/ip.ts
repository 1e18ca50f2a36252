// What kind of address an address is: the IANA special-purpose registries (RFC 6890 and its updates), the cloud metadata
// services, and IPv4 addresses that hide in IPv6 ones. Only "public" may be dialled without the operator's leave.
//
// An IPv6 address that some router turns into an IPv4 one is judged by what it hides, whatever the outside looks like. Not
// covered: NAT64 under a network's own prefix, which cannot be told from any other public address.

import { type Cidr, cidrContains, parseCidr } from "./cidr.ts";
import type { IpAddress } from "./ip-address.ts";

export { type Cidr, CidrSet, cidrContains, cidrsOverlap, parseCidr } from "./cidr.ts";
export { formatIp, type IpAddress, ipFromBytes, parseIp, parseIpv4Number } from "./ip-address.ts";

export type IpClass =
  | "public"
  /** RFC 1918, unique local, site-local. */
  | "private"
  | "loopback"
  | "link-local"
  /** Shared address space of carriers, RFC 6598. */
  | "cgnat"
  | "multicast"
  | "broadcast"
  /** A cloud's metadata or credential service. */
  | "metadata"
  /** "This host" and "this network": the system takes 0.0.0.0 and :: for itself. */
  | "unspecified"
  | "documentation"
  | "benchmarking"
  /** Reserved, deprecated, unallocated, or used by protocols only. */
  | "reserved";

export function classifyIp(ip: IpAddress): IpClass {
  return ip.family === 4 ? classifyIpv4(ip) : classifyIpv6(ip);
}

export function isInternal(ip: IpAddress): boolean {
  return classifyIp(ip) !== "public";
}

// In both tables the first row that fits counts.

const ipv4Rows = rows([
  // Metadata services: AWS, Azure, GCP and most others; AWS ECS and EKS credentials; Alibaba Cloud; Azure's host agent,
  // which sits in public space; Oracle Cloud Classic.
  ["169.254.169.254", "metadata"],
  ["169.254.170.2", "metadata"],
  ["169.254.170.23", "metadata"],
  ["100.100.100.200", "metadata"],
  ["168.63.129.16", "metadata"],
  ["192.0.0.192", "metadata"],

  ["0.0.0.0/8", "unspecified"],
  ["10.0.0.0/8", "private"],
  ["100.64.0.0/10", "cgnat"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local"],
  ["172.16.0.0/12", "private"],
  ["192.0.0.0/24", "reserved"],
  ["192.0.2.0/24", "documentation"],
  // Relays of 6to4, deprecated.
  ["192.88.99.0/24", "reserved"],
  ["192.168.0.0/16", "private"],
  ["198.18.0.0/15", "benchmarking"],
  ["198.51.100.0/24", "documentation"],
  ["203.0.113.0/24", "documentation"],
  ["224.0.0.0/4", "multicast"],
  ["255.255.255.255", "broadcast"],
  ["240.0.0.0/4", "reserved"],
]);

const ipv6Rows = rows([
  ["::", "unspecified"],
  ["::1", "loopback"],
  // Metadata services: AWS, AWS EKS credentials, GCP, Oracle Cloud.
  ["fd00:ec2::254", "metadata"],
  ["fd00:ec2::23", "metadata"],
  ["fd20:ce::254", "metadata"],
  ["fd00:c1::a9fe:a9fe", "metadata"],

  ["fc00::/7", "private"],
  ["fe80::/10", "link-local"],
  // Site-local, deprecated.
  ["fec0::/10", "private"],
  ["ff00::/8", "multicast"],
  ["2001:2::/48", "benchmarking"],
  // AMT and AS112 are the globally reachable parts of 2001::/23 that hosts may sit in.
  ["2001:3::/32", "public"],
  ["2001:4:112::/48", "public"],
  ["2001::/23", "reserved"],
  ["2001:db8::/32", "documentation"],
  ["3fff::/20", "documentation"],
  // The only space that is allocated to anyone.
  ["2000::/3", "public"],
  ["::/0", "reserved"],
]);

/** An IPv6 form that carries IPv4. */
interface Embedding {
  readonly cidr: Cidr;
  /** Every IPv4 address that the form may stand for. */
  readonly inner: (value: bigint) => readonly bigint[];
  /** The class where everything inside is public. */
  readonly otherwise: IpClass;
}

const embeddings: readonly Embedding[] = [
  // NAT64: the well-known prefix (RFC 6052) and the local one (RFC 8215).
  { cidr: block("64:ff9b::/96"), inner: last32, otherwise: "public" },
  { cidr: block("64:ff9b:1::/48"), inner: localNat64, otherwise: "public" },
  // 6to4 (RFC 3056) and Teredo (RFC 4380).
  { cidr: block("2002::/16"), inner: (value) => [bits(value, 16)], otherwise: "public" },
  { cidr: block("2001::/32"), inner: teredo, otherwise: "public" },
  // IPv4-compatible (RFC 4291) and IPv4-translated (RFC 2765), both deprecated.
  { cidr: block("::/96"), inner: last32, otherwise: "reserved" },
  { cidr: block("::ffff:0:0:0/96"), inner: last32, otherwise: "reserved" },
];

function classifyIpv4(ip: IpAddress): IpClass {
  return find(ipv4Rows, ip) ?? "public";
}

function classifyIpv6(ip: IpAddress): IpClass {
  // Reading makes mapped addresses IPv4 already; one that was put together by hand is caught here.
  if (ip.value >> 32n === 0xffffn) return classifyIpv4({ family: 4, value: bits(ip.value, 96) });
  // "::" and "::1" have classes of their own, although they look IPv4-compatible.
  const form = ip.value > 1n ? embeddings.find((each) => cidrContains(each.cidr, ip)) : undefined;
  if (form !== undefined) return firstInternal(form.inner(ip.value)) ?? form.otherwise;
  const kind = find(ipv6Rows, ip) ?? "reserved";
  // ISATAP (RFC 5214), under any prefix: the interface id is 0:5efe or 200:5efe and then an IPv4 address.
  const isIsatap = kind === "public" && (bits(ip.value, 64) & ~0x0200_0000n) === 0x5efen;
  return (isIsatap ? firstInternal(last32(ip.value)) : undefined) ?? kind;
}

function firstInternal(addresses: readonly bigint[]): IpClass | undefined {
  for (const value of addresses) {
    const kind = classifyIpv4({ family: 4, value });
    if (kind !== "public") return kind;
  }
  return undefined;
}

/** 32 bits of an IPv6 address from bit `from`, the first bit being 0. */
function bits(value: bigint, from: number): bigint {
  return (value >> BigInt(96 - from)) & 0xffff_ffffn;
}

function last32(value: bigint): readonly bigint[] {
  return [bits(value, 96)];
}

/** The client's address is stored inverted. The server's counts too: packets pass through it. */
function teredo(value: bigint): readonly bigint[] {
  return [bits(value, 32), bits(value, 96) ^ 0xffff_ffffn];
}

/**
 * The network may put IPv4 at any place that RFC 6052 2.2 knows (it skips bits 64 to 71), so every reading counts.
 * Readings in 0.0.0.0/8 are not meant, as no translator sends there; where there is no other, nothing says "public".
 */
function localNat64(value: bigint): readonly bigint[] {
  const readings = [
    bits(value, 96),
    bits(value, 72),
    ((bits(value, 56) >> 24n) << 24n) | (bits(value, 72) >> 8n),
    ((bits(value, 48) >> 16n) << 16n) | (bits(value, 72) >> 16n),
  ];
  const meant = readings.filter((reading) => reading >> 24n !== 0n);
  return meant.length === 0 ? [0n] : meant;
}

function rows(texts: readonly (readonly [cidr: string, kind: IpClass])[]): readonly (readonly [Cidr, IpClass])[] {
  return texts.map(([text, kind]) => [block(text), kind]);
}

function find(table: readonly (readonly [Cidr, IpClass])[], ip: IpAddress): IpClass | undefined {
  for (const [cidr, kind] of table) if (cidrContains(cidr, ip)) return kind;
  return undefined;
}

function block(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`not a CIDR block: ${text}`);
  return cidr;
}
