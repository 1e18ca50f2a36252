// Substitution in a request's head. The hot path: a head without a placeholder costs a few searches over its strings and
// one look at Authorization, and allocates nothing.

import type { Field, RequestHead } from "../message.ts";
import { basicMayHold, isBasic, substituteBasic, visitBasic } from "./basic-auth.ts";
import { closedField } from "./header-rules.ts";
import type { SubstitutionScope } from "./scope.ts";
import { substituteTarget, targetMayHold, visitTarget } from "./target.ts";
import { findInText, mayHold, replaceInText, type TextSighting } from "./text-search.ts";

/** Placeholders that nobody has looked up yet; nothing was recorded. Refresh, set the view or mark the keys, call again. */
export interface UnknownKeys {
  readonly kind: "unknown";
  readonly keys: readonly string[];
}

export type HeadSubstitution = { readonly kind: "done"; readonly head: RequestHead } | UnknownKeys;
export type TrailerSubstitution = { readonly kind: "done"; readonly fields: readonly Field[] } | UnknownKeys;

/** Bound on keys that are asked for at once; the rest turns up at the next call. */
const MAX_KEYS = 16;

/** The head with values written in; the same object where nothing changed. */
export function substituteHead(head: RequestHead, scope: SubstitutionScope): HeadSubstitution {
  const inTarget = targetMayHold(head.target, scope.view);
  const inFields = fieldsMayHold(head.fields, scope);
  if (!inTarget && !inFields) return { kind: "done", head };

  const keys = new Set<string>();
  if (inTarget) visitTarget(head.target, scope.view, collect(keys, scope));
  if (inFields) visitFields(head.fields, scope, collect(keys, scope));
  if (keys.size > 0) return { kind: "unknown", keys: [...keys] };

  const target = inTarget ? substituteTarget(head.target, scope) : head.target;
  const fields = inFields ? substituteFields(head.fields, scope) : head.fields;
  if (target === head.target && fields === head.fields) return { kind: "done", head };
  return { kind: "done", head: { method: head.method, target, minor: head.minor, fields } };
}

/** As `substituteHead`, for trailers: they obey the rules of header fields. */
export function substituteTrailers(fields: readonly Field[], scope: SubstitutionScope): TrailerSubstitution {
  if (!fieldsMayHold(fields, scope)) return { kind: "done", fields };
  const keys = new Set<string>();
  visitFields(fields, scope, collect(keys, scope));
  if (keys.size > 0) return { kind: "unknown", keys: [...keys] };
  return { kind: "done", fields: substituteFields(fields, scope) };
}

function fieldsMayHold(fields: readonly Field[], scope: SubstitutionScope): boolean {
  for (const field of fields) {
    if (mayHold(field.value, scope.view)) return true;
    if (field.key === "authorization" && isBasic(field.value) && basicMayHold(field.value, scope.view)) return true;
  }
  return false;
}

function collect(keys: Set<string>, scope: SubstitutionScope): (sighting: TextSighting) => void {
  return (sighting) => {
    if (scope.isOpen(sighting) && keys.size < MAX_KEYS) keys.add(sighting.key);
  };
}

function visitFields(
  fields: readonly Field[],
  scope: SubstitutionScope,
  visit: (sighting: TextSighting) => void,
): void {
  for (const { key, value } of fields) {
    let at = 0;
    for (let seen = findInText(value, 0, scope.view); seen !== undefined; seen = findInText(value, at, scope.view)) {
      visit(seen);
      at = seen.end;
    }
    if (key === "authorization" && isBasic(value)) visitBasic(value, scope.view, visit);
  }
}

function substituteFields(fields: readonly Field[], scope: SubstitutionScope): readonly Field[] {
  let changed: Field[] | undefined;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    let value = substituteValue(field, scope);
    if (field.key === "authorization" && value === field.value && isBasic(value)) value = substituteBasic(value, scope);
    if (value === field.value) continue;
    changed ??= [...fields];
    changed[i] = { name: field.name, key: field.key, value };
  }
  return changed ?? fields;
}

function substituteValue(field: Field, scope: SubstitutionScope): string {
  const { key, value } = field;
  return replaceInText(value, scope.view, (sighting) => {
    const verdict = scope.judge(sighting, { surface: "header", part: key, closed: closedField(key) });
    if (typeof verdict === "string") {
      scope.recordRefused(sighting, "header", verdict);
      return undefined;
    }
    const atStart = sighting.start === 0;
    const atEnd = sighting.end === value.length;
    // A secret that is a whole Cookie header may hold several cookies; a part of one may not end it.
    const text = verdict.text(key === "cookie" && !(atStart && atEnd) ? "cookie" : "header");
    // A blank at a field's edge is not part of its value (RFC 9110 section 5.5): the reader would get another value.
    if (text === undefined || (atStart && text.startsWith(" ")) || (atEnd && text.endsWith(" "))) {
      scope.recordRefused(sighting, "header", "unwritable-value");
      return undefined;
    }
    scope.recordSubstituted(verdict, "header");
    return text;
  });
}
