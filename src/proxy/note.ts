// The `keyswap-note` header: tells the sandbox why placeholders went out unchanged, where the operator turned it on.

import { makeField, type ResponseHead } from "../core/message.ts";
import type { SubstitutionScope } from "../core/substitution/scope.ts";

const maxNotes = 16;

/** Structured like a list with parameters (RFC 9651); names of the caller's own secrets only. Undefined: nothing to say. */
export function noteOf(scope: SubstitutionScope): string | undefined {
  if (scope.notSubstituted.length === 0) return undefined;
  return scope.notSubstituted
    .slice(0, maxNotes)
    .map(({ secret, surface, reason }) => {
      let note = `not-substituted;reason=${reason}`;
      if (surface !== undefined) note += `;surface=${surface}`;
      if (secret !== undefined) note += `;secret="${secret}"`;
      return note;
    })
    .join(", ");
}

export function withNote(head: ResponseHead, note: string): ResponseHead {
  return { ...head, fields: [...head.fields, makeField("Keyswap-Note", note)] };
}
