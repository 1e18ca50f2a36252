// SOCKS5 (RFC 1928) with user name and password (RFC 1929), both sides' messages: bytes in, values out, and back. Parsers
// read from the first byte of a message, tell how long it was, and never throw.

import { hostOfIp } from "../authority/host.ts";
import { type IpAddress, ipFromBytes } from "../authority/ip.ts";
import type { ErrorCode } from "../errors.ts";

export type SocksParsed<T> =
  /** `length`: how many bytes the message took. */
  | { readonly kind: "message"; readonly message: T; readonly length: number }
  | { readonly kind: "incomplete" }
  | { readonly kind: "malformed"; readonly detail: string };

export interface SocksCredentials {
  /** UTF-8. */
  readonly username: string;
  readonly password: string;
}

export interface SocksRequest {
  readonly command: "connect" | "bind" | "udp-associate" | "unknown";
  /**
   * A name is Latin-1 as sent, not canonical. Where the type of address is unknown, so is its length: the connection
   * cannot go on.
   */
  readonly address:
    | { readonly kind: "name"; readonly text: string }
    | { readonly kind: "ip"; readonly text: string }
    | { readonly kind: "unknown" };
  /** 0 to 65535. */
  readonly port: number;
}

/** The first byte of everything but the password sub-negotiation. */
export const socksVersion = 0x05;

export const socksMethods = { none: 0x00, password: 0x02, unacceptable: 0xff } as const;

export const socksReplies = {
  succeeded: 0x00,
  failure: 0x01,
  notAllowed: 0x02,
  hostUnreachable: 0x04,
  refused: 0x05,
  expired: 0x06,
  commandUnsupported: 0x07,
  addressUnsupported: 0x08,
} as const;

export type SocksReply = (typeof socksReplies)[keyof typeof socksReplies];

const passwordVersion = 0x01;
const ipv4 = 0x01;
const name = 0x03;
const ipv6 = 0x04;
const connect = 0x01;
const incomplete = { kind: "incomplete" } as const;

// ---- what a client says

/** The authentication methods that the client offers. */
export function parseSocksGreeting(bytes: Buffer): SocksParsed<readonly number[]> {
  if (bytes.length > 0 && bytes[0] !== socksVersion) return malformed("version");
  const count = bytes[1];
  if (count === undefined) return incomplete;
  if (count === 0) return malformed("no method");
  const length = 2 + count;
  return bytes.length < length ? incomplete : { kind: "message", message: [...bytes.subarray(2, length)], length };
}

export function parseSocksCredentials(bytes: Buffer): SocksParsed<SocksCredentials> {
  if (bytes.length > 0 && bytes[0] !== passwordVersion) return malformed("version of the sub-negotiation");
  const username = vector(bytes, 1);
  const password = username === undefined ? undefined : vector(bytes, 2 + username.length);
  if (username === undefined || password === undefined) return incomplete;
  const message = { username: username.toString("utf8"), password: password.toString("utf8") };
  return { kind: "message", message, length: 3 + username.length + password.length };
}

export function parseSocksRequest(bytes: Buffer): SocksParsed<SocksRequest> {
  if (bytes.length > 0 && bytes[0] !== socksVersion) return malformed("version");
  // RSV is zero by the RFC, and says nothing.
  const command = commands[bytes[1] ?? 0] ?? "unknown";
  const place = parsePlace(bytes);
  if (place.kind !== "message") {
    if (place.kind === "incomplete" || place.detail !== unknownType) return place;
    return { kind: "message", message: { command, address: { kind: "unknown" }, port: 0 }, length: bytes.length };
  }
  const { address, port } = place.message;
  if (address.kind === "name" && address.text === "") return malformed("an empty name");
  return { kind: "message", message: { command, address, port }, length: place.length };
}

export function writeSocksGreeting(methods: readonly number[]): Buffer {
  return Buffer.from([socksVersion, methods.length, ...methods]);
}

/** Undefined where one of them is empty or longer than 255 bytes, which the format does not hold. */
export function writeSocksCredentials({ username, password }: SocksCredentials): Buffer | undefined {
  const parts = [Buffer.from(username, "utf8"), Buffer.from(password, "utf8")];
  if (parts.some((part) => part.length === 0 || part.length > 255)) return undefined;
  return Buffer.concat([Buffer.of(passwordVersion), ...parts.flatMap((part) => [Buffer.of(part.length), part])]);
}

/** A request to connect. `host` is a canonical name, or an address. */
export function writeSocksConnect(host: string, ip: IpAddress | undefined, port: number): Buffer {
  return Buffer.concat([
    Buffer.of(socksVersion, connect, 0),
    ip === undefined ? Buffer.concat([Buffer.of(name, host.length), Buffer.from(host, "latin1")]) : writeIp(ip),
    Buffer.of(port >> 8, port & 0xff),
  ]);
}

