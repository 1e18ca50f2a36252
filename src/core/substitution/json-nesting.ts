// JSON text inside of JSON strings (arguments of tool calls, queued messages): a value that is written there has to be
// escaped once for each layer. Follows the bytes of a JSON body and knows how many layers deep a place is. Only used where
// some value needs escapes at all.
//
// A string counts as JSON text where all of it up to the place is the beginning of an object or an array; anything else is
// a string that only looks like it. The body itself is read leniently, as it comes.

import type { Nesting } from "./body-text.ts";

/** Deeper than this a string is not taken for JSON text. */
const MAX_DEPTH = 64;

const codeOf = (char: string): number => char.charCodeAt(0);
const QUOTE = codeOf('"');
const BACKSLASH = codeOf("\\");
const LETTER_U = codeOf("u");
const OPEN_OBJECT = codeOf("{");
const CLOSE_OBJECT = codeOf("}");
const OPEN_ARRAY = codeOf("[");
const CLOSE_ARRAY = codeOf("]");
const COMMA = codeOf(",");
const COLON = codeOf(":");

/** What the short escapes that are no character of themselves mean: white space or controls, none of which says more here. */
const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map(
  [..."bfnrt"].map((char, at) => [codeOf(char), codeOf("\b\f\n\r\t"[at]!)]),
);

export class JsonNesting implements Nesting {
  #string: StringReader | undefined;

  /** 1: in a string of the body itself, or in none. 2: in a string of JSON text that such a string holds; and so on. */
  get depth(): number {
    return this.#string?.depth ?? 1;
  }

  advance(bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const byte = bytes[at]!;
      if (this.#string === undefined) {
        if (byte === QUOTE) this.#string = new StringReader();
      } else if (!this.#string.feed(byte)) this.#string = undefined;
    }
  }
}

/** The inside of one string: undoes its escapes and looks whether what it says is JSON text. */
class StringReader {
  #text: JsonText | undefined = new JsonText();
  #isEscaped = false;
  #hexLeft = 0;
  #code = 0;

  get depth(): number {
    return 1 + (this.#text?.depth ?? 0);
  }

  /** False: the string has ended. */
  feed(byte: number): boolean {
    if (this.#hexLeft > 0) {
      this.#hexLeft--;
      this.#code = (this.#code << 4) | (Number.parseInt(String.fromCharCode(byte), 16) & 15);
      if (this.#hexLeft === 0) this.#pass(this.#code);
    } else if (this.#isEscaped) {
      this.#isEscaped = false;
      if (byte === LETTER_U) {
        this.#hexLeft = 4;
        this.#code = 0;
      } else this.#pass(SHORT_ESCAPES.get(byte) ?? byte);
    } else if (byte === BACKSLASH) this.#isEscaped = true;
    else if (byte === QUOTE) return false;
    else this.#pass(byte);
    return true;
  }

  #pass(code: number): void {
    if (this.#text?.feed(code) === false) this.#text = undefined;
  }
}

type Expectation =
  | "start"
  | "key-or-end"
  | "key"
  | "colon"
  | "value-or-end"
  | "value"
  | "scalar"
  | "comma-or-end"
  | "end";

/** Reads what may be an object or an array, strictly. */
class JsonText {
  /** Whether each open bracket is an array's. */
  readonly #open: boolean[] = [];
  #expects: Expectation = "start";
  #string: StringReader | undefined;

  /** Layers of strings that are open. */
  get depth(): number {
    return this.#string?.depth ?? 0;
  }

  /** False: this is no JSON text. */
  feed(code: number): boolean {
    if (this.#string !== undefined) {
      // A raw control character ends no string, but is none of JSON's.
      if (code < 0x20) return false;
      if (this.#string.feed(code)) return true;
      this.#string = undefined;
      this.#expects = this.#expects === "colon" ? "colon" : "comma-or-end";
      return true;
    }
    if (code === 0x20 || (code >= 0x09 && code <= 0x0d)) {
      if (this.#expects === "scalar") this.#expects = "comma-or-end";
      return true;
    }
    switch (code) {
      case QUOTE:
        return this.#openString();
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        return this.#openBracket(code === OPEN_ARRAY);
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        return this.#closeBracket(code === CLOSE_ARRAY);
      case COMMA:
        if (this.#expects !== "comma-or-end" && this.#expects !== "scalar") return false;
        this.#expects = this.#open.at(-1) === true ? "value" : "key";
        return true;
      case COLON:
        if (this.#expects !== "colon") return false;
        this.#expects = "value";
        return true;
      default:
        // true, false, null and numbers: which characters follow which says nothing more about strings.
        if (!this.#expectsValue && this.#expects !== "scalar") return false;
        this.#expects = "scalar";
        return /^[-+.0-9A-Za-z]$/.test(String.fromCharCode(code));
    }
  }

  get #expectsValue(): boolean {
    return this.#expects === "value" || this.#expects === "value-or-end";
  }

  #openString(): boolean {
    const isKey = this.#expects === "key" || this.#expects === "key-or-end";
    if (!isKey && !this.#expectsValue) return false;
    this.#string = new StringReader();
    // What is expected behind it; a value's end is set when it is there.
    if (isKey) this.#expects = "colon";
    return true;
  }

  #openBracket(isArray: boolean): boolean {
    if ((!this.#expectsValue && this.#expects !== "start") || this.#open.length >= MAX_DEPTH) return false;
    this.#open.push(isArray);
    this.#expects = isArray ? "value-or-end" : "key-or-end";
    return true;
  }

  #closeBracket(isArray: boolean): boolean {
    const mayEnd = isArray ? this.#expects === "value-or-end" : this.#expects === "key-or-end";
    if (!mayEnd && this.#expects !== "comma-or-end" && this.#expects !== "scalar") return false;
    if (this.#open.pop() !== isArray) return false;
    this.#expects = this.#open.length === 0 ? "end" : "comma-or-end";
    return true;
  }
}
