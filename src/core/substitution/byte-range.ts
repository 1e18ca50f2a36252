// Which part of a body a request asks for (RFC 9110 section 14), and what is asked for in its place.
//
// A value that a part's edge cuts cannot be told from text that only begins like it: masked, it would tell a guess from
// the value, byte by byte. So more is asked for on both sides, whole values are looked for in that, and what comes is cut
// back (part-answer.ts). A range that cannot be changed stays; its edges are masked.

import type { Field, RequestHead } from "../message.ts";
import { signsField } from "./digests.ts";

/** One range: from `first` through `last`, or to the end; or so many bytes before the end. */
export type ByteRange =
  | { readonly kind: "from"; readonly first: number; readonly last: number | undefined }
  | { readonly kind: "suffix"; readonly length: number };

export type RangeAsk =
  /** No bytes are asked for; or the range says what is to be written. */
  | { readonly kind: "none" }
  /** Cannot be served as a part: all is asked for, a 200 is legal. */
  | { readonly kind: "dropped" }
  /** A signature covers it. */
  | { readonly kind: "kept" }
  | { readonly kind: "widened"; readonly range: ByteRange };

const none: RangeAsk = { kind: "none" };
const dropped: RangeAsk = { kind: "dropped" };
const kept: RangeAsk = { kind: "kept" };

/** What asks for a part: Azure's Blob service has a field of its own, which wins over `Range`. */
export function isRangeKey(key: string): boolean {
  return key === "range" || key === "x-ms-range";
}

/** Here a range says what is to be written (Azure's Put Page). */
const writingMethods: ReadonlySet<string> = new Set(["PUT", "PATCH"]);

/** By the request as the client sent it. */
export function readRangeAsk(head: RequestHead): RangeAsk {
  const ranges = head.fields.filter(({ key }) => isRangeKey(key));
  if (ranges.length === 0 || writingMethods.has(head.method) || !ranges.some(asksForBytes)) return none;
  if (ranges.some(({ key }) => signsField(head, key))) return kept;
  // Only GET knows ranges (section 14.2). Which of several fields a server goes by cannot be told; and of several ranges
  // each would have to be cut back.
  if (ranges.length > 1 || head.method !== "GET") return dropped;
  const range = parseRange(ranges[0]!.value);
  return range === undefined ? dropped : { kind: "widened", range };
}

/** Other units (RFC 9110 section 14.1) are of the application: their parts are whole things. */
function asksForBytes({ key, value }: Field): boolean {
  return key !== "range" || /^\s*bytes\s*=/i.test(value);
}

/** Undefined where it is not one range, or asks for no byte. */
function parseRange(value: string): ByteRange | undefined {
  const [, first, last] = /^\s*bytes\s*=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(value) ?? [];
  if (first === undefined || last === undefined) return undefined;
  if (first === "") return Number(last) > 0 ? { kind: "suffix", length: Number(last) } : undefined;
  if (last !== "" && Number(last) < Number(first)) return undefined;
  return { kind: "from", first: Number(first), last: last === "" ? undefined : Number(last) };
}

/** The field's value with `margin` bytes more on both sides. */
export function widenRange(range: ByteRange, margin: number): string {
  if (range.kind === "suffix") return `bytes=-${range.length + margin}`;
  return `bytes=${Math.max(0, range.first - margin)}-${range.last === undefined ? "" : range.last + margin}`;
}
