// Reads header blocks (RFC 7541 section 6). One decoder per connection and direction: blocks have to come in their order,
// each of them whole, those that nobody wants too.

import type { HeaderList } from "../wire/http2-head.ts";
import { HeaderTable, maxTableBytes, pairOverhead, staticLength, staticName, staticValue } from "./header-table.ts";
import { readHuffman } from "./huffman.ts";

export interface HeadLimits {
  /** Bytes of a head, counted as RFC 9113 section 6.5.2 does. */
  readonly maxHeadBytes: number;
  /** Fields of a head, pseudo-header fields included. */
  readonly maxFields: number;
}

/**
 * A head's names and values in turns, Latin-1. "malformed": the connection is lost, for the tables differ from here on.
 * "too-large": beyond the limits; the tables are in order.
 */
export type Decoded = HeaderList | "malformed" | "too-large";

/** Bytes of one string; twice what a whole head may have by default. */
const maxStringBytes = 128 * 1024;

/** Huffman-coded strings are read into this, and copied out at once. */
let scratch = Buffer.allocUnsafeSlow(8 * 1024);

export class HpackDecoder {
  readonly #table = new HeaderTable();
  readonly #limits: HeadLimits;
  // While a block is read.
  #bytes: Buffer = NOTHING;
  #at = 0;
  #end = 0;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  /** Reads the block `bytes[from, to)`. */
  decode(bytes: Buffer, from: number, to: number): Decoded {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
    const decoded = this.#block();
    this.#bytes = NOTHING;
    return decoded;
  }

  #block(): Decoded {
    const { maxHeadBytes, maxFields } = this.#limits;
    const table = this.#table;
    const list: string[] = [];
    let size = 0;
    let fields = 0;
    while (this.#at < this.#end) {
      const first = this.#bytes[this.#at]!;
      let name: string | undefined;
      let value: string | undefined;
      if (first >= 0x80) {
        const index = this.#integer(0x7f);
        if (index <= 0) return "malformed";
        if (index <= staticLength) {
          name = staticName(index);
          value = staticValue(index);
        } else {
          if (index - staticLength > table.length) return "malformed";
          name = table.name(index - staticLength);
          value = table.value(index - staticLength);
        }
      } else if (first >= 0x20 && first < 0x40) {
        // Section 4.2: a new size stands in front of a block's first field.
        const bytes = this.#integer(0x1f);
        if (bytes < 0 || bytes > maxTableBytes || fields > 0) return "malformed";
        table.resize(bytes);
        continue;
      } else {
        const index = this.#integer(first >= 0x40 ? 0x3f : 0x0f);
        if (index < 0 || index - staticLength > table.length) return "malformed";
        if (index === 0) name = this.#string();
        else name = index <= staticLength ? staticName(index) : table.name(index - staticLength);
        value = this.#string();
        if (name === undefined || value === undefined) return "malformed";
        if (first >= 0x40) table.add(name, value);
      }
      fields += 1;
      size += name.length + value.length + pairOverhead;
      if (size <= maxHeadBytes && fields <= maxFields) list.push(name, value);
    }
    return size > maxHeadBytes || fields > maxFields ? "too-large" : list;
  }

  /** An integer (section 5.1) whose first bits are those of `mask`; -1: cut off, or beyond any use. */
  #integer(mask: number): number {
    const bytes = this.#bytes;
    let value = bytes[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) return -1;
      const next = bytes[this.#at++]!;
      value += (next & 0x7f) << shift;
      if (next < 0x80) return value;
    }
    return -1;
  }

  #string(): string | undefined {
    if (this.#at >= this.#end) return undefined;
    const bytes = this.#bytes;
    const isHuffman = bytes[this.#at]! >= 0x80;
    const length = this.#integer(0x7f);
    const from = this.#at;
    const to = from + length;
    if (length < 0 || length > maxStringBytes || to > this.#end) return undefined;
    this.#at = to;
    if (!isHuffman) return bytes.toString("latin1", from, to);
    if (length * 2 > scratch.length) scratch = Buffer.allocUnsafeSlow(length * 2);
    const decoded = readHuffman(bytes, from, to, scratch);
    return decoded < 0 ? undefined : scratch.toString("latin1", 0, decoded);
  }
}

const NOTHING = Buffer.alloc(0);
