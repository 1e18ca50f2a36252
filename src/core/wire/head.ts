// HTTP/1.1 message heads (RFC 9112 sections 2 to 5): bytes of one head in, a checked head out. Strict: whatever two
// receivers could read differently is malformed (bare CR or LF, obs-fold, blanks before the colon, control bytes).

import type { RequestHead, ResponseHead } from "../message.ts";
import { isTokenByte, type ParsedFields, parseFieldLines } from "./field-line.ts";

export { isToken } from "./field-line.ts";

export type Parsed<T> =
  | { readonly kind: "head"; readonly head: T }
  | { readonly kind: "malformed"; readonly detail: string }
  | { readonly kind: "too-many-fields" };

/**
 * Parses a request head: `bytes` from the request line up to and including the CRLF of the last field line, without the
 * empty line that ends the head.
 */
export function parseRequestHead(bytes: Buffer, maxFields: number): Parsed<RequestHead> {
  const text = bytes.toString("latin1");
  let methodEnd = 0;
  while (isTokenByte(bytes[methodEnd] ?? 0)) methodEnd++;
  const targetEnd = text.indexOf(" ", methodEnd + 1);
  const lineEnd = targetEnd + VERSION_BYTES;
  const minor = minorOf(bytes[lineEnd - 1]);
  if (methodEnd === 0 || targetEnd < 0 || minor === undefined || !text.startsWith(" HTTP/1.", targetEnd)) {
    return malformed("request line");
  }
  if (bytes[methodEnd] !== SPACE || !text.startsWith("\r\n", lineEnd)) return malformed("request line");
  const method = text.slice(0, methodEnd);
  const target = text.slice(methodEnd + 1, targetEnd);
  if (!(method === "CONNECT" ? AUTHORITY_TARGET : TARGET).test(target)) return malformed("request target");
  const parsed = parseFieldLines(bytes, text, lineEnd + 2, maxFields);
  if (parsed.kind !== "fields") return parsed;
  return { kind: "head", head: { method, target, minor, fields: parsed.fields } };
}

/** Parses a response head; `bytes` as in `parseRequestHead`. */
export function parseResponseHead(bytes: Buffer, maxFields: number): Parsed<ResponseHead> {
  const text = bytes.toString("latin1");
  const lineEnd = text.indexOf("\r\n");
  const minor = minorOf(bytes[7]);
  const status = statusOf(bytes[9], bytes[10], bytes[11]);
  if (minor === undefined || status === undefined || !text.startsWith("HTTP/1.")) return malformed("status line");
  // The reason phrase may be empty, the blank before it missing then.
  const isShort = lineEnd === STATUS_END;
  if (bytes[8] !== SPACE || !(isShort || (lineEnd > STATUS_END && bytes[STATUS_END] === SPACE))) {
    return malformed("status line");
  }
  const reason = isShort ? "" : text.slice(STATUS_END + 1, lineEnd);
  if (!REASON.test(reason)) return malformed("status line");
  const parsed = parseFieldLines(bytes, text, lineEnd + 2, maxFields);
  if (parsed.kind !== "fields") return parsed;
  return { kind: "head", head: { status, reason, minor, fields: parsed.fields } };
}

/** Parses a trailer section: field lines each ended by CRLF, possibly none. */
export function parseTrailers(bytes: Buffer, maxFields: number): ParsedFields {
  return parseFieldLines(bytes, bytes.toString("latin1"), 0, maxFields);
}

/** Whether this may be a request's target: origin-form, absolute-form or an asterisk. */
export function isTarget(text: string): boolean {
  return TARGET.test(text);
}

/** Whether a comma-separated list holds this token, compared without case; `token` in lower case. */
export function listHas(value: string, token: string): boolean {
  if (value.length === token.length) return value.toLowerCase() === token;
  if (value.length < token.length) return false;
  if (!value.includes(",")) return withoutBlanks(value).toLowerCase() === token;
  return value
    .toLowerCase()
    .split(",")
    .some((element) => withoutBlanks(element) === token);
}

// The target's forms (RFC 9112 section 3.2): origin, absolute, asterisk; authority for CONNECT alone. A fragment is never
// sent, and bytes above 0x7f have to be percent-encoded (Node's parser refuses them too). What an authority means is judged
// by who parses it: here only its characters count.
const TARGET = /^(?:\/[\x21\x22\x24-\x7e]*|\*|[A-Za-z]+:\/\/[!$-.0-;=@-Z[\]_a-z~]+(?:[/?][\x21\x22\x24-\x7e]*)?)$/;
const AUTHORITY_TARGET = /^[!$-.0-;=@-Z[\]_a-z~]+$/;
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Behind "HTTP/1.1 200". */
const STATUS_END = 12;

const TAB = 0x09;
const SPACE = 0x20;
const ZERO = 0x30;
const ONE = 0x31;
const NINE = 0x39;
/** " HTTP/1.1" */
const VERSION_BYTES = 9;

function minorOf(byte: number | undefined): 0 | 1 | undefined {
  return byte === ONE ? 1 : byte === ZERO ? 0 : undefined;
}

/** 100 to 999, from three digits. */
function statusOf(hundreds = 0, tens = 0, ones = 0): number | undefined {
  if (hundreds < ONE || hundreds > NINE || tens < ZERO || tens > NINE || ones < ZERO || ones > NINE) return undefined;
  return (hundreds - ZERO) * 100 + (tens - ZERO) * 10 + (ones - ZERO);
}

/** Without spaces and tabs around it. Not `trim`: that takes U+00A0 for a blank, which in Latin-1 is a byte of the value. */
export function withoutBlanks(element: string): string {
  let start = 0;
  let end = element.length;
  while (start < end && isBlank(element.charCodeAt(start))) start++;
  while (end > start && isBlank(element.charCodeAt(end - 1))) end--;
  return element.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

function malformed(detail: string): { kind: "malformed"; detail: string } {
  return { kind: "malformed", detail };
}
