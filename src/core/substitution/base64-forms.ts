// A value inside base64 text. Where it starts within a group of three bytes decides what its text looks like, so there
// are three offsets; the characters at its edges hold bits of its neighbours too and are known only where those are.

import type { Form, Spelling } from "./form.ts";

/** Bytes of the group that stand before the value. */
type Offset = 0 | 1 | 2;

/**
 * The right edge. `cut`: the last character also depends on what follows, and is left out. `zero`: it is the text's end,
 * or the next byte's high bits happen to be 0. `padded`: it is the text's end, with its `=`.
 */
type Right = "cut" | "zero" | "padded";

interface Shape {
  readonly offset: Offset;
  /** The byte before is the colon of Basic's `user:value`, so the left edge is known. */
  readonly afterColon: boolean;
  readonly right: Right;
}

/** Lets the base64 text through another encoder on its way. */
type Rewrite = (text: string) => string;

const lefts: readonly Omit<Shape, "right">[] = [
  { offset: 0, afterColon: false },
  { offset: 1, afterColon: false },
  { offset: 2, afterColon: false },
  { offset: 1, afterColon: true },
  { offset: 2, afterColon: true },
];

const toUrlAlphabet: Rewrite = (text) => text.replaceAll("+", "-").replaceAll("/", "_");

const rewrites: readonly Rewrite[] = [
  toUrlAlphabet,
  (text) => text.replaceAll("/", "\\/"), // in JSON of PHP and lua-cjson
  (text) => text.replaceAll("+", "\\u002B"), // in JSON of .NET
  (text) => text.replaceAll("+", "%2B").replaceAll("/", "%2F"),
  (text) => text.replaceAll("+", "%2b").replaceAll("/", "%2f"),
];

/** The base64 and base64url forms of a value; the same bytes may come more than once. */
export function base64Forms(value: Buffer): Form[] {
  const forms: Form[] = [];
  for (const left of lefts) {
    const whole = wholeGroups(value, left);
    const isAligned = (left.offset + value.length) % 3 === 0;
    for (const right of isAligned ? (["cut"] as const) : (["cut", "zero", "padded"] as const)) {
      const shape = { ...left, right };
      const text = trim(whole, shape, value.length);
      forms.push({ bytes: text, spelling: spellingOf(shape, undefined), spelledLength: value.length });
      // What a rewrite leaves as it is, is there already.
      if (!/[+/]/.test(text)) continue;
      for (const rewrite of left.afterColon || right !== "cut" ? [toUrlAlphabet] : rewrites) {
        forms.push({ bytes: rewrite(text), spelling: spellingOf(shape, rewrite), spelledLength: value.length });
      }
    }
  }
  return forms;
}

/** Whole groups of the value and the bytes before it. */
function wholeGroups(value: Buffer, left: Omit<Shape, "right">): string {
  if (left.offset === 0) return value.toString("base64");
  const before = Buffer.alloc(left.offset, left.afterColon ? ":" : 0);
  return Buffer.concat([before, value]).toString("base64");
}

/** Takes away the characters that depend on more than the value. */
function trim(whole: string, shape: Shape, length: number): string {
  // One byte before fills the first character and a part of the second; two fill two and a part of the third.
  const start = shape.offset === 0 ? 0 : shape.offset + (shape.afterColon ? 0 : 1);
  const over = (shape.offset + length) % 3;
  if (over === 0 || shape.right === "padded") return whole.slice(start);
  const padding = 3 - over;
  return whole.slice(start, whole.length - padding - (shape.right === "cut" ? 1 : 0));
}

const spellings = new Map<string, Spelling>();

/** One object per shape and rewrite, however many values there are. */
function spellingOf(shape: Shape, rewrite: Rewrite | undefined): Spelling {
  const key = `${shape.offset}${shape.afterColon}${shape.right}${rewrite === undefined ? "" : rewrites.indexOf(rewrite)}`;
  let spelling = spellings.get(key);
  if (spelling === undefined) {
    spelling = {
      lengthModulus: shape.right === "padded" ? 0 : 3,
      write(bytes) {
        const text = trim(wholeGroups(bytes, shape), shape, bytes.length);
        return rewrite === undefined ? text : rewrite(text);
      },
    };
    spellings.set(key, spelling);
  }
  return spelling;
}
