// How a request's body travels: untouched, rewritten in memory, rewritten in place, or rewritten as a stream.
//
// Content-Length stays whenever it can. A body that fits the buffer is rewritten there and gets its new length; a longer
// one keeps its length where every value that could go into it is as long as its placeholder; only else it is sent
// without one. Nothing is ever truncated.

import { findField, type RequestHead } from "../message.ts";
import type { NotSubstitutedReason } from "../reasons.ts";
import type { MessageKind } from "../wire/websocket.ts";
import { Base64Transform } from "./base64-body.ts";
import { type BodySyntax, messageSyntax, syntaxOf } from "./body-syntax.ts";
import { type BodyRules, type Locator, type Place, type RequestTransform, TextTransform } from "./body-text.ts";
import { type ContentCoding, parseCodings, parseMessageCoding } from "./codings.ts";
import { bodyCover, type DigestAlgorithm } from "./digests.ts";
import type { ValueContext } from "./encodings.ts";
import { FormLocator } from "./form-locator.ts";
import { GraphqlPlace } from "./graphql-place.ts";
import { JsonLocator } from "./json-locator.ts";
import { JsonNesting } from "./json-nesting.ts";
import { isMessageType, type MessageCodec, MessageTransform } from "./messages.ts";
import { MultipartTransform } from "./multipart.ts";
import type { SubstitutionScope } from "./scope.ts";
import { ByteSniffer } from "./sniffer.ts";
import { XmlPlace } from "./xml-place.ts";

export interface BodyLimits {
  /** Bodies up to this many bytes may be held in memory. */
  readonly bufferBytes: number;
  /** Reads compressed messages (gRPC, Connect); without it they pass unread. */
  readonly codec?: MessageCodec;
}

export type BodyPlan =
  | { readonly kind: "untouched" }
  | {
      /**
       * `in-place`: as long as what came in, byte for byte; Content-Length stays. `buffered`: run the transform over
       * the whole body before the head goes out, then set Content-Length. `streamed`: the length is not known before
       * the end.
       */
      readonly kind: "in-place" | "buffered" | "streamed";
      readonly transform: RequestTransform;
      /** Codings to undo before the transform and to apply after it, in the order they were applied by the client. */
      readonly codings: readonly ContentCoding[];
      /**
       * Hashes that `rewriteDigests` needs, of the content as it is sent, where the transform changed it. Only ever of
       * a buffered body.
       */
      readonly digests: readonly DigestAlgorithm[];
      /** Nothing may be written into it: what is found is recorded, and it goes out as it came. */
      readonly isFixed: boolean;
    };

const UNTOUCHED: BodyPlan = { kind: "untouched" };

/** Parts within parts within parts. */
const MAX_NESTING = 3;

/** Plans the body of a request. `head`: as the client sent it; `length`: of the content as it is sent. */
export function planRequestBody(
  head: RequestHead,
  length: number | "chunked",
  scope: SubstitutionScope,
  limits: BodyLimits,
): BodyPlan {
  if (length === 0) return UNTOUCHED;
  const type = findField(head.fields, "content-type")?.value;
  const syntax = syntaxOf(type);
  if (syntax.kind === "opaque") return UNTOUCHED;
  const coding = parseCodings(head.fields);
  if (coding.kind === "unreadable") {
    if (mayWrite(scope)) scope.recordUnread("body", "coding-unreadable");
    return UNTOUCHED;
  }
  const { codings } = coding;
  const messages = isMessageType(type) ? messageReading(head, scope, limits.codec) : undefined;
  const fits = length !== "chunked" && length <= limits.bufferBytes;
  const cover = bodyCover(head);
  if (cover.kind === "fixed" || (cover.kind === "digests" && !fits)) {
    const transform = makeTransform(syntax, scope, { closed: "body-signed", messages });
    if (codings.length === 0) return { ...plan("in-place", transform), isFixed: true };
    // What is found is still recorded where that takes no coding anew: what does not change goes out as it came.
    return fits ? { ...plan("buffered", transform, codings), isFixed: true } : UNTOUCHED;
  }
  if (fits) {
    const transform = makeTransform(syntax, scope, { messages });
    const digests = cover.kind === "digests" ? cover.algorithms : NO_DIGESTS;
    return { ...plan("buffered", transform, codings), digests };
  }
  if (codings.length > 0) {
    // Decoding and encoding a long body again costs far more than all else here: only where a value may go into it, or
    // where what is in it may have to be refused.
    if (!mayWrite(scope) && !scope.view.index.mayBlock) return UNTOUCHED;
    return plan("streamed", makeTransform(syntax, scope, { messages }), codings);
  }
  // A message that is compressed anew changes its length.
  if (length !== "chunked" && messages?.coding === undefined && lengthsAreEqual(syntax, scope)) {
    return plan("in-place", makeTransform(syntax, scope, { equalLength: true, messages }));
  }
  return plan("streamed", makeTransform(syntax, scope, { messages }));
}

/** The rewrite of a WebSocket message, by its beginning. Messages have no lengths but their frames', which are ours to write. */
export function transformMessage(kind: MessageKind, beginning: Buffer, scope: SubstitutionScope): RequestTransform {
  return makeTransform(messageSyntax(kind, beginning), scope, {});
}

const NO_DIGESTS: readonly DigestAlgorithm[] = [];

