// Multipart bodies (RFC 2046, RFC 7578): each part is rewritten by its own type; delimiters, preamble, part heads and
// epilogue pass as they are. Bounded: only a delimiter's line and a part's head are held.

import type { Emit } from "../message.ts";
import { parseContentType } from "./body-syntax.ts";
import type { RequestTransform } from "./body-text.ts";

/** What a part's head says of the part. */
export interface PartHead {
  readonly contentType: string | undefined;
  /** Field name from Content-Disposition. */
  readonly name: string | undefined;
  /** The part states its own length, so that must not change. */
  readonly hasLength: boolean;
}

/** Makes the transform of one part; undefined: the part passes untouched. */
export type MakePart = (head: PartHead) => RequestTransform | undefined;

/** A longer delimiter line or part head is no multipart any more: from there on the body passes untouched. */
const MAX_LINE_BYTES = 1024;
const MAX_HEAD_BYTES = 16 * 1024;

const NOTHING = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;
const BLANK = 0x20;
const TAB = 0x09;
const DASH = 0x2d;

type State =
  /** Before the first byte: a delimiter may stand here without a line end before it. */
  | "start"
  | "preamble"
  /** At a delimiter that is known to be one. */
  | "delimiter"
  | "head"
  | "part"
  /** Everything passes. */
  | "rest";

export class MultipartTransform implements RequestTransform {
  readonly #makePart: MakePart;
  /** Line feed and delimiter; a carriage return before it is the part's last byte as far as this code minds. */
  readonly #delimiter: Buffer;
  #state: State = "start";
  /** Bytes of the delimiter at hand: the first one has no line feed. */
  #delimiterBytes = 0;
  #part: RequestTransform | undefined;
  /** Calls that the part's transform has still to take; the first may await a lookup. */
  #calls: (Buffer | "end")[] = [];
  #held: Buffer = NOTHING;
  #changed = false;

  constructor(boundary: string, makePart: MakePart) {
    this.#delimiter = Buffer.from(`\n--${boundary}`, "latin1");
    this.#makePart = makePart;
  }

  get changed(): boolean {
    return this.#changed || this.#part?.changed === true;
  }

  push(chunk: Buffer, emit: Emit): string | undefined {
    return this.#run(this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]), false, emit);
  }

  end(emit: Emit): string | undefined {
    return this.#run(this.#held, true, emit);
  }

  #run(window: Buffer, final: boolean, emit: Emit): string | undefined {
    let at = 0;
    for (;;) {
      const key = this.#settle(emit);
      const state = this.#state;
      const next = key === undefined ? this.#step(window, at, final, emit) : at;
      if (key !== undefined || (next === at && state === this.#state && this.#calls.length === 0)) {
        // A copy: the caller may use the chunk's memory again.
        this.#held = at === window.length ? NOTHING : Buffer.from(window.subarray(at));
        return key;
      }
      at = next;
    }
  }

