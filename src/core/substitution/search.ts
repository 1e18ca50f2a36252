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
/** One pattern in so long a haystack: the native search is faster. */
const nativeSearchBytes = 512;
/** From here on the native comparison is faster than a loop. */
const nativeCompareBytes = 48;

const none = -1;
const partial = -2;

export class PatternSet<T> {
  /** The bytes of all patterns, one behind the other: pattern i from #starts[i] to #starts[i + 1]. */
  readonly #bytes: Buffer;
  readonly #starts: Uint32Array;
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
  /** One bit for every block hash: whether some pattern starts with such a block. */
  readonly #firstBlocks: Uint8Array;
  /** Patterns in the order of their bytes, made when first needed: for prefixes shorter than the window. */
  #sorted: Int32Array | undefined;

  readonly size: number;
  /** Bytes of the shortest and of the longest pattern; both 0 for an empty set. */
  readonly minLength: number;
  readonly maxLength: number;

  /**
   * Patterns have at least three bytes; a string is one of bytes (Latin-1). They are copied. Where the same bytes come
   * twice the first one counts.
   */
  constructor(patterns: Iterable<readonly [Buffer | string, T]>) {
    const byLength = withoutRepeats(patterns).sort((a, b) => a[0].length - b[0].length);
    this.size = byLength.length;
    this.minLength = byLength[0]?.[0].length ?? 0;
    this.maxLength = byLength.at(-1)?.[0].length ?? 0;
    if (this.size > 0 && this.minLength < blockBytes)
      throw new RangeError(`a pattern has at least ${blockBytes} bytes`);
    this.#window = Math.min(this.minLength, maxWindow);
    this.#values = byLength.map(([, value]) => value);
    this.#starts = new Uint32Array(this.size + 1);
    for (const [index, [text]] of byLength.entries()) this.#starts[index + 1] = this.#starts[index]! + text.length;
    this.#bytes = Buffer.allocUnsafeSlow(this.#starts[this.size]!);
    for (const [index, [text]] of byLength.entries()) this.#bytes.write(text, this.#starts[index]!, "latin1");

    const tableBits = clamp(bitsFor(this.size * entriesPerPattern), minTableBits, maxTableBits);
    this.#jumpShift = 32 - tableBits;
    this.#jumps = new Uint8Array(this.size === 0 ? 0 : 2 ** tableBits);
    this.#firstBlocks = new Uint8Array(this.#jumps.length >>> 3);
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
      if (this.#prefixAt(haystack, start)) return start;
    }
    return haystack.length;
  }

