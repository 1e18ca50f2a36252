// Searching for many byte strings at once.
//
// A PatternSet looks at the haystack once, however many patterns it has: a skip-table search (Wu and Manber, 1994).
// All patterns are compared by their first `window` bytes; the last three bytes of the window say how far it may jump.
// Bytes that occur in no pattern are jumped over, so most of a haystack is never read.
//
// Invariants:
// - matches are leftmost, then longest, and never overlap;
// - while more input may come, everything before the first possible start of a match is free to go, and nothing else is
//   kept: `findMore` says `hold` only where the haystack's end is a proper prefix of a pattern.

/** `start` to `end` (exclusive) of the haystack is a pattern; `value` is what was stored with it. */
export interface Match<T> {
  readonly kind: "match";
  readonly start: number;
  readonly end: number;
  readonly value: T;
}

/** From `start` on the haystack may be the beginning of a match: decide when more of it is there. */
export interface Hold {
  readonly kind: "hold";
  readonly start: number;
}

const blockBytes = 3;
/** A longer window jumps further but costs more to compile; past this it no longer pays. */
const maxWindow = 64;
const minTableBits = 12;
/** 256 KiB of jumps: beyond it the table falls out of the processor's second-level cache. */
const maxTableBits = 18;
/** Table entries per pattern; more of them mean fewer blocks that collide. */
const entriesPerPattern = 64;
/** From here on the native comparison is faster than a loop. */
const nativeCompareBytes = 48;

const none = -1;
const partial = -2;

export class PatternSet<T> {
  readonly #patterns: readonly Buffer[];
  readonly #values: readonly T[];
  readonly #window: number;
  /** Block hash → how far the window may move; 0: a pattern's window may end here. */
  readonly #jumps: Uint8Array;
  readonly #jumpShift: number;
  /** Window hash → first pattern with it, +1; 0: none. The chain goes on in #next, longest pattern first. */
  readonly #heads: Int32Array;
  readonly #headShift: number;
  readonly #next: Int32Array;
  /** 1 for every byte that some pattern starts with. */
  readonly #firstBytes = new Uint8Array(256);
  /** Patterns in the order of their bytes, made when first needed: for prefixes shorter than the window. */
  #sorted: Int32Array | undefined;

  readonly size: number;
  /** Bytes of the shortest and of the longest pattern; both 0 for an empty set. */
  readonly minLength: number;
  readonly maxLength: number;

  /**
   * Patterns have at least three bytes. Where the same bytes come twice the first one counts. The buffers are kept, not
   * copied: do not write into them.
   */
  constructor(patterns: Iterable<readonly [Buffer, T]>) {
    const byLength = withoutRepeats(patterns).sort((a, b) => a[0].length - b[0].length);
    const shortest = byLength[0]?.[0].length ?? 0;
    if (byLength.length > 0 && shortest < blockBytes)
      throw new RangeError(`a pattern has at least ${blockBytes} bytes`);
    this.#patterns = byLength.map(([bytes]) => bytes);
    this.#values = byLength.map(([, value]) => value);
    this.size = byLength.length;
    this.minLength = shortest;
    this.maxLength = byLength.at(-1)?.[0].length ?? 0;
    this.#window = Math.min(shortest, maxWindow);

    const tableBits = clamp(bitsFor(this.size * entriesPerPattern), minTableBits, maxTableBits);
    this.#jumpShift = 32 - tableBits;
    this.#jumps = new Uint8Array(this.size === 0 ? 0 : 2 ** tableBits);
    const headBits = Math.max(4, bitsFor(this.size * 2));
    this.#headShift = 32 - headBits;
    this.#heads = new Int32Array(2 ** headBits);
    this.#next = new Int32Array(this.size);
    this.#compile();
  }

  /** The leftmost, then longest match that starts at `from` or later. The haystack's end is the end of all input. */
  find(haystack: Buffer, from = 0): Match<T> | undefined {
    const start = this.#locate(haystack, from, haystack.length, true);
    return start === none ? undefined : this.#matchAt(start);
  }

