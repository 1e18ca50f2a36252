// `Authorization: Basic`: decoded, substituted, encoded again. Only what decodes canonically to UTF-8 is touched, so that
// encoding again gives back every byte that was not a placeholder.

import { base64Cores } from "./base64-cores.ts";
import type { Draft } from "./draft.ts";
import { decodeUtf8 } from "./encodings.ts";
import type { HostView } from "./grant-index.ts";
import { PREFIX } from "./placeholder.ts";
import type { Place } from "./scope.ts";
import { mayHold, replaceInText } from "./text-search.ts";

/** Base64 of `dtn_secret_` at its three alignments, without the characters that depend on the neighbours. */
const CORES = base64Cores(PREFIX);

const BASIC: Place = { surface: "basic", part: undefined };

interface Credentials {
  /** Scheme and blanks as sent. */
  readonly lead: string;
  /** `user:password`, Latin-1 of the UTF-8 bytes. */
  readonly pair: string;
}

function decode(value: string, view: HostView): Credentials | undefined {
  const match = /^(basic +)([A-Za-z0-9+/]+={0,2})$/i.exec(value);
  const encoded = match?.[2];
  if (match === null || encoded === undefined) return undefined;
  if (!basicMayHold(encoded, view)) return undefined;
  const bytes = Buffer.from(encoded, "base64");
  if (bytes.toString("base64") !== encoded || decodeUtf8(bytes) === undefined) return undefined;
  const pair = bytes.toString("latin1");
  return mayHold(pair, view) ? { lead: match[1]!, pair } : undefined;
}

/** Cheap test for the hot path. */
export function isBasic(value: string): boolean {
  return value.length > 6 && value.charCodeAt(5) === 0x20 && (value.charCodeAt(0) | 0x20) === 0x62;
}

/** Cheap guess, never false where there is a placeholder. */
export function basicMayHold(value: string, view: HostView): boolean {
  return view.index.ownPattern !== undefined || CORES.some((core) => value.includes(core));
}

/** The field's new value; the same string where nothing changed. */
export function substituteBasic(value: string, draft: Draft): string {
  const credentials = decode(value, draft.view);
  if (credentials === undefined) return value;
  const { lead, pair } = credentials;
  const colon = pair.indexOf(":");
  const replaced = replaceInText(pair, draft.view, (sighting) =>
    draft.write(sighting, BASIC, (grant) => {
      const text = grant.text("basic");
      // A colon in the user's part would move the border between user and password. A placeholder that stands for the
      // whole pair has no such part.
      const inUser = colon < 0 ? sighting.start > 0 || sighting.end < pair.length : sighting.start < colon;
      return inUser && text?.includes(":") ? undefined : text;
    }),
  );
  return replaced === pair ? value : lead + Buffer.from(replaced, "latin1").toString("base64");
}
