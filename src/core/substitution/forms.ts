// The forms in which an echo may show a value, and what is written in the place of each.
//
// A form is a run of bytes and its spelling. The placeholder is [a-z0-9_] only, so in JSON, HTML, XML, forms and URLs it
// is written as it is; in hex and base64 it is written in that same spelling.

import type { SecretValue } from "../secret-value.ts";

/** How a form was made from the value's bytes, so that a placeholder can be written likewise. */
export interface Spelling {
  readonly name: string;
  write(bytes: Buffer): Buffer;
  /** What `write` takes must have a length that leaves this remainder with the value's length; 0: any length. */
  readonly lengthModulus: 0 | 3;
}

export interface Form {
  readonly bytes: Buffer;
  readonly spelling: Spelling;
}

const asIs: Spelling = { name: "text", write: (bytes) => bytes, lengthModulus: 0 };

const formsOfValue = new WeakMap<SecretValue, readonly Form[]>();

/** All forms of a value, each run of bytes once. Kept for as long as the value lives: views of many hosts share them. */
export function formsOf(value: SecretValue): readonly Form[] {
  let forms = formsOfValue.get(value);
  if (forms === undefined) {
    forms = [{ bytes: value.reveal(), spelling: asIs }];
    formsOfValue.set(value, forms);
  }
  return forms;
}

/** What replaces a form where lengths are free: the whole placeholder, in the form's spelling. */
export function exactStandIn(form: Form, valueLength: number, placeholder: Buffer): Buffer {
  const modulus = form.spelling.lengthModulus;
  if (modulus === 0) return form.spelling.write(placeholder);
  // Base64 goes on behind the form: what follows must stay at its place within a group of three bytes.
  const padding = (((valueLength - placeholder.length) % modulus) + modulus) % modulus;
  return form.spelling.write(cutOrPad(placeholder, placeholder.length + padding));
}

/** What replaces a form where its length must stay: in the form's spelling if that comes out equally long. */
export function inPlaceStandIn(form: Form, valueLength: number, placeholder: Buffer): Buffer {
  if (form.spelling !== asIs) {
    const spelled = form.spelling.write(cutOrPad(placeholder, valueLength));
    if (spelled.length === form.bytes.length) return spelled;
  }
  return cutOrPad(placeholder, form.bytes.length);
}

/** The placeholder cut, or padded with `*`, to a length. */
export function cutOrPad(placeholder: Buffer, length: number): Buffer {
  const text = Buffer.alloc(length, "*");
  placeholder.copy(text);
  return text;
}
