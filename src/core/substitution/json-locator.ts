// Follows JSON bytes and knows the JSON pointer (RFC 6901) of the string it is in. Only used where a grant is narrowed to
// a pointer. Lenient: what is not JSON gives wrong pointers, never an error. Sequences of documents (NDJSON, RFC 7464)
// start anew at the top with each document.

import type { Locator } from "./body-text.ts";

/** Deeper or longer than this a place has no name. */
const MAX_DEPTH = 64;
const MAX_KEY_BYTES = 256;

const codeOf = (char: string): number => char.charCodeAt(0);
const QUOTE = codeOf('"');
const BACKSLASH = codeOf("\\");
const OPEN_OBJECT = codeOf("{");
const CLOSE_OBJECT = codeOf("}");
const OPEN_ARRAY = codeOf("[");
const CLOSE_ARRAY = codeOf("]");
const COMMA = codeOf(",");
const COLON = codeOf(":");

interface Frame {
  readonly isArray: boolean;
  index: number;
  /** Undefined: no key yet, or one without a name here. */
  key: string | undefined;
  expectsKey: boolean;
}

export class JsonLocator implements Locator {
  readonly #frames: Frame[] = [];
  /** Frames beyond the bound, counted only. */
  #tooDeep = 0;
  #inString = false;
  #escaped = false;
  /** Bytes of the object key that is being read; undefined outside of keys. */
  #keyBytes: number[] | undefined;

  advance(bytes: Buffer, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!;
      if (this.#inString) this.#inside(byte);
      else this.#outside(byte);
    }
  }

  part(): string | undefined {
    if (!this.#inString || this.#keyBytes !== undefined || this.#tooDeep > 0) return undefined;
    let pointer = "";
    for (const frame of this.#frames) {
      if (!frame.isArray && frame.key === undefined) return undefined;
      pointer += `/${frame.isArray ? frame.index : escapeToken(frame.key!)}`;
    }
    return pointer;
  }

  #inside(byte: number): void {
    if (!this.#escaped && byte === QUOTE) {
      this.#inString = false;
      if (this.#keyBytes !== undefined) {
        this.#frames.at(-1)!.key = decodeKey(this.#keyBytes);
        this.#keyBytes = undefined;
      }
      return;
    }
    this.#escaped = !this.#escaped && byte === BACKSLASH;
    if (this.#keyBytes !== undefined && this.#keyBytes.length <= MAX_KEY_BYTES) this.#keyBytes.push(byte);
  }

  #outside(byte: number): void {
    const top = this.#tooDeep > 0 ? undefined : this.#frames.at(-1);
    switch (byte) {
      case QUOTE:
        this.#inString = true;
        this.#escaped = false;
        if (top?.expectsKey === true) this.#keyBytes = [];
        break;
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        if (this.#frames.length >= MAX_DEPTH) this.#tooDeep++;
        else {
          const isArray = byte === OPEN_ARRAY;
          this.#frames.push({ isArray, index: 0, key: undefined, expectsKey: !isArray });
        }
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        if (this.#tooDeep > 0) this.#tooDeep--;
        else this.#frames.pop();
        break;
      case COMMA:
        if (top === undefined) break;
        if (top.isArray) top.index++;
        else {
          top.key = undefined;
          top.expectsKey = true;
        }
        break;
      case COLON:
        if (top !== undefined) top.expectsKey = false;
        break;
      default:
    }
  }
}

function decodeKey(bytes: readonly number[]): string | undefined {
  if (bytes.length > MAX_KEY_BYTES) return undefined;
  try {
    const key: unknown = JSON.parse(`"${Buffer.from(bytes).toString("utf8")}"`);
    return typeof key === "string" ? key : undefined;
  } catch {
    return undefined;
  }
}

function escapeToken(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}
