// What base64 makes of a text that stands somewhere within other bytes.

/**
 * Base64 of the text at its three alignments, without the characters that depend on the neighbours. The core of
 * alignment 0 begins at the first character of a group of four, of 1 at the third, of 2 at the fourth.
 */
export function base64Cores(text: string): readonly [string, string, string] {
  return [coreAt(text, 0), coreAt(text, 1), coreAt(text, 2)];
}

function coreAt(text: string, shift: 0 | 1 | 2): string {
  const encoded = Buffer.concat([Buffer.alloc(shift), Buffer.from(text, "latin1")]).toString("base64");
  const lead = shift === 0 ? 0 : shift + 1;
  return encoded.slice(lead, Math.floor(((shift + text.length) * 8) / 6));
}
