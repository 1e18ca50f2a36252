// Finding placeholders in the strings of a head: one leftmost pass over each.

import { flatten } from "../flat-text.ts";
import type { HostView } from "./grant-index.ts";
import { isKeyCode, KEY_LENGTH, PREFIX } from "./placeholder.ts";
import type { Sighting } from "./scope.ts";

export interface TextSighting extends Sighting {
  readonly start: number;
  readonly end: number;
}

/** Whether the string may hold a placeholder; the hot path's only look at most strings. No allocation. */
export function mayHold(text: string, view: HostView): boolean {
  return text.includes(PREFIX) || (view.index.ownPattern?.test(text) ?? false);
}

/** The leftmost placeholder at or after `from`. */
export function findInText(text: string, from: number, view: HostView): TextSighting | undefined {
  const ours = findOurs(text, from, view);
  const pattern = view.index.ownPattern;
  if (pattern === undefined) return ours;
  const at = text.slice(from).search(pattern);
  if (at < 0 || (ours !== undefined && ours.start < from + at)) return ours;
  const start = from + at;
  // The longest comes first in this list. A literal of the caller's that starts like ours wins over an unknown key.
  const grant = view.index.own.find((own) => text.startsWith(own.grant.placeholder, start));
  if (grant === undefined || (ours?.start === start && ours.grant !== undefined)) return ours;
  const literal = grant.grant.placeholder;
  return { key: literal, grant, altered: false, start, end: start + literal.length };
}

function findOurs(text: string, from: number, view: HostView): TextSighting | undefined {
  for (let start = text.indexOf(PREFIX, from); start >= 0; start = text.indexOf(PREFIX, start + PREFIX.length)) {
    const keyStart = start + PREFIX.length;
    const keyEnd = keyStart + KEY_LENGTH;
    if (keyEnd > text.length) return undefined;
    if (!isKey(text, keyStart, keyEnd)) continue;
    const key = flatten(text.slice(keyStart, keyEnd));
    const grant = view.index.byKey(key);
    if (grant === undefined) return { key, grant, altered: false, start, end: keyEnd };
    const altered = !text.startsWith(grant.grant.placeholder, start);
    return { key, grant, altered, start, end: altered ? keyEnd : start + grant.literal.length };
  }
  return undefined;
}

function isKey(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (!isKeyCode(text.charCodeAt(i))) return false;
  return true;
}

/** What to write in place of a placeholder, or undefined to leave it. */
export type Replace = (sighting: TextSighting) => string | undefined;

/** Rewrites the placeholders of a string; the same string comes back where nothing was replaced. */
export function replaceInText(text: string, view: HostView, replace: Replace): string {
  let out = "";
  let done = 0;
  let at = 0;
  for (let sighting = findInText(text, 0, view); sighting !== undefined; sighting = findInText(text, at, view)) {
    at = sighting.end;
    const written = replace(sighting);
    if (written === undefined) continue;
    out += text.slice(done, sighting.start) + written;
    done = sighting.end;
  }
  return done === 0 ? text : out + text.slice(done);
}
