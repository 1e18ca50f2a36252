// Scrubbing parts of a body (206). Lengths stay: Content-Range has told them. Where a part's edge may have cut a value,
// the piece of it that is there is overwritten by `*`; of a part in which a value would not fit, all of it: pieces of two
// bytes would come to a value.

import type { BodyTransform, Emit } from "../message.ts";
import { type PartCut, parseContentRange } from "./content-range.ts";
import { ScrubBody, type StandInFor } from "./scrub-body.ts";
import type { PatternSet } from "./search.ts";

/**
 * The shortest piece of a cut value that is masked. Shorter ones stand at an edge by chance, and masking those would
 * spoil downloads that are resumed; with many patterns chance is greater.
 */
function minPieceBytes(patterns: number): number {
  return patterns <= 1000 ? 3 : 4;
}

/** One part. `start`, `end`: that edge may cut a value. */
export class ScrubPart<T> implements BodyTransform {
  readonly #set: PatternSet<T>;
  readonly #body: ScrubBody<T>;
  readonly #cutsStart: boolean;
  /** The part's first bytes, until it is known whether they are too few, or the end of a value; undefined once it is. */
  #beginning: Buffer[] | undefined;
  #beginningLength = 0;

  constructor(
    set: PatternSet<T>,
    standInFor: StandInFor<T>,
    edges: { readonly start: boolean; readonly end: boolean },
  ) {
    this.#set = set;
    this.#body = new ScrubBody(set, standInFor, edges.end ? minPieceBytes(set.size) : 0);
    this.#cutsStart = edges.start;
    if ((edges.start || edges.end) && set.size > 0) this.#beginning = [];
  }

  push(chunk: Buffer, emit: Emit): undefined {
    if (this.#beginning === undefined) return this.#body.push(chunk, emit);
    this.#beginning.push(Buffer.from(chunk));
    this.#beginningLength += chunk.length;
    // The cut piece is shorter than the longest pattern, and what begins within it ends before twice that.
    const needed = this.#cutsStart ? 2 * this.#set.maxLength : this.#set.maxLength;
    if (this.#beginningLength >= needed) this.#begin(emit);
  }

  end(emit: Emit): undefined {
    if (this.#beginning !== undefined) {
      if (this.#beginningLength >= this.#set.maxLength) this.#begin(emit);
      else if (this.#beginningLength > 0) emit(Buffer.alloc(this.#beginningLength, "*"));
    }
    this.#body.end(emit);
  }

  #begin(emit: Emit): void {
    const beginning = Buffer.concat(this.#beginning ?? []);
    this.#beginning = undefined;
    let masked = this.#cutsStart ? this.#set.suffixLength(beginning, minPieceBytes(this.#set.size)) : 0;
    // A piece may be there by chance, and a whole value begin in it: that must not get lost.
    let match = masked > 0 ? this.#set.find(beginning, 0) : undefined;
    while (match !== undefined && match.start < masked) {
      masked = Math.max(masked, match.end);
      match = this.#set.find(beginning, match.end);
    }
    if (masked > 0) emit(Buffer.alloc(masked, "*"));
    if (masked < beginning.length) this.#body.push(beginning.subarray(masked), emit);
  }
}

/** Leaves out what was asked for only to see whole values. The body before it keeps its length. */
export class CutPart implements BodyTransform {
  readonly #part: BodyTransform;
  #before: number;
  #left: number;

  constructor(part: BodyTransform, cut: PartCut) {
    this.#part = part;
    this.#before = cut.before;
    this.#left = cut.length;
  }

  push(chunk: Buffer, emit: Emit): string | undefined {
    return this.#part.push(chunk, (bytes) => this.#cut(bytes, emit));
  }

  end(emit: Emit): string | undefined {
    return this.#part.end((bytes) => this.#cut(bytes, emit));
  }

  #cut(bytes: Buffer, emit: Emit): void {
    const from = Math.min(this.#before, bytes.length);
    const to = Math.min(from + this.#left, bytes.length);
    this.#before -= from;
    this.#left -= to - from;
    if (to > from) emit(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
  }
}

/** A part's head: a few fields. What is longer is none that a server writes. */
const maxPartHeadBytes = 16 * 1024;

/**
 * multipart/byteranges (RFC 9110 section 14.6). Parts are found by the lengths that their Content-Range tells, so their
 * bytes are never searched for a boundary. From what cannot be read on, the body is scrubbed without knowing edges.
 *
 * Whole values are looked for first, across all of the body: part heads may be made up.
 */
export class ScrubByteRanges<T> implements BodyTransform {
  readonly #whole: ScrubBody<T>;
  readonly #set: PatternSet<T>;
  readonly #standInFor: StandInFor<T>;
  /** Latin-1 of the delimiter and part head that is not complete yet. */
  #head = "";
  #part: BodyTransform | undefined;
  #partBytesLeft = 0;

  constructor(set: PatternSet<T>, standInFor: StandInFor<T>) {
    this.#whole = new ScrubBody(set, standInFor);
    this.#set = set;
    this.#standInFor = standInFor;
  }

  push(chunk: Buffer, emit: Emit): undefined {
    return this.#whole.push(chunk, (bytes) => this.#pushParts(bytes, emit));
  }

  end(emit: Emit): undefined {
    this.#whole.end((bytes) => this.#pushParts(bytes, emit));
    this.#emitHead(emit);
    this.#endPart(emit);
  }

  #pushParts(chunk: Buffer, emit: Emit): void {
    let from = 0;
    while (from < chunk.length) {
      if (this.#part === undefined) {
        from = this.#readHead(chunk, from, emit);
        continue;
      }
      const end = Math.min(chunk.length, from + this.#partBytesLeft);
      this.#part.push(chunk.subarray(from, end), emit);
      this.#partBytesLeft -= end - from;
      from = end;
      if (this.#partBytesLeft === 0) this.#endPart(emit);
    }
  }

  /** Returns the offset behind what was consumed. */
  #readHead(chunk: Buffer, from: number, emit: Emit): number {
    // The end of the head may have begun in the chunk before.
    const before = this.#head.length;
    this.#head += chunk.toString("latin1", from, from + maxPartHeadBytes);
    const end = this.#head.indexOf("\r\n\r\n", Math.max(0, before - 3));
    if (end < 0 && this.#head.length < maxPartHeadBytes) return chunk.length;

    const length = end < 0 ? this.#head.length : end + 4;
    this.#head = this.#head.slice(0, length);
    const range = end < 0 ? undefined : parseContentRange(/\r\ncontent-range:([^\r\n]*)/i.exec(this.#head)?.[1]);
    this.#emitHead(emit);
    this.#part = new ScrubPart(this.#set, this.#standInFor, {
      start: range?.cutsStart ?? false,
      end: range?.cutsEnd ?? false,
    });
    this.#partBytesLeft = range?.length ?? Number.POSITIVE_INFINITY;
    return from + length - before;
  }

  #emitHead(emit: Emit): void {
    const head = new ScrubBody(this.#set, this.#standInFor);
    head.push(Buffer.from(this.#head, "latin1"), emit);
    head.end(emit);
    this.#head = "";
  }

  #endPart(emit: Emit): void {
    this.#part?.end(emit);
    this.#part = undefined;
  }
}
