// How a response's body is scrubbed, by its head.
//
//   no body                            none
//   a coding that cannot be read       refuse
//   a part of a body (206)             in-place, cut back to what was asked for; refused where it is coded
//   length up to the bound             buffered: what holds nothing goes out byte for byte, coded or not
//   longer, without a coding           in-place: the length stays
//   coded, or without a length         streamed
//   gRPC and Connect messages          in-place, message by message; streamed where they are compressed; only where
//                                      messages were sent, for what is stored may have any type
//   events and lines                   never buffered: each goes on as it comes
//
// Where lengths inside the body count (binary types, gRPC), a form is always overwritten by as many bytes.

import { type Field, findField, type RequestHead, type ResponseHead } from "../message.ts";
import { type ContentCoding, parseCodings, parseMessageCoding } from "./codings.ts";
import { type CutEdges, isBytePart } from "./content-range.ts";
import { isMessageType } from "./messages.ts";
import { type PartAnswer, readPartAnswer } from "./part-answer.ts";
import { natureOf } from "./response-nature.ts";
import type { ScrubMode } from "./scrub-body.ts";

export { narrowRequest } from "./narrow-request.ts";
export { narrowPartHead } from "./part-answer.ts";

/** A body that has to be read. */
export interface BodyScrub {
  /**
   * `buffered`: collect it, then send it with its new length, or as it came if nothing was found. `in-place`: its length
   * stays, pass it on as it comes. `streamed`: pass it on as it comes, flushed with each chunk, without a length.
   */
  readonly kind: "buffered" | "streamed" | "in-place";
  /** For Scrubber.body. */
  readonly mode: ScrubMode;
  /** In the order in which they were applied; to be undone and applied again. Empty for `in-place`. */
  readonly codings: readonly ContentCoding[];
  /** For Scrubber.body. */
  readonly edges: CutEdges | undefined;
  /** What of a part goes on; its head is `narrowPartHead`'s. */
  readonly part: PartAnswer | undefined;
  /**
   * `streamed` and coded: so many coded bytes may be held at first, and if the body ends by then with nothing found, go
   * out as they came. 0: someone waits for each event.
   */
  readonly holdBytes: number;
  /** The body is messages with prefixes, compressed so: each goes through a Scrubber.body of its own. */
  readonly messages: { readonly coding: ContentCoding | undefined } | undefined;
}

export type ScrubPlan =
  | { readonly kind: "none" }
  | BodyScrub
  | { readonly kind: "refuse"; readonly code: "coding-unreadable" | "upstream-malformed" };

export interface ScrubLimits {
  /** Bodies up to this many bytes may be held in memory. */
  readonly bufferBytes: number;
}

const none: ScrubPlan = { kind: "none" };
const malformed: ScrubPlan = { kind: "refuse", code: "upstream-malformed" };
const refuse: ScrubPlan = { kind: "refuse", code: "coding-unreadable" };

/** `request`: as the client sent it. `head`: as upstream sent it. `length`: of the content as it is sent. */
export function planResponseBody(
  request: RequestHead,
  head: ResponseHead,
  length: number | "chunked" | "close",
  limits: ScrubLimits,
): ScrubPlan {
  if (length === 0 || hasNoBody(request.method, head.status)) return none;
  const coding = parseCodings(head.fields);
  const messageCoding = parseMessageCoding(head.fields);
  if (coding.kind === "unreadable" || messageCoding.kind === "unreadable") return refuse;
  const { codings } = coding;
  const type = findField(head.fields, "content-type")?.value;
  if (isMessageType(type) && sendsMessages(request)) {
    if (messageCoding.coding !== undefined && codings.length > 0) return refuse;
    const messages = { coding: messageCoding.coding };
    // What is compressed anew changes its length.
    const changesLength = messageCoding.coding !== undefined || codings.length > 0;
    return changesLength ? { ...streamed, mode: "in-place", codings, messages } : { ...inPlace, codings, messages };
  }
  if (messageCoding.coding !== undefined) return refuse;
  if (head.status === 206 && isBytePart(head.fields)) {
    if (codings.length > 0) return refuse;
    const part = readPartAnswer(request, head, length);
    return part.kind === "malformed" ? malformed : { ...inPlace, codings, edges: part.edges, part };
  }
  const nature = natureOf(type);
  const { mode } = nature;
  if (typeof length === "number" && length <= limits.bufferBytes && !nature.isEvents) {
    return { ...buffered, mode, codings };
  }
  if (codings.length === 0 && (typeof length === "number" || mode === "in-place")) return { ...inPlace, codings };
  // What is known to be longer than the bound would not fit, however long it is held.
  const mayFit = codings.length > 0 && typeof length !== "number" && !nature.isEvents;
  return { ...streamed, mode, codings, holdBytes: mayFit ? limits.bufferBytes : 0 };
}

/** gRPC, gRPC-Web and Connect's streams are POSTs of messages, answered by messages. */
function sendsMessages({ method, fields }: RequestHead): boolean {
  return method === "POST" && isMessageType(findField(fields, "content-type")?.value);
}

const ordinary = { edges: undefined, part: undefined, holdBytes: 0, messages: undefined };
const buffered = { kind: "buffered", ...ordinary } as const;
const streamed = { kind: "streamed", ...ordinary } as const;
const inPlace = { kind: "in-place", mode: "in-place", ...ordinary } as const;

/** RFC 9112 section 6.3. */
function hasNoBody(method: string, status: number): boolean {
  return method === "HEAD" || status < 200 || status === 204 || status === 304;
}

/**
 * The fields of a body that goes out otherwise than it came: changed, or coded anew. Its length and its digests are
 * wrong; its ETag stays, for it names what upstream has.
 */
export function withoutBodyFields(fields: readonly Field[]): readonly Field[] {
  return fields.some(isBodyField) ? fields.filter((field) => !isBodyField(field)) : fields;
}

/** The same for trailers of a body that was changed. */
export function withoutDigests(fields: readonly Field[]): readonly Field[] {
  return fields.some(isDigest) ? fields.filter((field) => !isDigest(field)) : fields;
}

function isBodyField(field: Field): boolean {
  return field.key === "content-length" || isDigest(field);
}

/** RFC 9530, RFC 3230 and RFC 1864, and what object stores and their clients check. */
const digestKeys: ReadonlySet<string> = new Set([
  ...[
    "content-digest",
    "repr-digest",
    "digest",
    "content-md5",
    "x-goog-hash",
    "x-ms-content-crc64",
    "x-ms-content-md5",
  ],
  ...["x-checksum-md5", "x-checksum-sha1", "x-checksum-sha256", "x-checksum-sha512"],
]);

function isDigest({ key }: Field): boolean {
  return digestKeys.has(key) || key.startsWith("x-amz-checksum-");
}
