// Takes the framing off a body: length-delimited, chunked (RFC 9112 section 7.1) or delimited by the connection's end.

import type { Field } from "../message.ts";
import type { BodyLength } from "./framing.ts";
import { parseTrailers } from "./head.ts";

export interface BodyReaderLimits {
  /** Bound on one chunk-size line with its extensions, and on the whole trailer section, in bytes. */
  readonly maxLineBytes: number;
  readonly maxFields: number;
}

const CR = 0x0d;
const LF = 0x0a;
const CRLF_BYTES = 2;

// The states of chunked coding: what the next byte belongs to.
const SIZE_LINE = 0;
const DATA = 1;
const DATA_END = 2;
const TRAILERS = 3;

/** So many digits are always a safe integer. */
const MAX_SIZE_DIGITS = 13;

// chunk-size [ chunk-ext ]: extensions are read past and not forwarded. No blanks: receivers differ on them.
const CHUNK_LINE =
  /^([0-9A-Fa-f]{1,13})(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*\r\n$/;

/**
 * Bound on the extensions of all chunks of one body: they are content that nobody counts, and tiny chunks with long
 * extensions cost a receiver far more than the body's length shows.
 */
const MAX_EXTENSION_BYTES = 16 * 1024;

// Said in a trailer, these would frame the message or speak for the connection after the fact, and receivers differ.
const FRAMING_FIELDS: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "connection", "upgrade"]);

/** Reads one body. Feed it until `done`; what it does not consume belongs to the next message. */
export class BodyReader {
  /** The body is complete. */
  done: boolean;
  /** Set once done, for chunked bodies with trailers. */
  trailers: readonly Field[] = [];
  /** Why the body was refused; set when `read` answered -1. */
  fault = "";

  readonly #limits: BodyReaderLimits;
  readonly #chunked: boolean;
  /** Bytes left of the body or chunk; Infinity until the connection closes. */
  #left: number;
  #state = SIZE_LINE;
  /** A line that is not complete yet, Latin-1. */
  #line = "";
  /** The trailer section's complete lines. */
  #section = "";
  #sectionLines = 0;
  #extensionBytes = 0;

  constructor(length: BodyLength, limits: BodyReaderLimits) {
    this.#limits = limits;
    this.#chunked = length === "chunked";
    this.#left = typeof length === "number" ? length : length === "close" ? Number.POSITIVE_INFINITY : 0;
    this.done = length === 0;
  }

  /**
   * Reads from `bytes`, starting at `from`, and hands each stretch of content to `onData` as a view. Answers the offset
   * behind what was consumed, or -1 where the framing is malformed.
   */
  read(bytes: Buffer, from: number, onData: (content: Buffer) => void): number {
    if (!this.#chunked) {
      if (this.done) return from;
      const end = Math.min(bytes.length, from + this.#left);
      this.#left -= end - from;
      if (this.#left === 0) this.done = true;
      if (end > from) onData(from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end));
      return end;
    }
    let pos = from;
    while (pos < bytes.length && !this.done) {
      if (this.#state === DATA) {
        const end = Math.min(bytes.length, pos + this.#left);
        this.#left -= end - pos;
        if (this.#left === 0) this.#state = DATA_END;
        onData(bytes.subarray(pos, end));
        pos = end;
        continue;
      }
      const plain = this.#line === "" ? this.#readPlainLine(bytes, pos) : pos;
      if (plain > pos) {
        pos = plain;
        continue;
      }
      const lf = bytes.indexOf(LF, pos);
      const end = lf < 0 ? bytes.length : lf + 1;
      if (this.#section.length + this.#line.length + (end - pos) > this.#limits.maxLineBytes) {
        return this.#refuse("line too long");
      }
      this.#line += bytes.toString("latin1", pos, end);
      pos = end;
      if (lf < 0) return pos;
      if (!this.#takeLine()) return -1;
    }
    return pos;
  }

  /** The connection ended: whether that completes the body. */
  finish(): boolean {
    if (this.#left === Number.POSITIVE_INFINITY) this.done = true;
    return this.done;
  }

  /** Reads a bare chunk size, or the line end behind a chunk, where it has arrived in one piece: nearly always. */
  #readPlainLine(bytes: Buffer, from: number): number {
    let pos = from;
    let size = 0;
    if (this.#state === SIZE_LINE) {
      for (; pos - from < MAX_SIZE_DIGITS; pos++) {
        const digit = HEX_DIGITS[bytes[pos] ?? 0] ?? NOT_HEX;
        if (digit === NOT_HEX) break;
        size = size * 16 + digit;
      }
      if (pos === from) return from;
    } else if (this.#state !== DATA_END) {
      return from;
    }
    if (bytes[pos] !== CR || bytes[pos + 1] !== LF) return from;
    if (this.#state === SIZE_LINE) this.#begin(size);
    else this.#state = SIZE_LINE;
    return pos + CRLF_BYTES;
  }

  #begin(size: number): void {
    this.#left = size;
    this.#state = size === 0 ? TRAILERS : DATA;
  }

  /** `#line` ends with LF. False where it is malformed. */
  #takeLine(): boolean {
    const line = this.#line;
    this.#line = "";
    switch (this.#state) {
      case DATA_END:
        if (line !== "\r\n") return this.#refuse("no CRLF after a chunk") > 0;
        this.#state = SIZE_LINE;
        return true;
      case SIZE_LINE: {
        const size = CHUNK_LINE.exec(line)?.[1];
        if (size === undefined) return this.#refuse("chunk size") > 0;
        this.#extensionBytes += line.length - size.length - CRLF_BYTES;
        if (this.#extensionBytes > MAX_EXTENSION_BYTES) return this.#refuse("chunk extensions too long") > 0;
        this.#begin(Number.parseInt(size, 16));
        return true;
      }
      default:
        if (line === "\r\n") return this.#takeTrailers();
        this.#section += line;
        this.#sectionLines++;
        if (this.#sectionLines > this.#limits.maxFields) return this.#refuse("too many trailers") > 0;
        return true;
    }
  }

  #takeTrailers(): boolean {
    if (this.#section !== "") {
      const parsed = parseTrailers(Buffer.from(this.#section, "latin1"), this.#limits.maxFields);
      if (parsed.kind !== "fields") return this.#refuse("trailers") > 0;
      if (parsed.fields.some((field) => FRAMING_FIELDS.has(field.key))) return this.#refuse("framing in trailers") > 0;
      this.#section = "";
      this.trailers = parsed.fields;
    }
    this.done = true;
    return true;
  }

  #refuse(fault: string): -1 {
    this.fault = fault;
    return -1;
  }
}

const NOT_HEX = 255;
const HEX_DIGITS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(digit) ? NOT_HEX : digit;
});
