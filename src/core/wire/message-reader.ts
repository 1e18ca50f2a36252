// Cuts a byte stream into HTTP/1.1 messages: collects a head, parses it, takes the framing off its body. No I/O: bytes
// are pushed in, the handler is told what they mean. One reader serves one direction of one connection; a message must
// be released (`next`) before the following one is read, so a pipelined request waits for its turn.

import type { Field, RequestHead, ResponseHead } from "../message.ts";
import { BodyReader } from "./body-reader.ts";
import { type BodyLength, requestFraming, responseFraming } from "./framing.ts";
import { type Parsed, parseRequestHead, parseResponseHead } from "./head.ts";

export interface MessageLimits {
  readonly maxHeadBytes: number;
  readonly maxFields: number;
}

export const defaultMessageLimits: MessageLimits = { maxHeadBytes: 64 * 1024, maxFields: 200 };

/** What a reader says. After `onFault` it is dead: the connection is in doubt and must be closed. */
export interface MessageHandler<H> {
  onHead(head: H, length: BodyLength): void;
  /** A stretch of the body, as a view into the pushed bytes. */
  onData(content: Buffer): void;
  onEnd(trailers: readonly Field[]): void;
  onFault(fault: "malformed" | "too-large", detail: string): void;
}

const CR = 0x0d;
const LF = 0x0a;
const HEAD_END = Buffer.from("\r\n\r\n", "latin1");

abstract class MessageReader<H extends RequestHead | ResponseHead> {
  readonly #handler: MessageHandler<H>;
  readonly #limits: MessageLimits;
  readonly #onData: (content: Buffer) => void;
  #state: "head" | "body" | "held" | "dead" = "head";
  /** Bytes that were pushed but belong to an incomplete head or to a later message. */
  #kept: Buffer | undefined;
  /** How much of `#kept` was searched for the head's end already. */
  #searched = 0;
  #body: BodyReader | undefined;

  constructor(handler: MessageHandler<H>, limits: MessageLimits) {
    this.#handler = handler;
    this.#limits = limits;
    this.#onData = (content) => handler.onData(content);
  }

  protected abstract parse(text: string, maxFields: number): Parsed<H>;
  protected abstract frame(head: H): ReturnType<typeof requestFraming>;
  /** Whether more heads follow this one within the same message (1xx). */
  protected abstract isInterim(head: H): boolean;

  /** No byte of a message was read since the last one ended. */
  get idle(): boolean {
    return this.#state === "head" && this.#kept === undefined;
  }

  /** A complete message waits for `next`. */
  get held(): boolean {
    return this.#state === "held";
  }

  /** Bytes beyond the current message; taken out of the reader (after a protocol change). */
  takeRest(): Buffer | undefined {
    const rest = this.#kept;
    this.#kept = undefined;
    return rest;
  }

  push(bytes: Buffer): void {
    let input = bytes;
    if (this.#state === "dead") return;
    if (this.#kept !== undefined) {
      input = Buffer.concat([this.#kept, bytes]);
      this.#kept = undefined;
    }
    this.#read(input);
  }

  /** Releases the finished message; reads on in what was kept. */
  next(): void {
    if (this.#state !== "held") return;
    this.#state = "head";
    const kept = this.#kept;
    this.#kept = undefined;
    this.#searched = 0;
    if (kept !== undefined) this.#read(kept);
  }

  /** The stream ended. Answers whether that is in order: between messages, or as the end of a body that runs until then. */
  finish(): boolean {
    if (this.#state === "body" && this.#body?.finish()) {
      this.#end();
      return true;
    }
    return this.idle || this.#state === "held";
  }

  #read(input: Buffer): void {
    let pos = 0;
    while (pos < input.length) {
      switch (this.#state) {
        case "head":
          pos = this.#readHead(input, pos);
          break;
        case "body":
          pos = this.#readBody(input, pos);
          break;
        case "held":
          this.#kept = pos === 0 ? input : input.subarray(pos);
          return;
        case "dead":
          return;
      }
    }
  }

  /** Answers where to go on; keeps what is incomplete. */
  #readHead(input: Buffer, from: number): number {
    let start = from;
    // RFC 9112 section 2.2: empty lines before a start line are passed over (and count towards the head's bound).
    while (input[start] === CR && input[start + 1] === LF) start += 2;
    const end = input.indexOf(HEAD_END, Math.max(start, from + this.#searched));
    if ((end < 0 ? input.length : end) - from > this.#limits.maxHeadBytes) {
      this.#fault("too-large", "head");
      return input.length;
    }
    if (end < 0) {
      this.#kept = from === 0 ? input : input.subarray(from);
      this.#searched = Math.max(0, input.length - from - HEAD_END.length);
      return input.length;
    }
    this.#searched = 0;
    const parsed = this.parse(input.toString("latin1", start, end + 2), this.#limits.maxFields);
    if (parsed.kind !== "head") {
      if (parsed.kind === "malformed") this.#fault("malformed", parsed.detail);
      else this.#fault("too-large", "fields");
      return input.length;
    }
    const framing = this.frame(parsed.head);
    if (framing.kind === "malformed") {
      this.#fault("malformed", framing.detail);
      return input.length;
    }
    if (this.isInterim(parsed.head)) {
      this.#handler.onHead(parsed.head, 0);
    } else if (framing.length === 0) {
      this.#state = "held";
      this.#handler.onHead(parsed.head, 0);
      this.#handler.onEnd(NO_TRAILERS);
    } else {
      this.#body = new BodyReader(framing.length, {
        maxLineBytes: this.#limits.maxHeadBytes,
        maxFields: this.#limits.maxFields,
      });
      this.#state = "body";
      this.#handler.onHead(parsed.head, framing.length);
    }
    return end + HEAD_END.length;
  }

  #readBody(input: Buffer, from: number): number {
    const body = this.#body;
    if (body === undefined) throw new Error("no body to read");
    const pos = body.read(input, from, this.#onData);
    if (pos < 0) {
      this.#fault("malformed", body.fault);
      return input.length;
    }
    if (body.done) this.#end();
    return pos;
  }

  #end(): void {
    const trailers = this.#body?.trailers ?? NO_TRAILERS;
    this.#body = undefined;
    this.#state = "held";
    this.#handler.onEnd(trailers);
  }

  #fault(fault: "malformed" | "too-large", detail: string): void {
    this.#state = "dead";
    this.#handler.onFault(fault, detail);
  }
}

const NO_TRAILERS: readonly Field[] = [];

/** Reads requests. */
export class RequestReader extends MessageReader<RequestHead> {
  protected override parse(text: string, maxFields: number): Parsed<RequestHead> {
    return parseRequestHead(text, maxFields);
  }
  protected override frame(head: RequestHead): ReturnType<typeof requestFraming> {
    return requestFraming(head);
  }
  protected override isInterim(): boolean {
    return false;
  }
}

/** Reads responses. Set `method` to the request's before its answer is read: it decides whether there is a body. */
export class ResponseReader extends MessageReader<ResponseHead> {
  method = "GET";

  protected override parse(text: string, maxFields: number): Parsed<ResponseHead> {
    return parseResponseHead(text, maxFields);
  }
  protected override frame(head: ResponseHead): ReturnType<typeof requestFraming> {
    return responseFraming(head, this.method);
  }
  /** 101 is final: the connection changes its protocol. */
  protected override isInterim(head: ResponseHead): boolean {
    return head.status < 200 && head.status !== 101;
  }
}
