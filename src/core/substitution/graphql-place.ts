// Whether a place in a GraphQL document is in a block string (`"""…"""`), which knows no escapes but `\"""` (GraphQL
// section 2.9.4). Follows the bytes of the body.

import type { Place } from "./body-text.ts";
import type { ValueContext } from "./encodings.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const HASH = 0x23;
const LF = 0x0a;
const CR = 0x0d;

export class GraphqlPlace implements Place {
  #state: "outside" | "comment" | "string" | "block" = "outside";
  /** Quotes that came last, up to three: of a string's or block's beginning, or of a block's end. */
  #quotes = 0;
  #isEscaped = false;

  get context(): ValueContext {
    return this.#state === "block" ? "block" : "json";
  }

  advance(bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to; at++) this.#feed(bytes[at]!);
  }

  #feed(byte: number): void {
    switch (this.#state) {
      case "outside":
        this.#outside(byte);
        break;
      case "comment":
        if (byte === LF || byte === CR) this.#state = "outside";
        break;
      case "string":
        this.#string(byte);
        break;
      case "block":
        this.#block(byte);
        break;
      default:
        this.#state satisfies never;
    }
  }

  /** Two quotes are an empty string, unless a third one comes. */
  #outside(byte: number): void {
    const quotes = this.#quotes;
    this.#quotes = 0;
    if (byte === HASH) this.#state = "comment";
    else if (byte === QUOTE) this.#state = quotes === 2 ? "block" : "string";
  }

  #string(byte: number): void {
    const isFirst = this.#quotes === 0;
    this.#quotes = 1;
    if (this.#isEscaped) this.#isEscaped = false;
    else if (byte === BACKSLASH) this.#isEscaped = true;
    else if (byte === QUOTE || byte === LF || byte === CR) {
      this.#state = "outside";
      this.#quotes = isFirst && byte === QUOTE ? 2 : 0;
    }
  }

  #block(byte: number): void {
    if (byte !== QUOTE) {
      this.#quotes = 0;
      this.#isEscaped = byte === BACKSLASH;
      return;
    }
    this.#quotes += 1;
    if (this.#quotes < 3) return;
    if (!this.#isEscaped) this.#state = "outside";
    this.#isEscaped = false;
    this.#quotes = 0;
  }
}
