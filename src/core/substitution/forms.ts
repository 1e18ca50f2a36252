// The forms in which an echo may show a value, and what is written in the place of each.
//
// A form is a run of bytes and its spelling. The placeholder is [a-z0-9_] only, so in JSON, HTML, XML, forms and URLs it
// is written as it is; in hex and base64 it is written in that same spelling.

import type { SecretValue } from "../secret-value.ts";
import { base64Forms } from "./base64-forms.ts";
import { escapedForms } from "./escaped-forms.ts";

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
const asText: Spelling = { write: (bytes) => bytes.toString("latin1"), lengthModulus: 0 };
const lowerHex: Spelling = { write: (bytes) => bytes.toString("hex"), lengthModulus: 0 };
const upperHex: Spelling = { write: (bytes) => bytes.toString("hex").toUpperCase(), lengthModulus: 0 };

/** A shorter value has no hex and no base64 forms: a few such characters stand anywhere by chance. */
const minSpelledBytes = 8;

/** All forms of a value, each run of bytes once. */
export function formsOf(value: SecretValue): readonly Form[] {
  const bytes = value.reveal();
  // Text comes first: where two spellings give the same bytes, the simpler one counts.
  const forms = new Map<string, Form>();
  const add = (form: Form) => {
    if (!forms.has(form.bytes)) forms.set(form.bytes, form);
  };
  const spelledLength = bytes.length;
  add({ bytes: bytes.toString("latin1"), spelling: asText, spelledLength });
  for (const escaped of escapedForms(bytes)) add({ bytes: escaped, spelling: asText, spelledLength });
  if (bytes.length >= minSpelledBytes) {
    for (const spelling of [lowerHex, upperHex]) add({ bytes: spelling.write(bytes), spelling, spelledLength });
    for (const form of base64Forms(bytes)) add(form);
    const latin1 = latin1Of(bytes);
    if (latin1 !== undefined) for (const form of base64Forms(latin1)) add(form);
  }
  return [...forms.values()];
}

/** The value as Latin-1 text, where it is UTF-8 text that fits: fields may carry it so. */
function latin1Of(value: Buffer): Buffer | undefined {
  const text = value.toString("utf8");
  if (!/[\x80-\xff]/.test(text) || !/^[\0-\xff]*$/.test(text)) return undefined;
  return Buffer.from(text, "utf8").equals(value) ? Buffer.from(text, "latin1") : undefined;
}

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
