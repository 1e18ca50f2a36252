// The answer to a range that was widened (byte-range.ts): what of it was asked for, and the head that goes with that.

import { type Field, findField, makeField, type RequestHead, type ResponseHead } from "../message.ts";
import { type ByteRange, readRangeAsk } from "./byte-range.ts";
import { type ContentRange, type CutEdges, edgesOf, type PartCut, parseContentRange } from "./content-range.ts";

export type PartAnswer =
  /** What came is what was asked for. */
  | { readonly kind: "whole"; readonly edges: CutEdges }
  | { readonly kind: "cut"; readonly edges: CutEdges; readonly cut: PartCut; readonly range: ContentRange }
  /** Only what was asked for in addition exists. `size`: of all that there is, where it is known. */
  | { readonly kind: "unsatisfiable"; readonly edges: CutEdges; readonly size: number | undefined }
  /** Another part came than was asked for, or not as much as it says. */
  | { readonly kind: "malformed" };

const malformed: PartAnswer = { kind: "malformed" };

/** `request`: as the client sent it. `head`: of a 206 that is a part in bytes. `length`: of its content. */
export function readPartAnswer(
  request: RequestHead,
  head: ResponseHead,
  length: number | "chunked" | "close",
): PartAnswer {
  const edges = edgesOf(head.fields);
  const ask = readRangeAsk(request);
  const came = parseContentRange(findField(head.fields, "content-range")?.value);
  if (ask.kind !== "widened" || edges.kind !== "part" || came === undefined) return { kind: "whole", edges };
  if (typeof length === "number" && length !== came.length) return malformed;

  const [askedFirst, askedLast] = boundsOf(ask.range, came);
  if (askedFirst > came.last) {
    const endsThere = came.size === undefined || askedFirst >= came.size;
    const cut = { before: came.length, length: 0, after: 0 };
    return endsThere ? { kind: "unsatisfiable", edges: { ...edges, cut }, size: came.size } : malformed;
  }
  const first = Math.max(askedFirst, came.first);
  const last = Math.min(askedLast, came.last);
  if (last < first) return malformed;
  const cut = { before: first - came.first, length: last - first + 1, after: came.last - last };
  return { kind: "cut", edges: { ...edges, cut }, cut, range: { ...came, first, last, length: cut.length } };
}

/** First and last byte. */
function boundsOf(range: ByteRange, came: ContentRange): readonly [number, number] {
  if (range.kind === "from") return [range.first, range.last ?? came.last];
  return [Math.max(0, (came.size ?? came.last + 1) - range.length), came.last];
}

/** The head of what goes on. */
export function narrowPartHead(head: ResponseHead, answer: PartAnswer): ResponseHead {
  switch (answer.kind) {
    case "whole":
    case "malformed":
      return head;
    case "cut": {
      if (answer.cut.before === 0 && answer.cut.after === 0) return head;
      const { first, last, size } = answer.range;
      const fields = head.fields.filter(({ key }) => !partDigestKeys.has(key));
      return { ...head, fields: withContentRange(fields, `bytes ${first}-${last}/${size ?? "*"}`) };
    }
    case "unsatisfiable": {
      const fields = head.fields.filter(({ key }) => !contentKeys.has(key) && !partDigestKeys.has(key));
      const range = answer.size === undefined ? undefined : `bytes */${answer.size}`;
      return { ...head, status: 416, reason: "Range Not Satisfiable", fields: withContentRange(fields, range) };
    }
    default:
      return answer satisfies never;
  }
}

function withContentRange(fields: readonly Field[], value: string | undefined): readonly Field[] {
  const others = fields.filter(({ key }) => key !== "content-range");
  return value === undefined ? others : [...others, makeField("Content-Range", value)];
}

/** Digests of the part that came; others are of the whole. */
const partDigestKeys: ReadonlySet<string> = new Set([
  ...["content-digest", "content-md5", "x-ms-content-md5", "x-ms-content-crc64"],
]);
/** What describes the part, of which nothing goes on. */
const contentKeys: ReadonlySet<string> = new Set(["content-type", "content-length", "content-disposition"]);
