// The text form of a location, as the Secret API takes and gives it: "header", "header:x-api-key", "query:key",
// "body:/json/pointer", "body:form-field", …

import type { Location, Surface } from "./grants.ts";

const surfaces: readonly Surface[] = ["header", "basic", "path", "query", "body", "base64"];
/** Surfaces that have named parts. */
const parted: readonly Surface[] = ["header", "query", "body"];

/** RFC 9110 token. */
const headerName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const MAX_PART_LENGTH = 256;

export type LocationResult =
  | { readonly kind: "location"; readonly location: Location }
  | { readonly kind: "invalid"; readonly detail: string };

function invalid(detail: string): LocationResult {
  return { kind: "invalid", detail };
}

/** Reads `surface` or `surface:part`. Header names come out in lower case; all else is kept exactly. */
export function parseLocation(text: string): LocationResult {
  const colon = text.indexOf(":");
  const word = colon === -1 ? text : text.slice(0, colon);
  const surface = surfaces.find((known) => known === word);
  if (surface === undefined)
    return invalid(`a location is one of ${surfaces.join(", ")}, or header:name, query:name, body:name`);
  if (colon === -1) return { kind: "location", location: { surface, part: undefined } };

  const part = text.slice(colon + 1);
  if (!parted.includes(surface)) return invalid(`"${surface}" has no named parts`);
  if (part === "") return invalid(`name a part after "${surface}:", or leave the colon out`);
  if (part.length > MAX_PART_LENGTH) return invalid(`a part's name has at most ${MAX_PART_LENGTH} characters`);
  if (surface === "header") {
    if (!headerName.test(part)) return invalid("the part after header: must be a header's name");
    return { kind: "location", location: { surface, part: part.toLowerCase() } };
  }
  if (/[\u0000-\u001f\u007f]/.test(part)) return invalid("a part's name has no control characters");
  return { kind: "location", location: { surface, part } };
}

export function formatLocation(location: Location): string {
  return location.part === undefined ? location.surface : `${location.surface}:${location.part}`;
}
