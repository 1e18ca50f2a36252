// Tells text from binary data by its first bytes, for bodies that have no content type.

import type { Sniffer } from "./body-text.ts";

/** What browsers look at (WHATWG MIME sniffing) is of this size, too. */
const SNIFFED_BYTES = 512;

export class ByteSniffer implements Sniffer {
  binary = false;
  #seen = 0;

  advance(bytes: Buffer, from: number, to: number): void {
    const end = Math.min(to, from + SNIFFED_BYTES - this.#seen);
    for (let i = from; i < end; i++) if (isBinaryByte(bytes[i]!)) this.binary = true;
    this.#seen = Math.min(SNIFFED_BYTES, this.#seen + (to - from));
  }
}

/** Control characters that no text has; tab, line ends, form feed and escape are left out. */
function isBinaryByte(byte: number): boolean {
  return byte < 0x20 && !((byte >= 0x09 && byte <= 0x0d) || byte === 0x1b);
}
