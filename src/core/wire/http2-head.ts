// Heads of HTTP/2 (RFC 9113 section 8) to and from the form that all protocols share. A head on the wire is a list of
// names and values in turns. What one receiver could read as another one's framing is
// refused here, whatever the library checked before: these heads also go out as HTTP/1.1 text.

import { type Field, findField, type RequestHead, type ResponseHead } from "../message.ts";
import { isToken } from "./field-line.ts";
import { type BodyLength, hasNoBody } from "./framing.ts";
import { isTarget } from "./head.ts";
import { isForbiddenTrailer, isHopByHop, namedByConnection } from "./writer.ts";

/** Names and values in turns; Latin-1. */
export type HeaderList = readonly string[];

export type Http2Request =
  | {
      readonly kind: "request";
      /** `:authority` stands as `host` in front; cookie crumbs are one field. `target` is in origin-form or `*`. */
      readonly head: RequestHead;
      readonly length: BodyLength;
      readonly scheme: string;
      /** A `host` field beside `:authority`; it has to name the same and is not in `head`. */
      readonly otherHost: string | undefined;
    }
  | Malformed;

export type Http2Response =
  | { readonly kind: "response"; readonly head: ResponseHead; readonly length: BodyLength }
  | Malformed;

export interface Malformed {
  readonly kind: "malformed";
  readonly detail: string;
}

/** Reads a request's head. `ends`: nothing comes after it. */
export function readHttp2Request(list: HeaderList, ends: boolean): Http2Request {
  let method: string | undefined;
  let target: string | undefined;
  let scheme: string | undefined;
  let authority: string | undefined;
  let at = 0;
  for (; at < list.length; at += 2) {
    const name = list[at]!;
    if (name.charCodeAt(0) !== COLON) break;
    const value = list[at + 1]!;
    if (name === ":method" && method === undefined) method = value;
    else if (name === ":path" && target === undefined) target = value;
    else if (name === ":scheme" && scheme === undefined) scheme = value;
    else if (name === ":authority" && authority === undefined) authority = value;
    else return malformed("pseudo-header");
  }
  if (method === undefined || !isToken(method)) return malformed(":method");
  if (method === "CONNECT") return malformed("CONNECT inside an intercepted connection");
  if (scheme === undefined) return malformed(":scheme");
  if (target === undefined || !isPath(target, method)) return malformed(":path");
  if (authority !== undefined && (authority === "" || CONTROL.test(authority))) return malformed(":authority");

  const fields: Field[] = [];
  if (authority !== undefined) fields.push({ name: "host", key: "host", value: authority });
  const otherHost = readFields(list, at, fields, authority !== undefined);
  if (typeof otherHost === "object") return otherHost;
  const length = lengthOf(fields, ends);
  if (typeof length === "object") return length;
  return {
    kind: "request",
    head: { method, target, minor: 1, fields },
    length,
    scheme,
    otherHost: otherHost === "" ? undefined : otherHost,
  };
}

/** Reads an answer's head, given the method it answers. An answer without a body has a length of 0. */
export function readHttp2Response(list: HeaderList, ends: boolean, method: string): Http2Response {
  if (list[0] !== ":status" || !STATUS.test(list[1] ?? "")) return malformed(":status");
  const status = Number(list[1]);
  // RFC 9113 section 8.6: no upgrades.
  if (status === 101) return malformed("101");
  const fields: Field[] = [];
  const fault = readFields(list, 2, fields, false);
  if (typeof fault === "object") return fault;
  const head = { status, reason: "", minor: 1, fields } as const;
  // Their Content-Length, if any, is that of a body that is not there (RFC 9110 section 8.6).
  if (hasNoBody(status, method)) return { kind: "response", head, length: 0 };
  const length = lengthOf(fields, ends);
  if (typeof length === "object") return length;
  // An HTTP/1.1 client has to be told; else it would wait for the connection's end.
  if (length === 0 && findField(fields, "content-length") === undefined) fields.push(EMPTY);
  return { kind: "response", head, length };
}

/** Reads trailers: no pseudo-headers, nothing that frames or routes the message. */
export function readHttp2Trailers(
  list: HeaderList,
): { readonly kind: "fields"; readonly fields: readonly Field[] } | Malformed {
  const fields: Field[] = [];
  const fault = readFields(list, 0, fields, false);
  if (typeof fault === "object") return fault;
  return { kind: "fields", fields: fields.filter(({ key }) => !isForbiddenTrailer(key)) };
}

/** A request's head for the wire. Its `host` becomes `:authority`; without one `authority` is used. */
export function writeHttp2Request(
  head: RequestHead,
  target: string,
  length: BodyLength,
  scheme: string,
  authority: string,
): string[] {
  const host = findField(head.fields, "host");
  const list = [":method", head.method, ":scheme", scheme, ":authority", host?.value ?? authority, ":path", target];
  writeFields(list, head.fields, length);
  return list;
}