  /**
   * How many of the haystack's first bytes are the end of a pattern that began before it, at least `minLength` of them;
   * 0: none. All of the haystack where it lies within a pattern. Slow: it looks through all patterns.
   */
  suffixLength(haystack: Buffer, minLength: number): number {
    if (haystack.length < minLength) return 0;
    const bytes = this.#bytes;
    const piece = haystack.subarray(0, minLength);
    let longest = 0;
    let index = 0;
    for (let at = bytes.indexOf(piece); at >= 0; at = bytes.indexOf(piece, at + 1)) {
      while (this.#starts[index + 1]! <= at) index++;
      const length = Math.min(this.#starts[index + 1]! - at, haystack.length);
      if (at === this.#starts[index] || length < minLength || length <= longest) continue;
      if (bytes.compare(haystack, 0, length, at, at + length) === 0) longest = length;
    }
    return longest;
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
    // The pattern exists: #hit is an index into the arrays.
    return { kind: "match", start, end: start + this.#lengthOf(hit), value: this.#values[hit] as T };
  }

  #locate(haystack: Buffer, from: number, limit: number, isAll: boolean): number {
    const window = this.#window;
    if (window === 0) return none;
    const jumps = this.#jumps;
    const shift = this.#jumpShift;
    const length = haystack.length;
    const stop = Math.min(length, limit + window - 1);
    let last = from + window - 1;
    if (this.size === 1 && limit - from >= nativeSearchBytes && limit === length) {
      const start = haystack.indexOf(this.#bytes, from);
      this.#hit = 0;
      if (start >= 0) return start;
      // Only a beginning of the pattern can be left.
      last = length - this.maxLength + window;
    }
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
      if (!this.#prefixAt(haystack, start)) continue;
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
      const length = this.#lengthOf(index);
      if (length <= available) {
        if (this.#equalAt(haystack, start, index, length)) return index;
      } else if (!isAll && this.#equalAt(haystack, start, index, available)) return partial;
      candidate = this.#next[index]!;
    }
    return none;
  }

  /** Whether all of the haystack from `start` on is a proper prefix of a pattern: a binary search among them. */
  #prefixAt(haystack: Buffer, start: number): boolean {
    if (this.#firstBytes[haystack[start]!] === 0) return false;
    const length = haystack.length - start;
    if (length === 1) return true;
    if (length >= blockBytes) {
      const slot = Math.imul(blockAt(haystack, start), hashFactor) >>> this.#jumpShift;
      if ((this.#firstBlocks[slot >>> 3]! & (1 << (slot & 7))) === 0) return false;
    }
    this.#sorted ??= Int32Array.from(this.#values.keys()).sort((a, b) => this.#compare(a, b));
    const sorted = this.#sorted;
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isBefore(sorted[middle]!, haystack, start)) low = middle + 1;
      else high = middle;
    }
    // `low` is the first pattern that is not before the rest. If the rest itself is a pattern, a longer one is next.
    for (let at = low; at < sorted.length && at < low + 2; at++) {
      const index = sorted[at]!;
      if (this.#lengthOf(index) > length && this.#equalAt(haystack, start, index, length)) return true;
    }
    return false;
  }

  #lengthOf(index: number): number {
    return this.#starts[index + 1]! - this.#starts[index]!;
  }

  /** Whether the first `length` bytes of a pattern stand in the haystack. */
  #equalAt(haystack: Buffer, start: number, index: number, length: number): boolean {
    const bytes = this.#bytes;
    const first = this.#starts[index]!;
    const looped = Math.min(length, nativeCompareBytes);
    for (let i = 0; i < looped; i++) if (haystack[start + i] !== bytes[first + i]) return false;
    return (
      looped === length || haystack.compare(bytes, first + looped, first + length, start + looped, start + length) === 0
    );
  }

  /** Whether a pattern sorts before the haystack's rest. A pattern that starts with the rest does not. */
  #isBefore(index: number, haystack: Buffer, start: number): boolean {
    const bytes = this.#bytes;
    const first = this.#starts[index]!;
    const rest = haystack.length - start;
    const length = Math.min(this.#lengthOf(index), rest);
    for (let i = 0; i < length; i++) {
      const difference = bytes[first + i]! - haystack[start + i]!;
      if (difference !== 0) return difference < 0;
    }
    return length < rest;
  }

  #compare(a: number, b: number): number {
    const bytes = this.#bytes;
    const startA = this.#starts[a]!;
    const startB = this.#starts[b]!;
    const length = Math.min(this.#lengthOf(a), this.#lengthOf(b));
    for (let i = 0; i < length; i++) {
      const difference = bytes[startA + i]! - bytes[startB + i]!;
      if (difference !== 0) return difference;
    }
    return this.#lengthOf(a) - this.#lengthOf(b);
  }

  // --- compiling

  #compile(): void {
    const window = this.#window;
    // Jumps fit in a byte: window is at most 64.
    this.#jumps.fill(window - blockBytes + 1);
    // Ascending lengths, each put in front of its chain: chains are read longest first.
    for (let index = 0; index < this.size; index++) {
      const first = this.#starts[index]!;
      for (let last = blockBytes - 1; last < window; last++) {
        const slot = Math.imul(blockAt(this.#bytes, first + last - 2), hashFactor) >>> this.#jumpShift;
        const jump = window - 1 - last;
        if (jump < this.#jumps[slot]!) this.#jumps[slot] = jump;
        if (last === blockBytes - 1) this.#firstBlocks[slot >>> 3]! |= 1 << (slot & 7);
      }
      const firstBlock = blockAt(this.#bytes, first);
      const head = mix(firstBlock, blockAt(this.#bytes, first + window - blockBytes)) >>> this.#headShift;
      this.#next[index] = this.#heads[head]!;
      this.#heads[head] = index + 1;
      this.#firstBytes[this.#bytes[first]!] = 1;
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

function withoutRepeats<T>(patterns: Iterable<readonly [Buffer | string, T]>): [string, T][] {
  const seen = new Map<string, T>();
  for (const [bytes, value] of patterns) {
    const text = typeof bytes === "string" ? bytes : bytes.toString("latin1");
    if (!seen.has(text)) seen.set(text, value);
  }
  return [...seen];
}

function bitsFor(count: number): number {
  return Math.ceil(Math.log2(Math.max(1, count)));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
