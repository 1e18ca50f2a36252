// Takes the framing off a body: length-delimited, chunked (RFC 9112 section 7.1) or delimited by the connection's end.

import type { Field } from "../message.ts";
import type { BodyLength } from "./framing.ts";
import { parseTrailers } from "./head.ts";

export interface BodyReaderLimits {
  /** Bound on one chunk-size line with its extensions, and on the whole trailer section, in bytes. */
  readonly maxLineBytes: number;
  readonly maxFields: number;
}

const LF = 0x0a;
const CRLF_BYTES = 2;

// The states of chunked coding: what the next byte belongs to.
const SIZE_LINE = 0;
const DATA = 1;
const DATA_END = 2;
const TRAILERS = 3;

// chunk-size [ chunk-ext ]: extensions are read past and not forwarded. No blanks: receivers differ on them. At most
// 13 digits, so that the size is a safe integer.
const CHUNK_LINE =
  /^([0-9A-Fa-f]{1,13})(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*\r\n$/;

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
  /** A line or trailer section that is not complete yet, Latin-1. */
  #line = "";

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
      const lf = bytes.indexOf(LF, pos);
      const end = lf < 0 ? bytes.length : lf + 1;
      if (this.#line.length + (end - pos) > this.#limits.maxLineBytes) return this.#refuse("line too long");
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

  /** `#line` ends with LF. False where it is malformed. */
  #takeLine(): boolean {
    const line = this.#line;
    switch (this.#state) {
      case DATA_END:
        if (line !== "\r\n") return this.#refuse("no CRLF after a chunk") > 0;
        this.#state = SIZE_LINE;
        break;
      case SIZE_LINE: {
        const match = CHUNK_LINE.exec(line);
        if (match === null) return this.#refuse("chunk size") > 0;
        this.#left = Number.parseInt(match[1] ?? "", 16);
        this.#state = this.#left === 0 ? TRAILERS : DATA;
        break;
      }
      default:
        // The section goes on until an empty line.
        if (line !== "\r\n" && !line.endsWith("\r\n\r\n")) return true;
        return this.#takeTrailers(line.slice(0, -CRLF_BYTES));
    }
    this.#line = "";
    return true;
  }

  #takeTrailers(text: string): boolean {
    const parsed = parseTrailers(text, this.#limits.maxFields);
    if (parsed.kind !== "fields") return this.#refuse("trailers") > 0;
    this.#line = "";
    this.trailers = parsed.fields;
    this.done = true;
    return true;
  }

  #refuse(fault: string): -1 {
    this.fault = fault;
    return -1;
  }
}
