// Scrubbing a stream of messages that are compressed one by one (gRPC, Connect). Each has five bytes before it: flags,
// and its length (gRPC over HTTP/2, "Length-Prefixed-Message"). Servers may answer in the coding of the request, whatever
// the request says it accepts, so asking for none is not enough.

import type { BodyTransform, Emit } from "../message.ts";
import type { ContentCoding } from "./codings.ts";

/** Decodes and encodes one message at a time: given by the proxy, for core knows codings by name only. */
export interface MessageCodec {
  /** Undefined where the bytes are not what the coding says, or decode to more than `maxBytes`. */
  decode(coding: ContentCoding, bytes: Buffer, maxBytes: number): Buffer | undefined;
  encode(coding: ContentCoding, bytes: Buffer): Buffer;
  /** A message cannot be read. The exchange has to be broken off; nothing more is emitted. */
  fault(): void;
}

export interface ScrubMessagesOptions {
  readonly coding: ContentCoding;
  readonly codec: MessageCodec;
  /** Bound on one message, compressed and not. */
  readonly maxBytes: number;
  /** For a message without compression. */
  makeScrub(): BodyTransform;
  /** For a whole message; the same buffer if nothing was found. The length stays. */
  scrubWhole(message: Buffer): Buffer;
}

const prefixBytes = 5;
const compressedFlag = 1;

export class ScrubMessages implements BodyTransform {
  readonly #options: ScrubMessagesOptions;
  readonly #prefix = Buffer.alloc(prefixBytes);
  #prefixLength = 0;
  #left = 0;
  /** The message that is being read: gathered if it is compressed, else passed on. */
  #gathered: Buffer[] | undefined;
  #passing: BodyTransform | undefined;
  #isFaulty = false;

  constructor(options: ScrubMessagesOptions) {
    this.#options = options;
  }

  push(chunk: Buffer, emit: Emit): undefined {
    let from = 0;
    while (from < chunk.length && !this.#isFaulty) {
      if (this.#gathered === undefined && this.#passing === undefined) {
        from = this.#readPrefix(chunk, from, emit);
      } else {
        const end = Math.min(chunk.length, from + this.#left);
        this.#take(chunk.subarray(from, end), emit);
        from = end;
      }
    }
  }

  end(emit: Emit): undefined {
    if (this.#isFaulty) return;
    // What is left was cut off: the receiver learns it from the same bytes, but for a compressed piece no one can read.
    this.#passing?.end(emit);
    if (this.#passing === undefined && this.#prefixLength > 0) emit(this.#prefix.subarray(0, this.#prefixLength));
  }

  #readPrefix(chunk: Buffer, from: number, emit: Emit): number {
    const end = Math.min(chunk.length, from + prefixBytes - this.#prefixLength);
    this.#prefixLength += chunk.copy(this.#prefix, this.#prefixLength, from, end);
    if (this.#prefixLength < prefixBytes) return end;
    this.#left = this.#prefix.readUInt32BE(1);
    const isCompressed = (this.#prefix.readUInt8(0) & compressedFlag) !== 0;
    if (isCompressed && this.#left > this.#options.maxBytes) return this.#fault(end);
    if (isCompressed) {
      this.#gathered = [];
    } else {
      emit(Buffer.from(this.#prefix));
      this.#passing = this.#options.makeScrub();
    }
    if (this.#left === 0) this.#finish(emit);
    return end;
  }

  #take(bytes: Buffer, emit: Emit): void {
    if (this.#gathered === undefined) this.#passing?.push(bytes, emit);
    else this.#gathered.push(Buffer.from(bytes));
    this.#left -= bytes.length;
    if (this.#left === 0) this.#finish(emit);
  }

  #finish(emit: Emit): void {
    this.#passing?.end(emit);
    if (this.#gathered !== undefined) this.#scrub(Buffer.concat(this.#gathered), emit);
    this.#passing = undefined;
    this.#gathered = undefined;
    this.#prefixLength = 0;
  }

  #scrub(coded: Buffer, emit: Emit): void {
    const { coding, codec, maxBytes } = this.#options;
    // No bytes are an empty message in any coding.
    const message = coded.length === 0 ? coded : codec.decode(coding, coded, maxBytes);
    if (message === undefined) {
      this.#fault(0);
      return;
    }
    const scrubbed = this.#options.scrubWhole(message);
    const out = scrubbed === message ? coded : codec.encode(coding, scrubbed);
    const prefix = Buffer.from(this.#prefix);
    prefix.writeUInt32BE(out.length, 1);
    emit(prefix);
    emit(out);
  }

  #fault(consumed: number): number {
    this.#isFaulty = true;
    this.#options.codec.fault();
    return consumed;
  }
}
