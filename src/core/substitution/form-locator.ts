// Follows form-encoded bytes and knows the name of the field it is in.

import type { Locator } from "./body-text.ts";
import { decodeFormText } from "./target.ts";

/** Longer names are no names here. */
const MAX_NAME_BYTES = 256;
const AMPERSAND = 0x26;
const EQUALS = 0x3d;

export class FormLocator implements Locator {
  #name: number[] = [];
  #inValue = false;

  advance(bytes: Buffer, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!;
      if (byte === AMPERSAND) {
        this.#name = [];
        this.#inValue = false;
      } else if (!this.#inValue) {
        if (byte === EQUALS) this.#inValue = true;
        else if (this.#name.length <= MAX_NAME_BYTES) this.#name.push(byte);
      }
    }
  }

  part(): string | undefined {
    if (!this.#inValue || this.#name.length > MAX_NAME_BYTES) return undefined;
    return decodeFormText(Buffer.from(this.#name).toString("latin1"));
  }
}
