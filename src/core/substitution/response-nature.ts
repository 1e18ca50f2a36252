// What kind of bytes a response's type promises.

import { flatten } from "../flat-text.ts";
import { syntaxOf } from "./body-syntax.ts";
import type { ScrubMode } from "./scrub-body.ts";

export interface BodyNature {
  /** Text without lengths or offsets inside may grow and shrink; without a type only its bytes can tell. */
  readonly mode: ScrubMode;
  /** One event, line or message after the other, each of which someone may be waiting for. */
  readonly isEvents: boolean;
}

const eventTypes =
  /^\s*(?:text\/event-stream|(?:application|text)\/(?:x-)?(?:ndjson|jsonl|jsonlines|json-seq|json-stream)|application\/(?:stream\+json|grpc|connect\+|x-git-|vnd\.amazon\.eventstream|vnd\.docker\.(?:raw|multiplexed)-stream)|multipart\/(?:x-mixed-replace|mixed))/i;

/** Servers use a handful of types; clients cannot make this grow. */
const maxRemembered = 256;
const remembered = new Map<string, BodyNature>();

/** By Content-Type value. */
export function natureOf(contentType: string | undefined): BodyNature {
  if (contentType === undefined) return untyped;
  // A value that was cut out of a head would keep all of it.
  const type = flatten(contentType);
  let nature = remembered.get(type);
  if (nature === undefined) {
    const isText = syntaxOf(type).kind === "text";
    nature = { mode: isText ? "exact" : "in-place", isEvents: eventTypes.test(type) };
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(type, nature);
  }
  return nature;
}

const untyped: BodyNature = { mode: "sniffed", isEvents: false };
