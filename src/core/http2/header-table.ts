// The tables of HPACK (RFC 7541 section 2.3): what both sides know from the start, and what one side told the other.

/** Appendix A. Names and values in turns; the first pair has the index 1. */
// biome-ignore format: one pair a line
const STATIC: readonly string[] = [
  ":authority", "",
  ":method", "GET",
  ":method", "POST",
  ":path", "/",
  ":path", "/index.html",
  ":scheme", "http",
  ":scheme", "https",
  ":status", "200",
  ":status", "204",
  ":status", "206",
  ":status", "304",
  ":status", "400",
  ":status", "404",
  ":status", "500",
  "accept-charset", "",
  "accept-encoding", "gzip, deflate",
  "accept-language", "",
  "accept-ranges", "",
  "accept", "",
  "access-control-allow-origin", "",
  "age", "",
  "allow", "",
  "authorization", "",
  "cache-control", "",
  "content-disposition", "",
  "content-encoding", "",
  "content-language", "",
  "content-length", "",
  "content-location", "",
  "content-range", "",
  "content-type", "",
  "cookie", "",
  "date", "",
  "etag", "",
  "expect", "",
  "expires", "",
  "from", "",
  "host", "",
  "if-match", "",
  "if-modified-since", "",
  "if-none-match", "",
  "if-range", "",
  "if-unmodified-since", "",
  "last-modified", "",
  "link", "",
  "location", "",
  "max-forwards", "",
  "proxy-authenticate", "",
  "proxy-authorization", "",
  "range", "",
  "referer", "",
  "refresh", "",
  "retry-after", "",
  "server", "",
  "set-cookie", "",
  "strict-transport-security", "",
  "transfer-encoding", "",
  "user-agent", "",
  "vary", "",
  "via", "",
  "www-authenticate", "",
];

export const staticLength = STATIC.length / 2;

/** `index`: 1 to `staticLength`. */
export function staticName(index: number): string {
  return STATIC[2 * index - 2]!;
}

export function staticValue(index: number): string {
  return STATIC[2 * index - 1]!;
}

/** Each name's first index. Pairs of one name stand together. */
const staticNames = new Map<string, number>();
for (let index = staticLength; index >= 1; index--) staticNames.set(staticName(index), index);

/** The first pair of this name; 0: there is none. */
export function staticIndexOf(name: string): number {
  return staticNames.get(name) ?? 0;
}

/** What RFC 7541 section 4.1 counts for a pair beside its bytes. */
export const pairOverhead = 32;

/** What RFC 9113 section 6.5.2 starts with, and the most that we hold for either direction. */
export const maxTableBytes = 4096;

const slots = maxTableBytes / pairOverhead;

/** The dynamic table of one direction: the last one added has the index 1 here. */
export class HeaderTable {
  /** How many were ever added: what was added then keeps that number. */
  added = 0;
  length = 0;
  /** Of the pairs in it, as section 4.1 counts. */
  bytes = 0;
  #maxBytes = maxTableBytes;
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  readonly #onEvicted: ((name: string, number: number) => void) | undefined;

  constructor(onEvicted?: (name: string, number: number) => void) {
    this.#onEvicted = onEvicted;
  }

  /** `index`: 1 to `length`. */
  name(index: number): string {
    return this.#names[(this.added - index) % slots]!;
  }

  value(index: number): string {
    return this.#values[(this.added - index) % slots]!;
  }

  /** Adds a pair, and lets go of the oldest for it. One that does not fit leaves the table empty (section 4.4). */
  add(name: string, value: string): void {
    const size = name.length + value.length + pairOverhead;
    this.#shrink(this.#maxBytes - size);
    if (size > this.#maxBytes) return;
    const slot = this.added % slots;
    this.#names[slot] = name;
    this.#values[slot] = value;
    this.added += 1;
    this.length += 1;
    this.bytes += size;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** At most `maxTableBytes`. */
  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#shrink(maxBytes);
  }

  #shrink(maxBytes: number): void {
    while (this.length > 0 && this.bytes > maxBytes) {
      const number = this.added - this.length;
      const slot = number % slots;
      const name = this.#names[slot]!;
      this.bytes -= name.length + this.#values[slot]!.length + pairOverhead;
      this.length -= 1;
      this.#names[slot] = "";
      this.#values[slot] = "";
      this.#onEvicted?.(name, number);
    }
  }
}
