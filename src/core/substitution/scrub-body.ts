// Scrubbing a stream. Chunks go out as they came, as views, but for the places of values. At a chunk's end only what
// may be the start of a value is held, so an event without one leaves with its last byte.

import type { BodyTransform, Emit } from "../message.ts";
import type { PatternSet } from "./search.ts";

const nothing = Buffer.alloc(0);

/** Replaces every match of a pattern set by what `standInFor` says. Never asks for a key. */
export class ScrubBody<T> implements BodyTransform {
  readonly #set: PatternSet<T>;
  readonly #standInFor: (value: T, length: number) => Buffer;
  /** The first #heldLength bytes are the start of what may become a match. Grows by doubling: at most two longest patterns. */
  #held = nothing;
  #heldLength = 0;

  constructor(set: PatternSet<T>, standInFor: (value: T, length: number) => Buffer) {
    this.#set = set;
    this.#standInFor = standInFor;
  }

  push(chunk: Buffer, emit: Emit): undefined {
    if (this.#heldLength === 0) return this.#keep(chunk, this.#run(chunk, 0, chunk.length, emit));

    // Join what is held with as much of the chunk as a match can reach: a long chunk is not copied.
    const heldLength = this.#heldLength;
    const joined = Math.min(chunk.length, this.#set.maxLength);
    this.#append(chunk, joined);
    const both = this.#held.subarray(0, this.#heldLength);
    if (joined === chunk.length) return this.#keep(both, this.#run(both, 0, both.length, emit));

    // The longest match from the last held byte ends within `both`: nothing is held here.
    const done = this.#run(both, 0, heldLength, emit);
    this.#heldLength = 0;
    const from = done - heldLength;
    return this.#keep(chunk, this.#run(chunk, from, chunk.length, emit));
  }

  end(emit: Emit): undefined {
    const rest = this.#held.subarray(0, this.#heldLength);
    this.#heldLength = 0;
    let done = 0;
    for (let match = this.#set.find(rest, 0); match !== undefined; match = this.#set.find(rest, done)) {
      if (match.start > done) emit(rest.subarray(done, match.start));
      emit(this.#standInFor(match.value, match.end - match.start));
      done = match.end;
    }
    if (done < rest.length) emit(rest.subarray(done));
  }

  /** Emits all that starts in [from, limit) and is decided; returns where what is not begins, at or behind the limit. */
  #run(bytes: Buffer, from: number, limit: number, emit: Emit): number {
    let done = from;
    while (done < limit) {
      const next = this.#set.findMore(bytes, done, limit);
      const start = next === undefined ? limit : next.start;
      if (start > done) emit(done === 0 && start === bytes.length ? bytes : bytes.subarray(done, start));
      if (next === undefined || next.kind === "hold") return start;
      emit(this.#standInFor(next.value, next.end - next.start));
      done = next.end;
    }
    return done;
  }

  #keep(bytes: Buffer, from: number): undefined {
    const length = bytes.length - from;
    if (length > 0 && (bytes.buffer !== this.#held.buffer || bytes.byteOffset !== this.#held.byteOffset || from > 0)) {
      if (this.#held.length < length) this.#held = Buffer.allocUnsafe(Math.max(64, length * 2));
      bytes.copy(this.#held, 0, from);
    }
    this.#heldLength = length;
  }

  #append(chunk: Buffer, length: number): void {
    const needed = this.#heldLength + length;
    if (this.#held.length < needed) {
      const larger = Buffer.allocUnsafe(needed * 2);
      this.#held.copy(larger, 0, 0, this.#heldLength);
      this.#held = larger;
    }
    chunk.copy(this.#held, this.#heldLength, 0, length);
    this.#heldLength = needed;
  }
}