function plan(
  kind: "in-place" | "buffered" | "streamed",
  transform: RequestTransform,
  codings: readonly ContentCoding[] = [],
): Exclude<BodyPlan, { kind: "untouched" }> {
  return { kind, transform, codings, digests: NO_DIGESTS, isFixed: false };
}

/** Whether any value may go into a body for this host. */
function mayWrite(scope: SubstitutionScope): boolean {
  const { view } = scope;
  return view.writable("body").length > 0 || view.writable("base64").length > 0;
}

/** Whether every value that may go into this body is as long as its placeholder. */
function lengthsAreEqual(syntax: BodySyntax, scope: SubstitutionScope): boolean {
  if (syntax.kind === "binary") return true;
  const grants = [...scope.view.writable("body"), ...scope.view.writable("base64")];
  return grants.every((grant) => {
    const contexts = syntax.kind !== "text" ? PART_CONTEXTS : (CONTEXTS.get(syntax.context) ?? [syntax.context]);
    return contexts.every((context) => {
      const bytes = grant.bytes(context);
      return bytes === undefined || bytes.length === grant.literal.length;
    });
  });
}

/** The contexts that parts of a multipart body may have. */
const PART_CONTEXTS: readonly ValueContext[] = ["raw", "json", "json-in-json", "form", "xml", "xml-ascii", "cdata"];
/** The contexts that a body may have besides its own. */
const CONTEXTS: ReadonlyMap<ValueContext, readonly ValueContext[]> = new Map([
  ["json", ["json", "json-in-json", "block"]],
  ["xml", ["xml", "cdata"]],
  ["xml-ascii", ["xml-ascii", "cdata-ascii"]],
]);

/** How messages with prefixes are read. */
interface MessageReading {
  readonly coding: ContentCoding | undefined;
  readonly codec: MessageCodec;
}

function messageReading(head: RequestHead, scope: SubstitutionScope, codec: MessageCodec | undefined): MessageReading {
  const parsed = parseMessageCoding(head.fields);
  const isRead = codec !== undefined && parsed.kind === "coding" && mayWrite(scope);
  return { coding: isRead ? parsed.coding : undefined, codec: codec ?? NO_CODEC };
}

const NO_CODEC: MessageCodec = { decode: () => undefined, encode: (_coding, bytes) => bytes };

interface TransformOptions {
  readonly messages?: MessageReading | undefined;
  readonly equalLength?: boolean;
  readonly closed?: NotSubstitutedReason;
  /** Inside of a multipart body. */
  readonly field?: string | undefined;
  readonly boundaries?: readonly Buffer[];
}

function makeTransform(syntax: BodySyntax, scope: SubstitutionScope, options: TransformOptions): RequestTransform {
  if (syntax.kind === "multipart") return makeMultipart(syntax.boundary, scope, options);
  const { messages } = options;
  if (messages !== undefined) {
    return new MessageTransform({
      ...messages,
      makeRewrite: () => makeTransform(syntax, scope, { ...options, messages: undefined }),
      holdsCuts: false,
      onUnreadable: (what) => {
        if (what === "message" && mayWrite(scope)) scope.recordUnread("body", "coding-unreadable");
        return true;
      },
    });
  }
  const text = syntax.kind === "text" ? syntax : undefined;
  const rules: BodyRules = {
    spelling: text?.spelling ?? "plain",
    context: text?.context ?? "raw",
    equalLength: text === undefined || options.equalLength === true,
    closed: options.closed,
    locator: options.field === undefined ? makeLocator(text?.parts, scope) : new FieldLocator(options.field),
    sniffer: text?.sniff === true ? new ByteSniffer() : undefined,
    nesting: text?.parts === "json" && scope.view.needsJsonEscapes ? new JsonNesting() : undefined,
    place: text === undefined ? undefined : makePlace(text),
    boundaries: options.boundaries,
  };
  const transform = new TextTransform(rules, scope);
  if (scope.view.writable("base64").length === 0) return transform;
  return new Base64Transform(transform, { ...rules, sniffer: rules.sniffer && new ByteSniffer() }, scope);
}

function makeMultipart(boundary: string, scope: SubstitutionScope, options: TransformOptions): RequestTransform {
  const boundaries = [...(options.boundaries ?? []), Buffer.from(`--${boundary}`, "latin1")];
  return new MultipartTransform(boundary, (head) => {
    const syntax = syntaxOf(head.contentType);
    if (syntax.kind === "opaque") return undefined;
    const nestsTooDeep = syntax.kind === "multipart" && boundaries.length >= MAX_NESTING;
    return makeTransform(nestsTooDeep ? { kind: "binary" } : syntax, scope, {
      ...options,
      boundaries,
      equalLength: options.equalLength === true || head.hasLength,
      field: options.field ?? head.name,
    });
  });
}

/** Following a body's structure costs time: only where a grant is narrowed to a part of it. */
function makeLocator(parts: "json" | "form" | undefined, scope: SubstitutionScope): Locator | undefined {
  if (parts === undefined || !scope.view.writable("body").some((grant) => grant.isNarrow("body"))) return undefined;
  return parts === "json" ? new JsonLocator() : new FormLocator();
}

function makePlace({ sections, context }: Extract<BodySyntax, { kind: "text" }>): Place | undefined {
  if (sections === undefined) return undefined;
  return sections === "cdata" ? new XmlPlace(context === "xml-ascii") : new GraphqlPlace();
}

/** One field of a multipart body. */
class FieldLocator implements Locator {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  advance(): void {}

  part(): string {
    return this.#name;
  }
}
