// Searching for escapes that spell a character of the prefix. Text in other scripts is full of `\\u00e9` and `%C3`, so this
// looks at every third or fourth byte only and stops for none of those.

import { PREFIX } from "./placeholder.ts";
import { BACKSLASH, hexDigit, isEscaped, PERCENT, type Spelling } from "./spelling.ts";

const JSON_START = Buffer.from("\\u00", "latin1");
/** After this many bytes without an escape the native search is the faster one again. */
const LOOP_BYTES = 1024;
const LETTER_U = 0x75;
const ZERO = 0x30;

/** 1 for character codes of the prefix. */
const IN_PREFIX = new Uint8Array(256);
for (let i = 0; i < PREFIX.length; i++) IN_PREFIX[PREFIX.charCodeAt(i)] = 1;

/** How far the search may go on when this byte stands where `\\u00`'s last one would; 1: it may be the last one. */
const JSON_JUMPS = new Uint8Array(256).fill(4);
JSON_JUMPS[ZERO] = 1;
JSON_JUMPS[LETTER_U] = 2;
JSON_JUMPS[BACKSLASH] = 3;

/** The same for the last digit of `%64`. */
const PERCENT_JUMPS = new Uint8Array(256).fill(3);
PERCENT_JUMPS[PERCENT] = 2;
for (let code = 0; code < 128; code++) {
  if (IN_PREFIX[code] !== 1) continue;
  for (const digit of code.toString(16) + code.toString(16).toUpperCase()) PERCENT_JUMPS[digit.charCodeAt(0)] = 1;
}

/** The next escape of a character of the prefix that lies whole in the window, or the window's length. */
export function nextEscape(spelling: Spelling, window: Buffer, from: number): number {
  return spelling === "json" ? nextJsonEscape(window, from) : nextPercentEscape(window, from);
}

function nextJsonEscape(window: Buffer, from: number): number {
  const end = window.length - 5;
  let at = from;
  while (at < end) {
    at = window.indexOf(JSON_START, at);
    if (at < 0) break;
    const loopEnd = Math.min(end, at + LOOP_BYTES);
    while (at < loopEnd) {
      const jump = JSON_JUMPS[window[at + 3]!]!;
      if (jump === 1 && spellsPrefix(window, at)) return at;
      at += jump;
    }
  }
  return window.length;
}

function spellsPrefix(window: Buffer, at: number): boolean {
  return (
    window[at] === BACKSLASH &&
    window[at + 1] === LETTER_U &&
    window[at + 2] === ZERO &&
    codeInPrefix(window[at + 4]!, window[at + 5]!) &&
    !isEscaped(window, at)
  );
}

function nextPercentEscape(window: Buffer, from: number): number {
  const end = window.length - 2;
  for (let at = from; at < end; ) {
    const jump = PERCENT_JUMPS[window[at + 2]!]!;
    if (jump === 1 && window[at] === PERCENT && codeInPrefix(window[at + 1]!, window[at + 2]!)) return at;
    at += jump;
  }
  return window.length;
}

function codeInPrefix(highDigit: number, lowDigit: number): boolean {
  const high = hexDigit(highDigit);
  const low = hexDigit(lowDigit);
  return high >= 0 && low >= 0 && IN_PREFIX[(high << 4) | low] === 1;
}
