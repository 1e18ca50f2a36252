// Writes header blocks (RFC 7541 section 6). One encoder per connection and direction: blocks go out in the order in
// which they were written.
//
// What is said twice running goes into the dynamic table, so that values which differ with each message (lengths, ids)
// do not push out those that stay. Credentials never do: their length in the table would answer guesses (section 7.1).

import type { FrameWriter } from "./frame-writer.ts";
import {
  HeaderTable,
  maxTableBytes,
  pairOverhead,
  staticIndexOf,
  staticLength,
  staticName,
  staticValue,
} from "./header-table.ts";
import { huffmanLength, writeHuffman } from "./huffman.ts";

/** The largest pair that goes into the table: an eighth of it. */
const maxIndexedBytes = maxTableBytes / 8;
/** Names whose last value is remembered. */
const maxSaid = 128;
/** Never in a table, not even in one of the next hop (section 6.2.3). */
const neverIndexed: ReadonlySet<string> = new Set([
  "authorization",
  "cookie",
  "set-cookie",
  "proxy-authorization",
  "x-api-key",
]);

export class HpackEncoder {
  /** Each name's youngest pair in the table, by the number it was added with. */
  readonly #numbers = new Map<string, number>();
  readonly #table = new HeaderTable((name, number) => {
    if (this.#numbers.get(name) === number) this.#numbers.delete(name);
  });
  readonly #said = new Map<string, string>();
  /** The least size that was asked for since the last block; undefined: none. */
  #least: number | undefined;
  #most = maxTableBytes;

  /** The other side holds so many bytes of table. */
  resize(maxBytes: number): void {
    const bytes = Math.min(maxBytes, maxTableBytes);
    if (bytes === this.#most && this.#least === undefined) return;
    this.#least = Math.min(this.#least ?? bytes, bytes);
    this.#most = bytes;
  }

  /** The most bytes that `write` takes for this list. */
  static bound(list: readonly string[]): number {
    let bytes = 16;
    for (const text of list) bytes += text.length + 6;
    return bytes;
  }

  /** Writes names and values in turns, all of them Latin-1; `out` has room for `bound`. */
  write(list: readonly string[], out: FrameWriter): void {
    if (this.#least !== undefined) this.#writeSizes(out);
    for (let at = 0; at < list.length; at += 2) this.#field(list[at]!, list[at + 1]!, out);
  }

  #writeSizes(out: FrameWriter): void {
    const least = this.#least!;
    this.#least = undefined;
    if (least < this.#most) this.#writeSize(least, out);
    this.#writeSize(this.#most, out);
  }

  #writeSize(bytes: number, out: FrameWriter): void {
    this.#table.resize(bytes);
    writeInteger(out, 0x20, 0x1f, bytes);
  }

  #field(name: string, value: string, out: FrameWriter): void {
    const first = staticIndexOf(name);
    let nameIndex = first;
    if (first > 0) {
      for (let index = first; index <= staticLength && staticName(index) === name; index++) {
        if (staticValue(index) !== value || value === "") continue;
        writeInteger(out, 0x80, 0x7f, index);
        return;
      }
    }
    if (neverIndexed.has(name)) {
      this.#literal(0x10, 0x0f, nameIndex, name, value, out);
      return;
    }
    const number = this.#numbers.get(name);
    if (number !== undefined) {
      const index = this.#table.added - number;
      if (this.#table.value(index) === value) {
        writeInteger(out, 0x80, 0x7f, staticLength + index);
        return;
      }
      if (nameIndex === 0) nameIndex = staticLength + index;
    }
    const size = name.length + value.length + pairOverhead;
    if (size > maxIndexedBytes || size > this.#table.maxBytes || !this.#saidAgain(name, value)) {
      this.#literal(0x00, 0x0f, nameIndex, name, value, out);
      return;
    }
    this.#literal(0x40, 0x3f, nameIndex, name, value, out);
    this.#table.add(name, value);
    this.#numbers.set(name, this.#table.added - 1);
  }

  #saidAgain(name: string, value: string): boolean {
    if (this.#said.get(name) === value) return true;
    if (this.#said.size >= maxSaid) this.#said.clear();
    this.#said.set(name, value);
    return false;
  }

  #literal(pattern: number, mask: number, nameIndex: number, name: string, value: string, out: FrameWriter): void {
    writeInteger(out, pattern, mask, nameIndex);
    if (nameIndex === 0) writeString(out, name);
    writeString(out, value);
  }
}

/** Section 5.1: `pattern` stands in the bits above `mask`. */
function writeInteger(out: FrameWriter, pattern: number, mask: number, value: number): void {
  const { buffer } = out;
  if (value < mask) {
    buffer[out.length++] = pattern | value;
    return;
  }
  buffer[out.length++] = pattern | mask;
  let rest = value - mask;
  while (rest >= 0x80) {
    buffer[out.length++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  buffer[out.length++] = rest;
}

function writeString(out: FrameWriter, text: string): void {
  const coded = huffmanLength(text);
  if (coded < text.length) {
    writeInteger(out, 0x80, 0x7f, coded);
    out.length = writeHuffman(text, out.buffer, out.length);
  } else {
    writeInteger(out, 0x00, 0x7f, text.length);
    out.latin1(text);
  }
}
