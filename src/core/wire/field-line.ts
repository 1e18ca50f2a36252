// Field lines (RFC 9112 section 5): bytes in, checked fields out. One pass over the bytes checks them, finds name and value
// and hashes the name, because this is where most of the time of a small exchange would go.

import type { Field } from "../message.ts";

export type ParsedFields =
  | { readonly kind: "fields"; readonly fields: readonly Field[] }
  | { readonly kind: "malformed"; readonly detail: string }
  | { readonly kind: "too-many-fields" };

/**
 * Parses the field lines of `bytes` from `from` to its end, each closed by CRLF, possibly none. `text` is the same bytes as
 * a Latin-1 string. Refused: obs-fold, blanks before the colon, bare CR or LF, control bytes.
 */
export function parseFieldLines(bytes: Buffer, text: string, from: number, maxFields: number): ParsedFields {
  const fields: Field[] = [];
  const length = bytes.length;
  let pos = from;
  while (pos < length) {
    const nameStart = pos;
    let hash = 0;
    let byte = bytes[pos] ?? 0;
    while (CLASS[byte] === TOKEN) {
      hash = (Math.imul(hash, 31) + byte) | 0;
      byte = bytes[++pos] ?? 0;
    }
    if (byte !== COLON || pos === nameStart) return malformed("field name");
    const nameEnd = pos;
    do byte = bytes[++pos] ?? 0;
    while (byte === SPACE || byte === TAB);
    const valueStart = pos;
    while (CLASS[byte] !== CONTROL) byte = bytes[++pos] ?? 0;
    if (byte !== CR || bytes[pos + 1] !== LF) return malformed("field value");
    let valueEnd = pos;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1])) valueEnd--;
    const hasBlanksBehind = valueEnd < pos;
    pos += 2;
    if (fields.length === maxFields) return { kind: "too-many-fields" };
    const name = fieldName(bytes, text, nameStart, nameEnd, hash);
    // With a tab behind "chunked" llhttp, for one, does not take it for chunked.
    if (hasBlanksBehind && name.key === "transfer-encoding") return malformed("blank behind Transfer-Encoding");
    fields.push({ name: name.name, key: name.key, value: text.slice(valueStart, valueEnd) });
  }
  return { kind: "fields", fields };
}

/** Whether `text` is a token (RFC 9110 section 5.6.2): a field name or a method. */
export function isToken(text: string): boolean {
  return TOKEN_TEXT.test(text);
}

/** Whether this byte may stand in a token. */
export function isTokenByte(byte: number): boolean {
  return CLASS[byte] === TOKEN;
}

const TOKEN_TEXT = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;

// What a byte may be part of: nothing; a value but not a name; both.
const CONTROL = 0;
const TEXT = 1;
const TOKEN = 2;
const CLASS = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (TOKEN_TEXT.test(String.fromCharCode(byte))) return TOKEN;
  return byte === TAB || (byte >= SPACE && byte !== 0x7f) ? TEXT : CONTROL;
});

interface FieldName {
  readonly name: string;
  readonly key: string;
  readonly bytes: Buffer;
}

// The same few names come with every message: string and lower-case form are remembered, each in the one slot that its
// hash gives. Names are the sender's choice, so that is a bound, and a long name is never remembered.
const NAME_SLOTS = 1024;
const MAX_REMEMBERED = 64;
const names: (FieldName | undefined)[] = new Array<undefined>(NAME_SLOTS).fill(undefined);

function fieldName(
  bytes: Buffer,
  text: string,
  from: number,
  to: number,
  hash: number,
): { readonly name: string; readonly key: string } {
  const slot = hash & (NAME_SLOTS - 1);
  const known = names[slot];
  if (known !== undefined && isAt(known.bytes, bytes, from, to)) return known;
  const name = text.slice(from, to);
  if (name.length > MAX_REMEMBERED) return { name, key: name.toLowerCase() };
  // Made of bytes anew: a slice would keep its whole head alive (V8's sliced strings).
  const copy = Buffer.from(name, "latin1");
  const flat = copy.toString("latin1");
  const made = { name: flat, key: flat.toLowerCase(), bytes: copy };
  names[slot] = made;
  return made;
}

function isAt(name: Buffer, bytes: Buffer, from: number, to: number): boolean {
  if (name.length !== to - from) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[from + i]) return false;
  return true;
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

function malformed(detail: string): { kind: "malformed"; detail: string } {
  return { kind: "malformed", detail };
}
