// The request target: path and query. A placeholder is found as it stands and with any of its characters
// percent-encoded; nothing else of the target changes.

import type { Draft } from "./draft.ts";
import type { HostView } from "./grant-index.ts";
import { findInText, mayHold } from "./text-search.ts";

/** The target read for matching: percent escapes of ASCII decoded, with the way back to the original's positions. */
interface Reading {
  readonly text: string;
  /** Position in the target of each character of `text`, and of its end; undefined: the same positions. */
  readonly positions: Uint32Array | undefined;
}

const ESCAPE = /%[0-9a-fA-F]{2}/y;
/** Of a printable ASCII character. */
const PRINTABLE_ESCAPE = /%[2-7][0-9a-fA-F]/;
/** Stands for what a placeholder cannot hold. */
const OTHER = "\uffff";

function read(target: string): Reading {
  if (!target.includes("%")) return { text: target, positions: undefined };
  const positions = new Uint32Array(target.length + 1);
  let text = "";
  for (let i = 0; i < target.length; ) {
    positions[text.length] = i;
    ESCAPE.lastIndex = i;
    if (target.charCodeAt(i) === 0x25 && ESCAPE.test(target)) {
      const code = Number.parseInt(target.slice(i + 1, i + 3), 16);
      text += code > 0x20 && code < 0x7f ? String.fromCharCode(code) : OTHER;
      i += 3;
    } else {
      text += target[i]!;
      i++;
    }
  }
  positions[text.length] = target.length;
  return { text, positions };
}

/** Whether the target may hold a placeholder. */
export function targetMayHold(target: string, view: HostView): boolean {
  if (mayHold(target, view)) return true;
  return target.includes("%") && PRINTABLE_ESCAPE.test(target) && mayHold(read(target).text, view);
}

/** The new target; the same string where nothing changed. */
export function substituteTarget(target: string, draft: Draft): string {
  const reading = read(target);
  const pathStart = startOfPath(target);
  const mark = target.indexOf("?", pathStart);
  const queryStart = mark < 0 ? target.length : mark + 1;
  let out = "";
  let done = 0;
  let at = 0;
  for (;;) {
    const sighting = findInText(reading.text, at, draft.view);
    if (sighting === undefined) break;
    at = sighting.end;
    const start = reading.positions?.[sighting.start] ?? sighting.start;
    const surface = start >= queryStart ? "query" : "path";
    const part = surface === "query" ? parameterAt(target, queryStart, start) : undefined;
    // What stands before the path is the authority, which is fixed.
    const closed = start < pathStart ? "surface-not-allowed" : undefined;
    const written = draft.write(sighting, { surface, part, closed }, (grant) => grant.text(surface));
    if (written === undefined) continue;
    out += target.slice(done, start) + written;
    done = reading.positions?.[sighting.end] ?? sighting.end;
  }
  return done === 0 ? target : out + target.slice(done);
}

/** Where the path begins: at once in origin-form, after the authority in absolute-form. */
function startOfPath(target: string): number {
  if (target.startsWith("/")) return 0;
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(target);
  if (scheme === null) return target.length;
  const rest = target.slice(scheme[0].length).search(/[/?]/);
  return rest < 0 ? target.length : scheme[0].length + rest;
}

/** Name of the query parameter whose value holds this position, decoded; undefined inside of a name. */
function parameterAt(target: string, queryStart: number, position: number): string | undefined {
  const start = Math.max(queryStart, target.lastIndexOf("&", position - 1) + 1);
  const equals = target.indexOf("=", start);
  if (equals < 0 || equals >= position) return undefined;
  return decodeFormText(target.slice(start, equals));
}

/** Form decoding of a name; undefined where it has no text. */
export function decodeFormText(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}
