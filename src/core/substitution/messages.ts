// A stream of messages, each rewritten for itself: gRPC ("Length-Prefixed-Message" of gRPC over HTTP/2), gRPC-Web and
// Connect put five bytes before each, flags and a length. A message goes out with its last byte, so that two sides that
// take turns never wait for each other because of us; and messages may be compressed one by one. A sender may
// compress in the coding of what it got, whatever it was told to accept, so asking for none is not enough.
//
// Whoever scrubs must not be led to cut a value in two by lengths that are made up: a flags byte is none that stands in
// a text, else the body is not what its type says. So the end of a message that may be the beginning of a value, of four
// bytes or more, waits for the next flags byte: no message ends so but by chance.

import type { BodyTransform, Emit } from "../message.ts";
import type { ContentCoding } from "./codings.ts";

/** Decodes and encodes one message at a time: given by the proxy, for core knows codings by name only. */
export interface MessageCodec {
  /** Undefined where the bytes are not what the coding says, or decode to more than `maxBytes`. */
  decode(coding: ContentCoding, bytes: Buffer, maxBytes: number): Buffer | undefined;
  encode(coding: ContentCoding, bytes: Buffer): Buffer;
}

/** Rewrites one message. The length must stay, for what is inside has lengths of its own. */
export interface MessageRewrite extends BodyTransform {
  /** Output differs from input; absent where nobody asks. */
  readonly changed?: boolean;
}

export interface MessageOptions {
  /** Of messages whose flags say that they are compressed; undefined: none was named. */
  readonly coding: ContentCoding | undefined;
  readonly codec: MessageCodec;
  makeRewrite(): MessageRewrite;
  /** What the rewrite holds at a message's end waits until the next message has begun: lengths may be made up. */
  readonly holdsCuts: boolean;
  /**
   * A compressed message cannot be read, or the body is no messages (then it goes on as one stream of bytes). True: it may
   * pass. False: the exchange has to be broken off, nothing more is emitted.
   */
  onUnreadable(what: "message" | "framing"): boolean;
}

/** Bound on one compressed message, and on what it decodes to: 16 MiB of payload and room around it. Others flow. */
export const maxMessageBytes = 16 * 1024 * 1024 + 64 * 1024;

/** Types whose messages have a prefix of five bytes. gRPC-Web's text form is base64 of them, which is not undone. */
export function isMessageType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^\s*application\/(?:grpc(?!-web-text)|connect\+)/i.test(contentType);
}

const prefixBytes = 5;
const compressedFlag = 0x01;
/** Connect's end of stream. */
const endFlag = 0x02;
/** gRPC-Web's trailers. */
const trailersFlag = 0x80;
const knownFlags = compressedFlag | endFlag | trailersFlag;

/** Shorter ends of a message, which could be the beginning of a value by chance, do not wait. */
const minHeldBytes = 4;

const nothing = Buffer.alloc(0);

type Mode =
  | "prefix"
  /** Bytes go through a rewrite as they come. */
  | "flowing"
  /** Compressed bytes are gathered. */
  | "gathering"
  /** Bytes pass unread. */
  | "unread";

export class MessageTransform implements BodyTransform {
  readonly #options: MessageOptions;
  readonly #prefix = Buffer.alloc(prefixBytes);
  #prefixLength = 0;
  #mode: Mode = "prefix";
  /** Of the present message. */
  #bytesLeft = 0;
  #rewrite: MessageRewrite | undefined;
  #gathered: Buffer[] = [];
  /** A message that was compressed, and what the rewrite made of it. */
  #decoded: Buffer = nothing;
  #rewritten: Buffer[] = [];
  readonly #collect: Emit = (bytes) => this.#rewritten.push(bytes);
  /** What a message ended with that may be cut out of a value. */
  #cut: Buffer = nothing;
  /** A step of the rewrite that waits for a key; what came behind it. */
  #waitsFor: "push" | "end" | undefined;
  #rest: Buffer = nothing;
  #isBroken = false;
  #changed = false;

  constructor(options: MessageOptions) {
    this.#options = options;
  }

  /** Also of a message that never ends: it may be cut off, or no message at all. */
  get changed(): boolean {
    return this.#changed || (this.#mode === "flowing" && this.#rewrite?.changed === true);
  }