  /** Makes the calls that are due; the key that one of them asks for. */
  #settle(emit: Emit): string | undefined {
    while (this.#calls.length > 0) {
      const call = this.#calls[0]!;
      const key = call === "end" ? this.#part?.end(emit) : this.#pushPart(call, emit);
      if (key !== undefined) {
        if (call !== "end") this.#calls[0] = NOTHING;
        return key;
      }
      if (call === "end") {
        this.#changed ||= this.#part?.changed === true;
        this.#part = undefined;
      }
      this.#calls.shift();
    }
    return undefined;
  }

  #pushPart(bytes: Buffer, emit: Emit): string | undefined {
    if (this.#part !== undefined) return this.#part.push(bytes, emit);
    if (bytes.length > 0) emit(bytes);
    return undefined;
  }

  /** Takes one step; the new position. Neither a new position nor a new state: more bytes are needed. */
  #step(window: Buffer, at: number, final: boolean, emit: Emit): number {
    switch (this.#state) {
      case "start":
        return this.#start(window, at, final);
      case "preamble":
      case "part":
        return this.#content(window, at, final);
      case "delimiter":
        return this.#line(window, at, final, emit);
      case "head":
        return this.#head(window, at, final, emit);
      case "rest":
        if (at < window.length) emit(window.subarray(at));
        return window.length;
    }
  }

  #start(window: Buffer, at: number, final: boolean): number {
    const bare = this.#delimiter.subarray(1);
    const verdict = this.#isDelimiter(window, at, bare, final);
    if (verdict === undefined) return at;
    this.#state = verdict ? "delimiter" : "preamble";
    this.#delimiterBytes = bare.length;
    return at;
  }

  /** Bytes up to the next delimiter. */
  #content(window: Buffer, at: number, final: boolean): number {
    const inPart = this.#state === "part";
    let start = window.indexOf(this.#delimiter, at);
    let verdict: boolean | undefined = false;
    for (; start >= 0; start = window.indexOf(this.#delimiter, start + 1)) {
      verdict = this.#isDelimiter(window, start, this.#delimiter, final);
      if (verdict !== false) break;
    }
    if (start < 0) start = final ? window.length : this.#partialDelimiter(window, at);
    if (start > at) this.#calls.push(window.subarray(at, start));
    if (verdict === true || final) {
      if (inPart) this.#calls.push("end");
      this.#state = verdict === true ? "delimiter" : "rest";
      this.#delimiterBytes = this.#delimiter.length;
    }
    return start;
  }

  /** Whether the delimiter stands at `at`: a longer boundary may start like this one. Undefined: too few bytes. */
  #isDelimiter(window: Buffer, at: number, delimiter: Buffer, final: boolean): boolean | undefined {
    const length = Math.min(delimiter.length, window.length - at);
    if (window.compare(delimiter, 0, length, at, at + length) !== 0) return false;
    const next = window[at + delimiter.length];
    if (next === undefined) return final ? length === delimiter.length : undefined;
    if (next !== DASH) return next === CR || next === LF || next === BLANK || next === TAB;
    const second = window[at + delimiter.length + 1];
    return second === undefined && !final ? undefined : second === DASH;
  }

  /** Where the window's end may be the beginning of a delimiter. It has one line feed, so the last one decides. */
  #partialDelimiter(window: Buffer, at: number): number {
    const start = window.lastIndexOf(LF);
    const length = window.length - start;
    if (start < at || length >= this.#delimiter.length) return window.length;
    return window.compare(this.#delimiter, 0, length, start) === 0 ? start : window.length;
  }

  #line(window: Buffer, at: number, final: boolean, emit: Emit): number {
    const after = at + this.#delimiterBytes;
    const end = window.indexOf(LF, after);
    if (end < 0 || end - after > MAX_LINE_BYTES) {
      if (final || window.length - after > MAX_LINE_BYTES) this.#state = "rest";
      return at;
    }
    const closes = window[after] === DASH && window[after + 1] === DASH;
    this.#state = closes ? "rest" : "head";
    emit(window.subarray(at, end + 1));
    return end + 1;
  }

  #head(window: Buffer, at: number, final: boolean, emit: Emit): number {
    const end = endOfHead(window, at);
    if (end < 0 || end - at > MAX_HEAD_BYTES) {
      if (final || window.length - at > MAX_HEAD_BYTES) this.#state = "rest";
      return at;
    }
    this.#part = this.#makePart(parsePartHead(window.subarray(at, end)));
    this.#state = "part";
    emit(window.subarray(at, end));
    return end;
  }
}

/** Offset after the empty line that ends a part's head; -1: not there yet. */
function endOfHead(window: Buffer, at: number): number {
  let line = at;
  for (;;) {
    const end = window.indexOf(LF, line);
    if (end < 0 || end - at > MAX_HEAD_BYTES) return -1;
    if (end === line || (end === line + 1 && window[line] === CR)) return end + 1;
    line = end + 1;
  }
}

function parsePartHead(bytes: Buffer): PartHead {
  let contentType: string | undefined;
  let name: string | undefined;
  let hasLength = false;
  // Obsolete folding (RFC 5322) does occur in part heads.
  for (const line of bytes
    .toString("latin1")
    .replace(/\r?\n[ \t]+/g, " ")
    .split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const value = line.slice(colon + 1).trim();
    switch (line.slice(0, colon).trim().toLowerCase()) {
      case "content-type":
        contentType ??= value;
        break;
      case "content-disposition":
        name ??= parseContentType(value).parameters.get("name");
        break;
      case "content-length":
        hasLength = true;
        break;
      default:
    }
  }
  return { contentType, name, hasLength };
}
