// Scrubbing a stream. Chunks go out as they came, as views, but for the places of values. At a chunk's end only what
// may be the start of a value is held, so an event without one leaves with its last byte.

import type { BodyTransform, Emit } from "../message.ts";
import type { PatternSet } from "./search.ts";
import type { ByteSniffer } from "./sniffer.ts";

const nothing = Buffer.alloc(0);

/**
 * `exact`: the placeholder as it is. `in-place`: cut or padded to the form's length, so that no length changes. `sniffed`:
 * exact as long as the body's first bytes look like text, else in-place.
 */
export type ScrubMode = "exact" | "in-place" | "sniffed";

/** What is written in the place of a match that is `length` bytes long. */
export type StandInFor<T> = (value: T, length: number) => Buffer;

/**
 * Replaces every match of a pattern set by what `standInFor` says. Never asks for a key. What was emitted is not written
 * into again.
 */
export class ScrubBody<T> implements BodyTransform {
  readonly #set: PatternSet<T>;
  readonly #standInFor: StandInFor<T>;
  readonly #minCutBytes: number;
  /** The first #heldLength bytes are the start of what may become a match. */
  #held = nothing;
  #heldLength = 0;

  /** `minCutBytes`: where the body ends with so many first bytes of a pattern, they are masked; 0: never. */
  constructor(set: PatternSet<T>, standInFor: StandInFor<T>, minCutBytes = 0) {
    this.#set = set;
    this.#standInFor = standInFor;
    this.#minCutBytes = minCutBytes;
  }

  push(chunk: Buffer, emit: Emit): undefined {
    if (this.#heldLength === 0) return this.#hold(chunk, this.#run(chunk, 0, chunk.length, emit));

    // Join what is held with as much of the chunk as a match can reach: a long chunk is not copied.
    const heldLength = this.#heldLength;
    const joined = Math.min(chunk.length, this.#set.maxLength);
    this.#append(chunk, joined);
    const both = this.#held.subarray(0, this.#heldLength);
    if (joined === chunk.length) {
      const from = this.#run(both, 0, both.length, emit);
      if (from > 0) this.#hold(both, from);
      return;
    }
    // The longest match from the last held byte ends within `both`: nothing is held here.
    const done = this.#run(both, 0, heldLength, emit);
    this.#hold(chunk, this.#run(chunk, done - heldLength, chunk.length, emit));
  }

  end(emit: Emit): undefined {
    const rest = this.#held.subarray(0, this.#heldLength);
    this.#heldLength = 0;
    let done = 0;
    while (done < rest.length) {
      const match = this.#set.find(rest, done);
      const start = match?.start ?? rest.length;
      const cut = this.#cutAt(rest, done);
      // A longer value that the end cut counts more than a shorter whole one.
      if (cut < start || (cut === start && match !== undefined && match.end < rest.length)) {
        if (cut > done) emit(rest.subarray(done, cut));
        emit(Buffer.alloc(rest.length - cut, "*"));
        return;
      }
      if (start > done) emit(rest.subarray(done, start));
      if (match === undefined) return;
      emit(this.#standInFor(match.value, match.end - match.start));
      done = match.end;
    }
  }

  /** Where a value begins that the body's end cut; its length if none does. */
  #cutAt(rest: Buffer, from: number): number {
    if (this.#minCutBytes === 0) return rest.length;
    // The first place is the longest piece.
    const cut = this.#set.holdBack(rest, from);
    return rest.length - cut >= this.#minCutBytes ? cut : rest.length;
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

  #hold(bytes: Buffer, from: number): undefined {
    this.#heldLength = bytes.length - from;
    // Always new memory: what was emitted may still be on its way.
    this.#held = nothing;
    if (this.#heldLength === 0) return;
    this.#held = Buffer.allocUnsafe(Math.max(64, this.#heldLength * 2));
    bytes.copy(this.#held, 0, from);
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

/** Lets a sniffer see what goes out before each place of a value, so that cuts make no difference to what it knows. */
export class SniffedBody<T> implements BodyTransform {
  readonly #body: ScrubBody<T>;
  readonly #sniffer: ByteSniffer;

  constructor(body: ScrubBody<T>, sniffer: ByteSniffer) {
    this.#body = body;
    this.#sniffer = sniffer;
  }

  push(chunk: Buffer, emit: Emit): undefined {
    return this.#body.push(chunk, this.#seen(emit));
  }

  end(emit: Emit): undefined {
    return this.#body.end(this.#seen(emit));
  }

  #seen(emit: Emit): Emit {
    return (bytes) => {
      this.#sniffer.advance(bytes, 0, bytes.length);
      emit(bytes);
    };
  }
}
