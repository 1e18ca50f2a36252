// What part of a whole a body is (RFC 9110 section 14), and so where a value may be cut.

import { type Field, findField } from "../message.ts";

/** What of a part's bytes goes on. */
export interface PartCut {
  /** Bytes that are left out before it. */
  readonly before: number;
  readonly length: number;
  /** Bytes that are left out behind it. */
  readonly after: number;
}

/** Where a body is only a part of another one, so that a value may be cut at its edges. */
export type CutEdges =
  | {
      readonly kind: "part";
      readonly start: boolean;
      readonly end: boolean;
      /** What of it goes on; an edge with enough of a margin cuts nothing. */
      readonly cut?: PartCut;
    }
  /** multipart/byteranges: each part says for itself. */
  | { readonly kind: "byteranges" };

/**
 * Whether a 206 is cut out of bytes. Other units are of the application, as is a 206 that says nothing of a range: what
 * they hold are whole things.
 */
export function isBytePart(fields: readonly Field[]): boolean {
  return isByteRanges(fields) || /^\s*bytes\b/i.test(findField(fields, "content-range")?.value ?? "");
}

export function edgesOf(fields: readonly Field[]): CutEdges {
  if (isByteRanges(fields)) return { kind: "byteranges" };
  const range = parseContentRange(findField(fields, "content-range")?.value);
  return { kind: "part", start: range?.cutsStart ?? true, end: range?.cutsEnd ?? true };
}

/**
 * Only without a Content-Range of its own (RFC 9110 section 14.6): a part of a file whose type was chosen to look like
 * many parts would else be taken apart where its author likes.
 */
function isByteRanges(fields: readonly Field[]): boolean {
  if (findField(fields, "content-range") !== undefined) return false;
  return /^\s*multipart\/byteranges\b/i.test(findField(fields, "content-type")?.value ?? "");
}

export interface ContentRange {
  readonly first: number;
  readonly last: number;
  /** Of the whole; undefined where it is not told. */
  readonly size: number | undefined;
  /** Bytes of the part: at least 1. */
  readonly length: number;
  /** Whether that edge is none of the whole's; also where the whole's length is not told. */
  readonly cutsStart: boolean;
  readonly cutsEnd: boolean;
}

/** `bytes 0-499/1234` or `bytes 0-499/*`; undefined where it is neither. */
export function parseContentRange(value: string | undefined): ContentRange | undefined {
  const [, first, last, whole] = /^\s*bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)\s*$/i.exec(value ?? "") ?? [];
  if (first === undefined || Number(last) < Number(first)) return undefined;
  return {
    first: Number(first),
    last: Number(last),
    size: whole === "*" ? undefined : Number(whole),
    length: Number(last) - Number(first) + 1,
    cutsStart: Number(first) > 0,
    // `*` is no number, so it is never equal.
    cutsEnd: Number(last) + 1 !== Number(whole),
  };
}