  /**
   * As `find`, but more input may follow. `undefined`: no match starts in [from, limit), and none can start there
   * whatever follows. `limit` defaults to the haystack's length.
   */
  findMore(haystack: Buffer, from: number, limit = haystack.length): Match<T> | Hold | undefined {
    const start = this.#locate(haystack, from, limit, false);
    if (start === none) return undefined;
    return this.#hit === partial ? { kind: "hold", start } : this.#matchAt(start);
  }

  /** Where the longest end of the haystack that is a proper prefix of a pattern starts; its length if there is none. */
  holdBack(haystack: Buffer, from = 0): number {
    if (this.size === 0) return haystack.length;
    const earliest = Math.max(from, haystack.length - this.maxLength + 1);
    for (let start = earliest; start < haystack.length; start++) {
      if (this.#firstBytes[haystack[start]!] === 0) continue;
      if (this.#prefixAt(haystack, start)) return start;
    }
    return haystack.length;
  }

  /**
   * False where the Latin-1 text surely holds no match. True is a guess that is nearly always right. It reads the
   * string in place: for the short strings of a head, copying them into a buffer would cost more than the search.
   */
  mayMatch(text: string): boolean {
    const window = this.#window;
    if (window === 0) return false;
    const jumps = this.#jumps;
    const shift = this.#jumpShift;
    const length = text.length;
    let last = window - 1;
    while (last < length) {
      const block = text.charCodeAt(last - 2) | (text.charCodeAt(last - 1) << 8) | (text.charCodeAt(last) << 16);
      const jump = jumps[Math.imul(block, hashFactor) >>> shift]!;
      if (jump === 0) {
        const start = last - window + 1;
        const first = text.charCodeAt(start) | (text.charCodeAt(start + 1) << 8) | (text.charCodeAt(start + 2) << 16);
        if (this.#heads[mix(first, block) >>> this.#headShift] !== 0) return true;
        last += 1;
      } else last += jump;
    }
    return false;
  }

  // --- searching

  /** Index of the pattern that #locate found, or `partial`. Only read right after it. */
  #hit = none;

  #matchAt(start: number): Match<T> {
    const hit = this.#hit;
    // The pattern exists: #hit is an index into both arrays.
    return { kind: "match", start, end: start + this.#patterns[hit]!.length, value: this.#values[hit] as T };
  }

  #locate(haystack: Buffer, from: number, limit: number, isAll: boolean): number {
    const window = this.#window;
    if (window === 0) return none;
    const jumps = this.#jumps;
    const shift = this.#jumpShift;
    const length = haystack.length;
    const stop = Math.min(length, limit + window - 1);
    let last = from + window - 1;
    while (last < stop) {
      const block = haystack[last - 2]! | (haystack[last - 1]! << 8) | (haystack[last]! << 16);
      const jump = jumps[Math.imul(block, hashFactor) >>> shift]!;
      if (jump !== 0) {
        last += jump;
        continue;
      }
      const start = last - window + 1;
      this.#hit = this.#verify(haystack, start, block, isAll);
      if (this.#hit !== none) return start;
      last += 1;
    }
    if (isAll) return none;
    // Windows that stick out beyond the end. Starts before `last - window + 1` were excluded by the jumps.
    const end = Math.min(length, limit);
    for (let start = last - window + 1; start < end; start++) {
      if (this.#firstBytes[haystack[start]!] === 0 || !this.#prefixAt(haystack, start)) continue;
      this.#hit = partial;
      return start;
    }
    return none;
  }

  /** The longest pattern at `start`; `partial` where a longer one may still be coming. */
  #verify(haystack: Buffer, start: number, lastBlock: number, isAll: boolean): number {
    const firstBlock = haystack[start]! | (haystack[start + 1]! << 8) | (haystack[start + 2]! << 16);
    const available = haystack.length - start;
    let candidate = this.#heads[mix(firstBlock, lastBlock) >>> this.#headShift]!;
    while (candidate !== 0) {
      const index = candidate - 1;
      const pattern = this.#patterns[index]!;
      if (pattern.length <= available) {
        if (equalAt(haystack, start, pattern, pattern.length)) return index;
      } else if (!isAll && equalAt(haystack, start, pattern, available)) return partial;
      candidate = this.#next[index]!;
    }
    return none;
  }

  /** Whether all of the haystack from `start` on is a proper prefix of a pattern: a binary search among them. */
  #prefixAt(haystack: Buffer, start: number): boolean {
    this.#sorted ??= Int32Array.from(this.#patterns.keys()).sort((a, b) =>
      compare(this.#patterns[a]!, this.#patterns[b]!),
    );
    const sorted = this.#sorted;
    const length = haystack.length - start;
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(this.#patterns[sorted[middle]!]!, haystack, start)) low = middle + 1;
      else high = middle;
    }
    // `low` is the first pattern that is not before the rest. If the rest itself is a pattern, a longer one is next.
    for (let at = low; at < sorted.length && at < low + 2; at++) {
      const pattern = this.#patterns[sorted[at]!]!;
      if (pattern.length > length && equalAt(haystack, start, pattern, length)) return true;
    }
    return false;
  }

  // --- compiling

  #compile(): void {
    const window = this.#window;
    // Jumps fit in a byte: window is at most 64.
    this.#jumps.fill(window - blockBytes + 1);
    // Ascending lengths, each put in front of its chain: chains are read longest first.
    for (const [index, pattern] of this.#patterns.entries()) {
      for (let last = blockBytes - 1; last < window; last++) {
        const slot = Math.imul(blockAt(pattern, last - 2), hashFactor) >>> this.#jumpShift;
        const jump = window - 1 - last;
        if (jump < this.#jumps[slot]!) this.#jumps[slot] = jump;
      }
      const head = mix(blockAt(pattern, 0), blockAt(pattern, window - blockBytes)) >>> this.#headShift;
      this.#next[index] = this.#heads[head]!;
      this.#heads[head] = index + 1;
      this.#firstBytes[pattern[0]!] = 1;
    }
  }
}

/** 2^32 divided by the golden ratio: spreads neighbouring blocks over the whole table (Knuth's multiplicative hash). */
const hashFactor = 0x9e3779b1;

function mix(first: number, last: number): number {
  return Math.imul(Math.imul(first, hashFactor) ^ last, 0x85ebca6b);
}

function blockAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
}

function equalAt(haystack: Buffer, start: number, pattern: Buffer, length: number): boolean {
  const looped = Math.min(length, nativeCompareBytes);
  for (let i = 0; i < looped; i++) if (haystack[start + i] !== pattern[i]) return false;
  return looped === length || haystack.compare(pattern, looped, length, start + looped, start + length) === 0;
}

/** Whether the pattern sorts before the haystack's rest. A pattern that starts with the rest does not. */
function isBefore(pattern: Buffer, haystack: Buffer, start: number): boolean {
  const length = Math.min(pattern.length, haystack.length - start);
  for (let i = 0; i < length; i++) {
    const difference = pattern[i]! - haystack[start + i]!;
    if (difference !== 0) return difference < 0;
  }
  return pattern.length < haystack.length - start;
}

function compare(a: Buffer, b: Buffer): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function withoutRepeats<T>(patterns: Iterable<readonly [Buffer, T]>): (readonly [Buffer, T])[] {
  const seen = new Map<string, readonly [Buffer, T]>();
  for (const pattern of patterns) {
    const key = pattern[0].toString("latin1");
    if (!seen.has(key)) seen.set(key, pattern);
  }
  return [...seen.values()];
}

function bitsFor(count: number): number {
  return Math.ceil(Math.log2(Math.max(1, count)));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
