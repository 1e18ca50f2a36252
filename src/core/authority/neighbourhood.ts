// Whom an address stands for, where something is counted by address: one IPv4 address, or the /64 of an IPv6 one, all of
// which a single machine may have (RFC 4291 section 2.5.1, RFC 8981).

import { formatIp, parseIp } from "./ip-address.ts";

const hostBits = 64n;

/** Of an address as sockets give it. What is none stands for itself. */
export function neighbourhoodOf(address: string): string {
  // IPv4 is the usual case, and its spelling on sockets is the only one.
  if (!address.includes(":")) return address;
  const zone = address.indexOf("%");
  const ip = parseIp(zone < 0 ? address : address.slice(0, zone));
  if (ip === undefined) return address;
  // Mapped addresses are read as IPv4.
  if (ip.family === 4) return formatIp(ip);
  return `${formatIp({ family: 6, value: (ip.value >> hostBits) << hostBits })}/64`;
}
