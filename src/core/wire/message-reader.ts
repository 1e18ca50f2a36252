// Cuts a byte stream into HTTP/1.1 messages: collects a head, parses it, takes the framing off its body. No I/O: bytes
// are pushed in, the handler is told what they mean. One reader serves one direction of one connection; a message must
// be released (`next`) before the following one is read, so a pipelined request waits for its turn.
// The handler may call `next` and `takeRest` from within its methods; both then go by what was read up to that event.

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
const NOTHING = Buffer.alloc(0);
const NO_TRAILERS: readonly Field[] = [];

abstract class MessageReader<H extends RequestHead | ResponseHead> {
  readonly #handler: MessageHandler<H>;
  readonly #limits: MessageLimits;
  readonly #onData: (content: Buffer) => void;
  #state: "head" | "body" | "held" | "dead" = "head";
  /** Not yet read: `#input` from `#pos` on, an incomplete head or what lies beyond the current message. */
  #input: Buffer = NOTHING;
  #pos = 0;
  /** The memory of which `#input` is the beginning, where it is the reader's own. */
  #room: Buffer | undefined;
  /** How many bytes behind `#pos` were searched for the head's end already. */
  #searched = 0;
  /** Bytes of empty lines before the head. */
  #skipped = 0;
  /** An interim head was read and the final one was not. */
  #answering = false;
  #body: BodyReader | undefined;
  #reading = false;

  constructor(handler: MessageHandler<H>, limits: MessageLimits) {
    this.#handler = handler;
    this.#limits = limits;
    this.#onData = (content) => handler.onData(content);
  }

  protected abstract parse(bytes: Buffer, maxFields: number): Parsed<H>;
  protected abstract frame(head: H): ReturnType<typeof requestFraming>;
  /** Whether more heads follow this one within the same message (1xx). */
  protected abstract isInterim(head: H): boolean;
  /** RFC 9112 section 2.2: whether empty lines before a start line are passed over. */
  protected abstract skipsEmptyLines(): boolean;

  /** Nothing was read since the last message ended, not even an empty line: those must not keep a connection waiting. */
  get idle(): boolean {
    return this.#skipped === 0 && this.#isBetween();
  }

  /** A complete message waits for `next`. */
  get held(): boolean {
    return this.#state === "held";
  }

  /** Bytes have arrived that were not read yet: of an incomplete head, or beyond the current message. */
  get keepsBytes(): boolean {
    return this.#pos < this.#input.length;
  }

  /** Bytes beyond what was read; taken out of the reader (after a protocol change). */
  takeRest(): Buffer | undefined {
    const rest = this.#pos === this.#input.length ? undefined : this.#input.subarray(this.#pos);
    this.#forget();
    return rest;
  }

  /** Reads on. While a message is held the source should pause: what is pushed then is kept. */
  push(bytes: Buffer): void {
    if (this.#state === "dead") return;
    this.#append(bytes);
    this.#read();
  }

  /** Releases the finished message; reads on in what was kept. */
  next(): void {
    if (this.#state !== "held") return;
    this.#state = "head";
    this.#searched = 0;
    this.#skipped = 0;
    this.#read();
  }

  /** The stream ended. Answers whether that is in order: between messages, or as the end of a body that runs until then. */
  finish(): boolean {
    if (this.#state === "body" && this.#body?.finish()) {
      this.#end();
      return true;
    }
    return this.#isBetween() || this.#state === "held";
  }

  #isBetween(): boolean {
    return this.#state === "head" && this.#pos === this.#input.length && !this.#answering;
  }

  #append(bytes: Buffer): void {
    const kept = this.#input.length - this.#pos;
    if (kept === 0) {
      this.#input = bytes;
      this.#pos = 0;
      this.#room = undefined;
      return;
    }
    const end = this.#input.length + bytes.length;
    if (this.#room !== undefined && end <= this.#room.length) {
      // Behind everything that was ever handed out as a view.
      bytes.copy(this.#room, this.#input.length);
      this.#input = this.#room.subarray(0, end);
      return;
    }
    // Twice the room that is needed: a head that arrives a byte at a time is copied a few times, not each time.
    const room = Buffer.allocUnsafe((kept + bytes.length) * 2);
    this.#input.copy(room, 0, this.#pos);
    bytes.copy(room, kept);
    this.#room = room;
    this.#input = room.subarray(0, kept + bytes.length);
    this.#pos = 0;
  }

  #forget(): void {
    this.#input = NOTHING;
    this.#pos = 0;
    this.#room = undefined;
  }

