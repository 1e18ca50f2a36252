// How a body's syntax may spell the characters of a placeholder: as they are, as JSON's `\u0064`, as `%64` in a form.
// Readers go unit by unit: one unit is one character of the text that the body means.

export type Spelling = "plain" | "json" | "percent";

/** The longest spelling of one ASCII character, in bytes. */
export const LONGEST_UNIT: Readonly<Record<Spelling, number>> = { plain: 1, json: 6, percent: 3 };

/** The bytes end within this unit. */
export const INCOMPLETE = -1;

export const BACKSLASH = 0x5c;
export const PERCENT = 0x25;
const LETTER_U = 0x75;

/** The unit at `at`: its length in bytes in the upper bits, its character code (0x80 and above: no ASCII) in the low 8. */
export function readUnit(spelling: Spelling, bytes: Buffer, at: number): number {
  const byte = bytes[at]!;
  if (spelling === "json" && byte === BACKSLASH) return readJsonEscape(bytes, at);
  if (spelling === "percent" && byte === PERCENT) return readPercentEscape(bytes, at);
  return (1 << 8) | byte;
}

export function unitCode(unit: number): number {
  return unit & 0xff;
}

export function unitLength(unit: number): number {
  return unit >> 8;
}

/**
 * How encoders spell a caller's own literal, which may hold characters that some of them escape. Unlike ours it is not
 * found with arbitrary characters escaped.
 */
export function spellingsOf(literal: string, spelling: Spelling): readonly Buffer[] {
  const spellings = new Set([literal]);
  if (spelling === "json") {
    spellings.add(literal.replaceAll("/", "\\/"));
    // What encoders for embedding in HTML do.
    spellings.add(literal.replace(/['+=]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`));
  } else if (spelling === "percent") {
    const component = encodeURIComponent(literal);
    // `!'()*` and `~` are left alone by some and escaped by others.
    const strict = component.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
    for (const text of [component, strict, strict.replaceAll("~", "%7E")]) {
      spellings.add(text);
      spellings.add(text.replace(/%../g, (code) => code.toLowerCase()));
    }
  }
  return [...spellings].map((text) => Buffer.from(text, "latin1"));
}

function readJsonEscape(bytes: Buffer, at: number): number {
  const kind = bytes[at + 1];
  if (kind === undefined) return INCOMPLETE;
  // `\/` is the one short escape of a printable character that a placeholder may hold; the others are no characters here.
  if (kind !== LETTER_U) return (2 << 8) | (kind === 0x2f ? kind : 0xff);
  let code = 0;
  for (let i = at + 2; i < at + 6; i++) {
    const byte = bytes[i];
    if (byte === undefined) return INCOMPLETE;
    const digit = hexDigit(byte);
    if (digit < 0) return ((i - at) << 8) | 0xff;
    code = (code << 4) | digit;
  }
  return (6 << 8) | (code < 0x80 ? code : 0xff);
}

function readPercentEscape(bytes: Buffer, at: number): number {
  let code = 0;
  for (let i = at + 1; i < at + 3; i++) {
    const byte = bytes[i];
    if (byte === undefined) return INCOMPLETE;
    const digit = hexDigit(byte);
    // No escape: the percent sign stands for itself.
    if (digit < 0) return (1 << 8) | PERCENT;
    code = (code << 4) | digit;
  }
  return (3 << 8) | (code < 0x80 ? code : 0xff);
}

export function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Whether the byte at `at` is preceded by an odd run of backslashes, so that it is no beginning of an escape. */
export function isEscaped(bytes: Buffer, at: number): boolean {
  let start = at;
  while (start > 0 && bytes[start - 1] === BACKSLASH) start--;
  return ((at - start) & 1) === 1;
}

/** Whether the byte at `at` belongs to a unit that begins before it. The bytes must begin with a whole unit. */
export function isInsideUnit(spelling: Spelling, bytes: Buffer, at: number): boolean {
  if (spelling === "plain") return false;
  const lead = spelling === "json" ? BACKSLASH : PERCENT;
  for (let start = Math.max(0, at - LONGEST_UNIT[spelling] + 1); start < at; start++) {
    if (bytes[start] !== lead || (spelling === "json" && isEscaped(bytes, start))) continue;
    const unit = readUnit(spelling, bytes, start);
    if (unit === INCOMPLETE || start + unitLength(unit) > at) return true;
  }
  return false;
}
