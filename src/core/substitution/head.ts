// Substitution in a request's head. The hot path: a head without a placeholder costs a few searches over its strings and
// one look at Authorization, and allocates nothing.

import type { Field, RequestHead } from "../message.ts";
import { basicMayHold, isBasic, substituteBasic } from "./basic-auth.ts";
import { Draft } from "./draft.ts";
import type { HostView } from "./grant-index.ts";
import { closedField } from "./header-rules.ts";
import type { Place, SubstitutionScope } from "./scope.ts";
import { substituteTarget, targetMayHold } from "./target.ts";
import { mayHold, replaceInText } from "./text-search.ts";

/** Placeholders that nobody has looked up yet; nothing was recorded. Refresh, set the view or mark the keys, call again. */
export interface UnknownKeys {
  readonly kind: "unknown";
  readonly keys: readonly string[];
}

export type HeadSubstitution = { readonly kind: "done"; readonly head: RequestHead } | UnknownKeys;
export type TrailerSubstitution = { readonly kind: "done"; readonly fields: readonly Field[] } | UnknownKeys;

/** The head with values written in; the same object where nothing changed. */
export function substituteHead(head: RequestHead, scope: SubstitutionScope): HeadSubstitution {
  const inTarget = targetMayHold(head.target, scope.view);
  const inFields = fieldsMayHold(head.fields, scope.view);
  if (!inTarget && !inFields) return { kind: "done", head };

  const draft = new Draft(scope);
  const target = inTarget ? substituteTarget(head.target, draft) : head.target;
  const fields = inFields ? substituteFields(head.fields, draft) : head.fields;
  const keys = draft.finish();
  if (keys.length > 0) return { kind: "unknown", keys };
  if (target === head.target && fields === head.fields) return { kind: "done", head };
  return { kind: "done", head: { method: head.method, target, minor: head.minor, fields } };
}

/** As `substituteHead`, for trailers: they obey the rules of header fields. */
export function substituteTrailers(trailers: readonly Field[], scope: SubstitutionScope): TrailerSubstitution {
  if (!fieldsMayHold(trailers, scope.view)) return { kind: "done", fields: trailers };
  const draft = new Draft(scope);
  const fields = substituteFields(trailers, draft);
  const keys = draft.finish();
  return keys.length > 0 ? { kind: "unknown", keys } : { kind: "done", fields };
}

function fieldsMayHold(fields: readonly Field[], view: HostView): boolean {
  for (const { key, value } of fields) {
    if (mayHold(value, view)) return true;
    if (key === "authorization" && isBasic(value) && basicMayHold(value, view)) return true;
  }
  return false;
}

function substituteFields(fields: readonly Field[], draft: Draft): readonly Field[] {
  let changed: Field[] | undefined;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    let value = substituteValue(field, draft);
    if (field.key === "authorization" && value === field.value && isBasic(value)) value = substituteBasic(value, draft);
    if (value === field.value) continue;
    changed ??= [...fields];
    changed[i] = { name: field.name, key: field.key, value };
  }
  return changed ?? fields;
}

function substituteValue({ key, value }: Field, draft: Draft): string {
  if (!mayHold(value, draft.view)) return value;
  const place: Place = { surface: "header", part: key, closed: closedField(key) };
  return replaceInText(value, draft.view, (sighting) => {
    const atStart = sighting.start === 0;
    const atEnd = sighting.end === value.length;
    return draft.write(sighting, place, (grant) => {
      // A secret that is a whole Cookie header may hold several cookies; a part of one may not end it.
      const text = grant.text(key === "cookie" && !(atStart && atEnd) ? "cookie" : "header");
      // A blank at a field's edge is no part of its value (RFC 9110 section 5.5): the reader would get another value.
      const edge = (atStart && text?.startsWith(" ")) || (atEnd && text?.endsWith(" "));
      return edge ? undefined : text;
    });
  });
}