  #read(): void {
    // A handler that calls `next` or `push` has this loop go on, not another one begin.
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#pos < this.#input.length) {
        if (this.#state === "body") this.#readBody();
        else if (this.#state !== "head" || !this.#readHead()) return;
      }
      this.#forget();
    } finally {
      this.#reading = false;
    }
  }

  /** False where more bytes are needed. */
  #readHead(): boolean {
    const input = this.#input;
    if (this.#searched === 0 && this.skipsEmptyLines()) {
      const from = this.#pos;
      while (input[this.#pos] === CR && input[this.#pos + 1] === LF) this.#pos += 2;
      this.#skipped += this.#pos - from;
    }
    const start = this.#pos;
    const end = input.indexOf(HEAD_END, start + this.#searched);
    const bound = this.#limits.maxHeadBytes - this.#skipped;
    // All but the last byte of the head's end may have arrived.
    if ((end < 0 ? input.length - HEAD_END.length + 1 : end) - start > bound) return this.#fault("too-large", "head");
    if (end < 0) {
      if (hasBareLf(input, start, start + this.#searched)) return this.#fault("malformed", "bare LF in the head");
      this.#searched = Math.max(0, input.length - start - HEAD_END.length + 1);
      return false;
    }
    this.#searched = 0;
    this.#skipped = 0;
    const parsed = this.parse(input.subarray(start, end + 2), this.#limits.maxFields);
    if (parsed.kind === "malformed") return this.#fault("malformed", parsed.detail);
    if (parsed.kind === "too-many-fields") return this.#fault("too-large", "fields");
    const framing = this.frame(parsed.head);
    if (framing.kind === "malformed") return this.#fault("malformed", framing.detail);
    this.#pos = end + HEAD_END.length;
    this.#answering = this.isInterim(parsed.head);
    if (this.#answering) {
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
    return true;
  }

  #readBody(): void {
    const body = this.#body;
    if (body === undefined) throw new Error("no body to read");
    const pos = body.read(this.#input, this.#pos, this.#onData);
    if (pos < 0) {
      this.#fault("malformed", body.fault);
      return;
    }
    this.#pos = pos;
    if (body.done) this.#end();
  }

  #end(): void {
    const trailers = this.#body?.trailers ?? NO_TRAILERS;
    this.#body = undefined;
    this.#state = "held";
    this.#handler.onEnd(trailers);
  }

  #fault(fault: "malformed" | "too-large", detail: string): false {
    this.#state = "dead";
    this.#forget();
    this.#handler.onFault(fault, detail);
    return false;
  }
}

/** Reads requests. */
export class RequestReader extends MessageReader<RequestHead> {
  protected override parse(bytes: Buffer, maxFields: number): Parsed<RequestHead> {
    return parseRequestHead(bytes, maxFields);
  }
  protected override frame(head: RequestHead): ReturnType<typeof requestFraming> {
    return requestFraming(head);
  }
  protected override isInterim(): boolean {
    return false;
  }
  protected override skipsEmptyLines(): boolean {
    return true;
  }
}

/** Reads responses. Set `method` to the request's before its answer is read: it decides whether there is a body. */
export class ResponseReader extends MessageReader<ResponseHead> {
  method = "GET";

  protected override parse(bytes: Buffer, maxFields: number): Parsed<ResponseHead> {
    return parseResponseHead(bytes, maxFields);
  }
  protected override frame(head: ResponseHead): ReturnType<typeof requestFraming> {
    return responseFraming(head, this.method);
  }
  /** 101 is final: the connection changes its protocol. */
  protected override isInterim(head: ResponseHead): boolean {
    return head.status < 200 && head.status !== 101;
  }
  /** Only servers are told to be that lenient; before an answer, stray bytes put the connection in doubt. */
  protected override skipsEmptyLines(): boolean {
    return false;
  }
}

/** Whether a line in `bytes`, searched from `from`, ends with LF alone: no head in the making, so nobody needs to wait. */
function hasBareLf(bytes: Buffer, start: number, from: number): boolean {
  for (let lf = bytes.indexOf(LF, from); lf >= 0; lf = bytes.indexOf(LF, lf + 1)) {
    if (lf === start || bytes[lf - 1] !== CR) return true;
  }
  return false;
}
