// The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): a load balancer tells first of all whose
// connection it passes on. Only the source address is of use. The parser never throws, and whatever the document does not
// allow is malformed: a header that is guessed at would be an identity that is guessed at.

import { formatIp, type IpAddress, ipFromBytes, parseIp } from "../authority/ip.ts";

export type ProxyHeader =
  | {
      readonly kind: "header";
      /** Canonical text of the address; undefined where the balancer speaks for itself (health checks) or does not know. */
      readonly source: string | undefined;
      /** How many bytes the header took. */
      readonly length: number;
    }
  | { readonly kind: "incomplete" }
  | { readonly kind: "malformed"; readonly detail: string };

/** Parses what has arrived so far, from the connection's first byte. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsWith(bytes, signature)) return parseBinary(bytes);
  if (startsWith(bytes, textStart)) return parseText(bytes);
  return malformed("no PROXY protocol header");
}

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const textStart = Buffer.from("PROXY ", "latin1");
/** With its CRLF: the longest that the document allows. */
const maxTextBytes = 107;
/** Addresses and extensions; certificates' names and the like take a few hundred. */
const maxBinaryBytes = 4096;
const binaryHeadBytes = 16;
const incomplete = { kind: "incomplete" } as const;

/** Whether `bytes` are the start or more of what begins with `start`. */
function startsWith(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function parseText(bytes: Buffer): ProxyHeader {
  const window = bytes.subarray(0, maxTextBytes);
  const end = window.indexOf("\r\n", 0, "latin1");
  if (end === -1) return window.length === maxTextBytes ? malformed("the line is too long") : incomplete;
  const length = end + 2;
  const line = window.toString("latin1", 0, end);
  // What stands behind UNKNOWN is to be ignored.
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { kind: "header", source: undefined, length };
  const match = /^PROXY TCP([46]) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/.exec(line);
  if (match === null) return malformed("the line");
  const [, family = "", source = "", destination = "", ...ports] = match;
  const parsed = parseOfFamily(source, family);
  if (parsed === undefined || parseOfFamily(destination, family) === undefined) return malformed("address");
  if (ports.some((port) => !/^(?:0|[1-9]\d*)$/.test(port) || Number(port) > 65_535)) return malformed("port");
  return { kind: "header", source: formatIp(parsed), length };
}

function parseOfFamily(text: string, family: string): IpAddress | undefined {
  // Judged by the spelling: an IPv4-mapped IPv6 address is read as IPv4.
  return text.includes(":") === (family === "6") ? parseIp(text) : undefined;
}

function parseBinary(bytes: Buffer): ProxyHeader {
  const version = bytes[12];
  if (version === undefined) return incomplete;
  if (version >> 4 !== 2) return malformed("version");
  const command = version & 0x0f;
  if (command > 1) return malformed("command");
  if (bytes.length < binaryHeadBytes) return incomplete;
  const transport = bytes.readUInt8(13);
  const size = bytes.readUInt16BE(14);
  if (size > maxBinaryBytes) return malformed("the header is too long");
  const length = binaryHeadBytes + size;
  if (bytes.length < length) return incomplete;
  // LOCAL: the balancer's own connection, whatever else stands there.
  if (command === 0) return { kind: "header", source: undefined, length };
  switch (transport) {
    case unspecified:
    case unixStream:
      return { kind: "header", source: undefined, length };
    case tcp4:
      return binarySource(bytes, 4, size, length);
    case tcp6:
      return binarySource(bytes, 16, size, length);
    default:
      return malformed("transport");
  }
}

const unspecified = 0x00;
const tcp4 = 0x11;
const tcp6 = 0x21;
const unixStream = 0x31;

function binarySource(bytes: Buffer, width: 4 | 16, size: number, length: number): ProxyHeader {
  // Two addresses, two ports.
  if (size < 2 * width + 4) return malformed("the addresses are cut off");
  const source = ipFromBytes(bytes.subarray(binaryHeadBytes, binaryHeadBytes + width));
  return source === undefined ? malformed("address") : { kind: "header", source: formatIp(source), length };
}

function malformed(detail: string): { readonly kind: "malformed"; readonly detail: string } {
  return { kind: "malformed", detail };
}
