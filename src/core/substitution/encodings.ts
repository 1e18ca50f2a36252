// How a value is written so that the reader of each context gets exactly the value's bytes, and nothing else changes
// its meaning. `undefined` says that the context cannot hold the value. All of this is pure over the value's bytes; the
// results are memoized by CompiledGrant.

/** Where a value is written. `raw` is for text and binary: the bytes themselves; `utf8` for text that must be UTF-8. */
export type ValueContext =
  | "header"
  | "cookie"
  | "basic"
  | "path"
  | "query"
  | "form"
  | "json"
  /** In a string of JSON text that is itself in a JSON string. */
  | "json-in-json"
  | "xml"
  /** XML in a charset that keeps ASCII but is not UTF-8. */
  | "xml-ascii"
  /** In a CDATA section of XML; there are no entities. */
  | "cdata"
  | "cdata-ascii"
  /** In a block string of GraphQL; there are no escapes. */
  | "block"
  | "raw"
  | "ascii"
  | "utf8";

/** The bytes that stand for `value` in this context, or undefined where it cannot be written. */
export function encodeValue(value: Buffer, context: ValueContext): Buffer | undefined {
  switch (context) {
    case "raw":
      return value;
    case "utf8":
      return isUtf8(value) ? value : undefined;
    case "ascii":
      return value.every((byte) => byte < 0x80) ? value : undefined;
    case "header":
      return encodeHeader(value);
    case "cookie":
      return value.every(isCookieOctet) ? value : undefined;
    case "basic":
      return isUtf8(value) && !value.some(isControl) ? value : undefined;
    case "path":
      return encodePath(value);
    case "query":
      return percentEncode(value, UNRESERVED);
    case "form":
      return percentEncode(value, FORM_SAFE, true);
    case "json":
      return encodeJson(value);
    case "json-in-json": {
      const inner = encodeJson(value);
      return inner && encodeJson(inner);
    }
    case "block":
      return encodeBlock(value);
    case "xml":
      return encodeXml(value);
    case "xml-ascii":
      return encodeXml(value, true);
    case "cdata":
      return encodeCdata(value);
    case "cdata-ascii":
      return value.every((byte) => byte < 0x80) ? encodeCdata(value) : undefined;
    default: {
      const never: never = context;
      return never;
    }
  }
}

/** One byte per character: what clients that hold the real value do with it. Beyond Latin-1 there is no agreed form. */
function encodeHeader(value: Buffer): Buffer | undefined {
  if (value.every((byte) => byte >= 0x20 && byte < 0x7f)) return value;
  const text = decodeUtf8(value);
  if (text === undefined) return undefined;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff || code < 0x20 || (code >= 0x7f && code < 0xa0)) return undefined;
  }
  return Buffer.from(text, "latin1");
}

/** RFC 6265 cookie-octet: anything else could end this cookie and begin another. */
function isCookieOctet(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x2c && byte !== 0x3b && byte !== 0x5c;
}

function isControl(byte: number): boolean {
  return byte < 0x20 || byte === 0x7f;
}

/** Dot segments cannot be escaped: `%2E%2E` means `..` (RFC 3986 section 6.2.2.3). */
function encodePath(value: Buffer): Buffer | undefined {
  if (value.length <= 2 && value.every((byte) => byte === 0x2e)) return undefined;
  return percentEncode(value, PATH_SAFE);
}

function safeSet(extra: string): Uint8Array {
  const set = new Uint8Array(256);
  for (const char of `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789${extra}`) {
    set[char.charCodeAt(0)] = 1;
  }
  return set;
}

const UNRESERVED = safeSet("-._~");
/** RFC 3986 pchar without what some servers give a meaning of its own (`;`, `+`, `&`, `'`). */
const PATH_SAFE = safeSet("-._~:@!$*,=()");
/** WHATWG's form-urlencoded set. */
const FORM_SAFE = safeSet("*-._");
const HEX = "0123456789ABCDEF";

function percentEncode(value: Buffer, safe: Uint8Array, plusForBlank = false): Buffer {
  if (value.every((byte) => safe[byte] === 1)) return value;
  let text = "";
  for (const byte of value) {
    if (safe[byte] === 1) text += String.fromCharCode(byte);
    else if (plusForBlank && byte === 0x20) text += "+";
    else text += `%${HEX[byte >> 4]}${HEX[byte & 15]}`;
  }
  return Buffer.from(text, "latin1");
}

/** The inside of a JSON string (RFC 8259 section 7). Non-ASCII stays UTF-8; a value that is not UTF-8 has no JSON form. */
function encodeJson(value: Buffer): Buffer | undefined {
  const text = decodeUtf8(value);
  if (text === undefined) return undefined;
  return Buffer.from(JSON.stringify(text).slice(1, -1), "utf8");
}

/** The string must not end in the value, nor where it meets quotes around it; lines would lose their indentation. */
function encodeBlock(value: Buffer): Buffer | undefined {
  const text = decodeUtf8(value);
  return text === undefined || /"""|^"|"$|[\\\0-\x08\n-\x1f]/.test(text) ? undefined : value;
}

const XML_ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "\r": "&#13;",
};

/** Safe in element content and in attributes; `&#39;` because HTML 4 knows no `&apos;`. */
function encodeXml(value: Buffer, isAscii = false): Buffer | undefined {
  const text = xmlText(value);
  if (text === undefined) return undefined;
  // Scrubbing would not find both escapes in one value.
  if (isAscii && text.includes("\r") && /[^\0-\x7f]/.test(text)) return undefined;
  const escaped = text.replace(/[&<>"'\r]/g, (char) => XML_ENTITIES[char]!);
  const written = isAscii ? escaped.replace(/[^\0-\x7f]/gu, (char) => `&#${char.codePointAt(0)};`) : escaped;
  return Buffer.from(written, "utf8");
}

/** The section must not end in the value, nor where it meets what is around it; and its line ends would be changed. */
function encodeCdata(value: Buffer): Buffer | undefined {
  const text = xmlText(value);
  return text === undefined || /\]\]>|^\]?>|\]$|\r/.test(text) ? undefined : value;
}

/** XML 1.0 has no control characters. */
function xmlText(value: Buffer): string | undefined {
  const text = decodeUtf8(value);
  return text === undefined || /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(text) ? undefined : text;
}

/** The text, or undefined where the bytes are not valid UTF-8. A leading byte order mark is kept. */
export function decodeUtf8(bytes: Buffer): string | undefined {
  const text = bytes.toString("utf8");
  // An invalid sequence decodes to U+FFFD; only then is the (rare) comparison needed.
  if (text.includes("\ufffd") && !Buffer.from(text, "utf8").equals(bytes)) return undefined;
  return text;
}

export function isUtf8(bytes: Buffer): boolean {
  return decodeUtf8(bytes) !== undefined;
}