// ---- what a server says

/** The method that the server takes. */
export function parseSocksMethod(bytes: Buffer): SocksParsed<number> {
  if (bytes.length > 0 && bytes[0] !== socksVersion) return malformed("version");
  const method = bytes[1];
  return method === undefined ? incomplete : { kind: "message", message: method, length: 2 };
}

/** Whether the server takes the credentials. Servers differ in the version they write here. */
export function parseSocksVerdict(bytes: Buffer): SocksParsed<boolean> {
  const status = bytes[1];
  return status === undefined ? incomplete : { kind: "message", message: status === 0, length: 2 };
}

/** The reply's code; the address that the server bound is of no use. */
export function parseSocksReply(bytes: Buffer): SocksParsed<number> {
  if (bytes.length > 0 && bytes[0] !== socksVersion) return malformed("version");
  const place = parsePlace(bytes);
  const code = bytes[1];
  // Servers that refuse may leave the address out, or write one of no type.
  if (code !== undefined && code !== socksReplies.succeeded) {
    return { kind: "message", message: code, length: place.kind === "message" ? place.length : bytes.length };
  }
  return place.kind === "message" ? { kind: "message", message: 0, length: place.length } : place;
}

export function writeSocksMethod(method: number): Buffer {
  return Buffer.of(socksVersion, method);
}

export function writeSocksVerdict(accepted: boolean): Buffer {
  return Buffer.of(passwordVersion, accepted ? 0 : 1);
}

/** The bound address is left at 0.0.0.0:0: it would tell the client how we reach the network. */
export function writeSocksReply(code: SocksReply): Buffer {
  return Buffer.of(socksVersion, code, 0, ipv4, 0, 0, 0, 0, 0, 0);
}

/** The nearest that SOCKS has for what happened. */
export function socksReplyFor(code: ErrorCode): SocksReply {
  return replyFor[code] ?? socksReplies.failure;
}

const replyFor: Partial<Readonly<Record<ErrorCode, SocksReply>>> = {
  "egress-denied": socksReplies.notAllowed,
  "address-private": socksReplies.notAllowed,
  "address-own": socksReplies.notAllowed,
  "host-invalid": socksReplies.hostUnreachable,
  "dns-failed": socksReplies.hostUnreachable,
  "dns-timeout": socksReplies.hostUnreachable,
  "connect-failed": socksReplies.hostUnreachable,
  "connect-refused": socksReplies.refused,
  // By its name that is of IP's TTL; clients show it as a timeout.
  "connect-timeout": socksReplies.expired,
};

// ---- parts

const commands: Partial<Readonly<Record<number, SocksRequest["command"]>>> = {
  [connect]: "connect",
  2: "bind",
  3: "udp-associate",
};

type Place = Pick<SocksRequest, "port"> & { readonly address: Exclude<SocksRequest["address"], { kind: "unknown" }> };

const unknownType = "unknown type of address";
const placeStart = 3;

/** Type, address and port, which stand at the same place in requests and replies. */
function parsePlace(bytes: Buffer): SocksParsed<Place> {
  const type = bytes[placeStart];
  if (type === undefined) return incomplete;
  const start = placeStart + 1;
  let end: number;
  if (type === ipv4) end = start + 4;
  else if (type === ipv6) end = start + 16;
  else if (type === name) {
    const length = bytes[start];
    if (length === undefined) return incomplete;
    end = start + 1 + length;
  } else return malformed(unknownType);
  if (bytes.length < end + 2) return incomplete;
  const port = bytes.readUInt16BE(end);
  const length = end + 2;
  if (type === name) {
    const text = bytes.toString("latin1", start + 1, end);
    return { kind: "message", message: { address: { kind: "name", text }, port }, length };
  }
  const ip = ipFromBytes(bytes.subarray(start, end));
  if (ip === undefined) return malformed("address");
  return { kind: "message", message: { address: { kind: "ip", text: hostOfIp(ip) }, port }, length };
}

function vector(bytes: Buffer, at: number): Buffer | undefined {
  const length = bytes[at];
  const end = at + 1 + (length ?? 0);
  return length === undefined || bytes.length < end ? undefined : bytes.subarray(at + 1, end);
}

function writeIp(ip: IpAddress): Buffer {
  const digits = ip.value.toString(16).padStart(ip.family === 4 ? 8 : 32, "0");
  return Buffer.concat([Buffer.of(ip.family === 4 ? ipv4 : ipv6), Buffer.from(digits, "hex")]);
}

function malformed(detail: string): { readonly kind: "malformed"; readonly detail: string } {
  return { kind: "malformed", detail };
}
