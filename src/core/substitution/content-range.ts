// What part of a whole a body is (RFC 9110 section 14), and so where a value may be cut.

import { type Field, findField } from "../message.ts";

/** Where a body is only a part of another one, so that a value may be cut at its edges. */
export type CutEdges =
  | { readonly kind: "part"; readonly start: boolean; readonly end: boolean }
  /** multipart/byteranges: each part says for itself. */
  | { readonly kind: "byteranges" };

/** Of a 206. Other units than bytes are of the application: what they cut are whole things. */
export function isBytePart(fields: readonly Field[]): boolean {
  const range = findField(fields, "content-range");
  return range === undefined || /^\s*bytes\b/i.test(range.value);
}

export function edgesOf(fields: readonly Field[]): CutEdges {
  const type = findField(fields, "content-type")?.value;
  if (type !== undefined && /^\s*multipart\/byteranges\b/i.test(type)) return { kind: "byteranges" };
  const range = parseContentRange(findField(fields, "content-range")?.value);
  return { kind: "part", start: range?.cutsStart ?? true, end: range?.cutsEnd ?? true };
}

export interface ContentRange {
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
    length: Number(last) - Number(first) + 1,
    cutsStart: Number(first) > 0,
    // `*` is no number, so it is never equal.
    cutsEnd: Number(last) + 1 !== Number(whole),
  };
}
