// The forms in which an echo may show a value.

import type { SecretValue } from "../secret-value.ts";
import { base64Forms } from "./base64-forms.ts";
import { escapedForms } from "./escaped-forms.ts";
import { asText, type Form, type Spelling } from "./form.ts";

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
