// HTTP/1.1 message heads (RFC 9112 sections 2 to 5): bytes of one head in, a checked head out. Strict: whatever two
// receivers could read differently is malformed (bare CR or LF, obs-fold, blanks before the colon, control bytes).

import type { Field, RequestHead, ResponseHead } from "../message.ts";

export type Parsed<T> =
  | { readonly kind: "head"; readonly head: T }
  | { readonly kind: "malformed"; readonly detail: string }
  | { readonly kind: "too-many-fields" };

/**
 * Parses a request head. `text` is Latin-1, from the request line up to and including the CRLF of the last field line,
 * without the empty line that ends the head.
 */
export function parseRequestHead(text: string, maxFields: number): Parsed<RequestHead> {
  if (FORBIDDEN_BYTES.test(text)) return malformed("forbidden byte in the head");
  const eol = text.indexOf("\r\n");
  const line = REQUEST_LINE.exec(text.slice(0, eol));
  if (line === null) return malformed("request line");
  const fields = parseFields(text, eol + 2, maxFields);
  if (fields.kind !== "fields") return fields;
  const [, method = "", target = "", minor] = line;
  return { kind: "head", head: { method, target, minor: minor === "1" ? 1 : 0, fields: fields.fields } };
}

/** Parses a response head; `text` as in `parseRequestHead`. */
export function parseResponseHead(text: string, maxFields: number): Parsed<ResponseHead> {
  if (FORBIDDEN_BYTES.test(text)) return malformed("forbidden byte in the head");
  const eol = text.indexOf("\r\n");
  const line = STATUS_LINE.exec(text.slice(0, eol));
  if (line === null) return malformed("status line");
  const fields = parseFields(text, eol + 2, maxFields);
  if (fields.kind !== "fields") return fields;
  const [, minor, status, reason = ""] = line;
  return { kind: "head", head: { status: Number(status), reason, minor: minor === "1" ? 1 : 0, fields: fields.fields } };
}

/** Parses a trailer section; `text` is Latin-1, field lines each ended by CRLF, possibly none. */
export function parseTrailers(
  text: string,
  maxFields: number,
): { readonly kind: "fields"; readonly fields: readonly Field[] } | Exclude<Parsed<never>, { kind: "head" }> {
  if (FORBIDDEN_BYTES.test(text)) return malformed("forbidden byte in a trailer");
  return parseFields(text, 0, maxFields);
}

/** Whether `text` is a token (RFC 9110 section 5.6.2): a field name or a method. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** Whether a comma-separated list holds this token, compared without case; `token` in lower case. */
export function listHas(value: string, token: string): boolean {
  if (value.length === token.length) return value.toLowerCase() === token;
  if (value.length < token.length) return false;
  return value
    .toLowerCase()
    .split(",")
    .some((element) => element.trim() === token);
}

// Everything but HTAB, visible ASCII, space, obs-text, and CR and LF as a pair.
const FORBIDDEN_BYTES = /[^\t\x20-\x7e\x80-\xff\r\n]|\r(?!\n)|(?<!\r)\n/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// Raw bytes above 0x7f in a target are sent by common clients and forwarded as they are; a fragment is never sent.
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?$/;

const SPACE = 0x20;
const TAB = 0x09;

function parseFields(
  text: string,
  from: number,
  maxFields: number,
): { kind: "fields"; fields: Field[] } | { kind: "malformed"; detail: string } | { kind: "too-many-fields" } {
  const fields: Field[] = [];
  let pos = from;
  while (pos < text.length) {
    const eol = text.indexOf("\r\n", pos);
    if (eol < 0) return malformed("unfinished field line");
    const colon = text.indexOf(":", pos);
    if (colon < 0 || colon > eol) return malformed("field line without a colon");
    const name = fieldName(text.slice(pos, colon));
    if (name === undefined) return malformed("field name");
    if (fields.length === maxFields) return { kind: "too-many-fields" };
    let start = colon + 1;
    let end = eol;
    while (start < end && isBlank(text.charCodeAt(start))) start++;
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
    fields.push({ name: name.name, key: name.key, value: text.slice(start, end) });
    pos = eol + 2;
  }
  return { kind: "fields", fields };
}

interface FieldName {
  readonly name: string;
  readonly key: string;
}

// The same few names come with every message: the check and the lower-casing are remembered. Bounded, because names
// are the sender's choice; a long name is never remembered.
const knownNames = new Map<string, FieldName>();
const maxKnownNames = 1024;
const maxKnownLength = 64;

function fieldName(name: string): FieldName | undefined {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  if (!TOKEN.test(name)) return undefined;
  if (name.length > maxKnownLength || knownNames.size >= maxKnownNames) return { name, key: name.toLowerCase() };
  const copy = flat(name);
  const made = { name: copy, key: copy.toLowerCase() };
  knownNames.set(copy, made);
  return made;
}

/** A slice keeps its whole head alive (V8's sliced strings); what is remembered has to be a copy. */
function flat(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

function malformed(detail: string): { kind: "malformed"; detail: string } {
  return { kind: "malformed", detail };
}
