// The grammar of placeholders: `dtn_secret_` and 25 or more of [a-z0-9]. The first 25 are unique and are the lookup key
// (129 bits); what follows only makes the placeholder as long as the value it was first made for. A caller's own
// placeholder is any other ASCII literal; its lookup key is the whole of it.

import { minBodyValueBytes } from "./scrub-bounds.ts";

export const PREFIX = "dtn_secret_";
/** Characters of the lookup key. */
export const KEY_LENGTH = 25;
/** Values up to this many bytes get a placeholder of their own length. */
export const MAX_MATCHED_LENGTH = 256;
/** A caller's own placeholder must not be shorter: a short literal would be found by accident. */
export const MIN_OWN_LENGTH = 20;

const OURS = /^dtn_secret_[a-z0-9]{25,}$/;
/** Printable ASCII without blanks, and without what any syntax would have to escape. */
const OWN = /^[!#$%'()*+,\-./0-9:;=?@A-Z[\]^_`a-z{|}~]+$/;

export type PlaceholderResult =
  | { readonly kind: "placeholder"; readonly key: string }
  /** A literal chosen by the caller. */
  | { readonly kind: "own"; readonly key: string }
  | { readonly kind: "invalid"; readonly detail: string };

export function parsePlaceholder(text: string): PlaceholderResult {
  if (text.startsWith(PREFIX)) {
    if (!OURS.test(text)) return { kind: "invalid", detail: `after ${PREFIX} come 25 or more of a-z and 0-9` };
    return { kind: "placeholder", key: text.slice(PREFIX.length, PREFIX.length + KEY_LENGTH) };
  }
  if (text.includes(PREFIX)) return { kind: "invalid", detail: `${PREFIX} may stand at the start only` };
  if (text.length < MIN_OWN_LENGTH) return { kind: "invalid", detail: `at least ${MIN_OWN_LENGTH} characters` };
  if (!OWN.test(text)) return { kind: "invalid", detail: 'printable ASCII without blanks, ", &, <, > and \\' };
  return { kind: "own", key: text };
}

/** How many random characters of [a-z0-9] the placeholder for a value of this many bytes takes. */
export function randomCharsFor(valueLength: number): number {
  if (valueLength > MAX_MATCHED_LENGTH) return KEY_LENGTH;
  return Math.max(KEY_LENGTH, valueLength - PREFIX.length);
}

/**
 * Makes a placeholder. `randomChars` gives that many unpredictable characters of [a-z0-9]; randomness is passed in
 * because the core has none.
 */
export function placeholderFor(randomChars: (count: number) => string, valueLength: number): string {
  const count = randomCharsFor(valueLength);
  const chars = randomChars(count);
  const placeholder = PREFIX + chars;
  if (chars.length !== count || !OURS.test(placeholder)) throw new TypeError(`need ${count} characters of a-z and 0-9`);
  return placeholder;
}

/** Whether this byte or UTF-16 code may stand in a key. */
export function isKeyCode(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39);
}

/**
 * A value that holds its placeholder could not be told apart from it on the wire; a placeholder that holds the value
 * gives it away. Short values stand in a random placeholder by chance, which tells nothing.
 */
export function isEntangled(value: Buffer, placeholder: string): boolean {
  const literal = Buffer.from(placeholder, "latin1");
  return value.includes(literal) || (value.length >= minBodyValueBytes && literal.includes(value));
}