/** An answer's head for the wire; `length` as for `writeResponseHead`. */
export function writeHttp2Response(head: ResponseHead, length: BodyLength | undefined): string[] {
  const list = [":status", String(head.status)];
  const bodiless = head.status < 200 || head.status === 204;
  writeFields(list, head.fields, bodiless ? "chunked" : length);
  return list;
}

/** Trailers for the wire. */
export function writeHttp2Trailers(fields: readonly Field[]): string[] {
  const list: string[] = [];
  for (const { key, value } of fields) if (!isForbiddenTrailer(key)) list.push(key, value);
  return list;
}

const COLON = 0x3a;
const STATUS = /^[1-9][0-9][0-9]$/;
const DIGITS = /^[0-9]{1,16}$/;
/** RFC 9113 section 8.2.1: a lower-case token. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** What no value may hold: in HTTP/1.1 CR and LF would end it. */
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/;
const EMPTY: Field = { name: "content-length", key: "content-length", value: "0" };

/** Origin-form, or `*` of OPTIONS (RFC 9113 section 8.3.1). */
function isPath(text: string, method: string): boolean {
  return text === "*" ? method === "OPTIONS" : text.charCodeAt(0) === 0x2f && isTarget(text);
}

/** Reads regular fields into `fields`. Answers a `host` that was left out because of `hasAuthority`, "" without one. */
function readFields(list: HeaderList, from: number, fields: Field[], hasAuthority: boolean): string | Malformed {
  let otherHost = "";
  let cookie = -1;
  for (let at = from; at < list.length; at += 2) {
    const key = list[at]!;
    const value = list[at + 1]!;
    if (!isKnownName(key)) return malformed("field name");
    if (CONTROL.test(value) || hasBlankEdge(value)) return malformed("field value");
    if (isHopByHop(key)) {
      // RFC 9113 section 8.2.2. Proxy-* fields are no fields of the connection's framing: they are dropped further on.
      if (key === "te" ? value.toLowerCase() !== "trailers" : !key.startsWith("proxy-auth")) return malformed(key);
    } else if (key === "host" && hasAuthority) {
      if (otherHost !== "" || value === "") return malformed("host");
      otherHost = value;
      continue;
    } else if (key === "cookie") {
      // Section 8.2.3: crumbs of one field.
      if (cookie >= 0) {
        fields[cookie] = { name: key, key, value: `${fields[cookie]!.value}; ${value}` };
        continue;
      }
      cookie = fields.length;
    }
    fields.push({ name: key, key, value });
  }
  return otherHost;
}

/** Names that passed; the same few come with every message. Clients choose them, so that is a bound. */
const MAX_KNOWN_NAMES = 1024;
const knownNames = new Set<string>();

function isKnownName(key: string): boolean {
  if (knownNames.has(key)) return true;
  if (!NAME.test(key)) return false;
  if (knownNames.size < MAX_KNOWN_NAMES && key.length <= 64) knownNames.add(key);
  return true;
}

function hasBlankEdge(value: string): boolean {
  return isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function lengthOf(fields: readonly Field[], ends: boolean): BodyLength | Malformed {
  let declared: number | undefined;
  for (const { key, value } of fields) {
    if (key !== "content-length") continue;
    if (declared !== undefined) return malformed("two content-length fields");
    if (!DIGITS.test(value)) return malformed("content-length");
    declared = Number(value);
    if (!Number.isSafeInteger(declared)) return malformed("content-length");
  }
  if (ends) return declared === undefined || declared === 0 ? 0 : malformed("content-length without a body");
  return declared ?? "chunked";
}

/** Without fields of one connection; Content-Length is ours, but where `length` is undefined: then it stands as it came. */
function writeFields(list: string[], fields: readonly Field[], length: BodyLength | undefined): void {
  const named = namedByConnection(fields);
  let lengthWritten = false;
  for (const { key, value } of fields) {
    if (key === "content-length") {
      if (length === undefined) list.push(key, value);
      else if (typeof length === "number" && !lengthWritten) {
        list.push(key, String(length));
        lengthWritten = true;
      }
    } else if (isHopByHop(key) || key === "host" || key === "http2-settings") {
      if (key === "te" && value.toLowerCase().includes("trailers")) list.push(key, "trailers");
    } else if (named?.has(key)) {
      // For this connection alone.
    } else if (key === "cookie" && value.includes("; ")) {
      for (const crumb of value.split("; ")) list.push(key, crumb);
    } else {
      list.push(key, value);
    }
  }
  // A message without a body says so by ending with its head.
  if (typeof length === "number" && length > 0 && !lengthWritten) list.push("content-length", String(length));
}

function malformed(detail: string): Malformed {
  return { kind: "malformed", detail };
}
