// One form of a value, a run of bytes and its spelling, and what is written in its place.
//
// The placeholder is [a-z0-9_] only, so in JSON, HTML, XML, forms and URLs it is written as it is; in hex and base64 it
// is written in that same spelling.

/** How a form was made from the value's bytes, so that a placeholder can be written likewise. */
export interface Spelling {
  /** From bytes to a byte string. */
  write(bytes: Buffer): string;
  /** What `write` takes must have a length that leaves this remainder with the spelled bytes' number; 0: any length. */
  readonly lengthModulus: 0 | 3;
}

/** `bytes` is a byte string: a Latin-1 string, one character a byte. */
export interface Form {
  readonly bytes: string;
  readonly spelling: Spelling;
  /** Bytes of what was spelled: the value, or the value as Latin-1. */
  readonly spelledLength: number;
}

/** Text and all its escapes: a placeholder needs none. */
export const asText: Spelling = { write: (bytes) => bytes.toString("latin1"), lengthModulus: 0 };

/** What replaces a form where lengths are free: the whole placeholder, in the form's spelling. */
export function exactStandIn(spelling: Spelling, spelledLength: number, placeholder: Buffer): Buffer {
  const modulus = spelling.lengthModulus;
  if (modulus === 0) return Buffer.from(spelling.write(placeholder), "latin1");
  // Base64 goes on behind the form: what follows must stay at its place within a group of three bytes.
  const padding = (((spelledLength - placeholder.length) % modulus) + modulus) % modulus;
  return Buffer.from(spelling.write(cutOrPad(placeholder, placeholder.length + padding)), "latin1");
}

/** What replaces a form where its length must stay: in the form's spelling if that comes out equally long. */
export function inPlaceStandIn(
  spelling: Spelling,
  spelledLength: number,
  placeholder: Buffer,
  formLength: number,
): Buffer {
  if (spelling !== asText) {
    const spelled = spelling.write(cutOrPad(placeholder, spelledLength));
    if (spelled.length === formLength) return Buffer.from(spelled, "latin1");
  }
  return cutOrPad(placeholder, formLength);
}

/** The placeholder cut, or padded with `*`, to a length. */
function cutOrPad(placeholder: Buffer, length: number): Buffer {
  const text = Buffer.alloc(length, "*");
  placeholder.copy(text);
  return text;
}