  push(chunk: Buffer, emit: Emit): string | undefined {
    let input = chunk;
    if (this.#waitsFor !== undefined) {
      const key = this.#rewriteOn(nothing, emit);
      if (key !== undefined) return key;
      input = this.#rest;
      this.#rest = nothing;
    }
    let at = 0;
    while (at < input.length && !this.#isBroken) {
      const from = at;
      let key: string | undefined;
      if (this.#mode === "prefix") {
        at = Math.min(input.length, from + prefixBytes - this.#prefixLength);
        key = this.#readPrefix(input.subarray(from, at), emit);
      } else {
        at = Math.min(input.length, from + this.#bytesLeft);
        this.#bytesLeft -= at - from;
        key = this.#take(input.subarray(from, at), emit);
      }
      if (key === undefined) continue;
      // The caller may use the chunk's memory again.
      this.#rest = Buffer.from(input.subarray(at));
      return key;
    }
    return undefined;
  }

  end(emit: Emit): string | undefined {
    if (this.#isBroken) return undefined;
    // What is left was cut off: the receiver learns it from the same bytes, but for a compressed piece no one can read.
    if (this.#mode === "flowing") {
      const key = this.#rewrite?.end(emit);
      this.#waitsFor = key === undefined ? undefined : "end";
      return key;
    }
    this.#emitCut(emit);
    if (this.#mode !== "unread") emit(this.#prefix.subarray(0, this.#prefixLength));
    return undefined;
  }

  #readPrefix(bytes: Buffer, emit: Emit): string | undefined {
    this.#prefixLength += bytes.copy(this.#prefix, this.#prefixLength);
    const flags = this.#prefix.readUInt8(0);
    if ((flags & ~knownFlags) !== 0) {
      // Not messages at all: one stream of bytes.
      if (!this.#mayPass("framing")) return undefined;
      this.#bytesLeft = Number.POSITIVE_INFINITY;
      this.#begin("flowing");
      return this.#rewriteOn(Buffer.from(this.#prefix.subarray(0, this.#prefixLength)), emit);
    }
    this.#emitCut(emit);
    if (this.#prefixLength < prefixBytes) return undefined;
    this.#bytesLeft = this.#prefix.readUInt32BE(1);
    if ((flags & compressedFlag) !== 0 && this.#bytesLeft > 0) {
      const { coding } = this.#options;
      if (coding !== undefined && this.#bytesLeft <= maxMessageBytes) {
        this.#mode = "gathering";
        return undefined;
      }
      if (!this.#mayPass("message")) return undefined;
      this.#mode = "unread";
    } else if (this.#bytesLeft > 0) {
      this.#begin("flowing");
    }
    emit(Buffer.from(this.#prefix));
    // No bytes are an empty message in any coding.
    if (this.#bytesLeft === 0) this.#next();
    return undefined;
  }

  #take(bytes: Buffer, emit: Emit): string | undefined {
    if (this.#mode === "flowing") return this.#rewriteOn(bytes, emit);
    if (this.#mode === "unread") {
      emit(bytes);
      if (this.#bytesLeft === 0) this.#next();
      return undefined;
    }
    this.#gathered.push(Buffer.from(bytes));
    return this.#bytesLeft === 0 ? this.#decode(emit) : undefined;
  }

  #decode(emit: Emit): string | undefined {
    const { coding, codec } = this.#options;
    const coded = Buffer.concat(this.#gathered);
    this.#gathered = [coded];
    const message = coding === undefined ? undefined : codec.decode(coding, coded, maxMessageBytes);
    if (message !== undefined) {
      this.#decoded = message;
      this.#begin("gathering");
      return this.#rewriteOn(message, emit);
    }
    if (this.#mayPass("message")) {
      this.#emitMessage(coded, emit);
      this.#next();
    }
    return undefined;
  }

  /** One more piece of the message, which may have waited for a key; its end where nothing of it is left. */
  #rewriteOn(bytes: Buffer, emit: Emit): string | undefined {
    const rewrite = this.#rewrite!;
    const isCoded = this.#mode === "gathering";
    const sink = isCoded ? this.#collect : emit;
    if (this.#waitsFor !== "end") {
      const key = rewrite.push(bytes, sink);
      this.#waitsFor = key === undefined ? undefined : "push";
      if (key !== undefined || this.#bytesLeft > 0) return key;
    }
    const key = this.#endRewrite(rewrite, isCoded, sink);
    this.#waitsFor = key === undefined ? undefined : "end";
    if (key !== undefined) return key;
    if (isCoded) this.#encode(emit);
    else if (rewrite.changed === true) this.#changed = true;
    this.#next();
    return undefined;
  }

  #endRewrite(rewrite: MessageRewrite, isCoded: boolean, sink: Emit): string | undefined {
    if (isCoded || !this.#options.holdsCuts) return rewrite.end(sink);
    const held: Buffer[] = [];
    const key = rewrite.end((bytes) => held.push(Buffer.from(bytes)));
    this.#cut = held.length === 0 ? nothing : Buffer.concat(held);
    if (this.#cut.length < minHeldBytes) this.#emitCut(sink);
    return key;
  }

  #emitCut(emit: Emit): void {
    if (this.#cut.length > 0) emit(this.#cut);
    this.#cut = nothing;
  }

  /** What nothing was changed in goes out as it came. */
  #encode(emit: Emit): void {
    const { coding, codec } = this.#options;
    const rewritten = Buffer.concat(this.#rewritten);
    if (coding === undefined || rewritten.equals(this.#decoded)) {
      this.#emitMessage(this.#gathered[0] ?? nothing, emit);
      return;
    }
    this.#changed = true;
    this.#emitMessage(codec.encode(coding, rewritten), emit);
  }

  #emitMessage(bytes: Buffer, emit: Emit): void {
    const prefix = Buffer.from(this.#prefix);
    prefix.writeUInt32BE(bytes.length, 1);
    emit(prefix);
    emit(bytes);
  }

  #begin(mode: Mode): void {
    this.#mode = mode;
    this.#rewrite = this.#options.makeRewrite();
  }

  #next(): void {
    this.#mode = "prefix";
    this.#prefixLength = 0;
    this.#rewrite = undefined;
    this.#gathered = [];
    this.#decoded = nothing;
    this.#rewritten = [];
  }

  #mayPass(what: "message" | "framing"): boolean {
    if (this.#options.onUnreadable(what)) return true;
    this.#isBroken = true;
    return false;
  }
}
