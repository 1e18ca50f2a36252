// Cuts a connection's bytes into frames (RFC 9113 section 4.1), however they were cut on the way.

import { clientPreface, frameHeadBytes, maxFrameBytes } from "./frame.ts";

export interface FrameHandler {
  /** A whole frame; its payload is `bytes[from, to)`, which nobody changes afterwards. */
  onFrame(type: number, flags: number, stream: number, bytes: Buffer, from: number, to: number): void;
  /** A frame that is larger than allowed. Nothing can be read any more. */
  onOversize(): void;
  /** What came first is not a client's preface. */
  onOtherProtocol(): void;
}

export class FrameReader {
  readonly #handler: FrameHandler;
  /** Bytes of the preface that are still to come. */
  #prefaceLeft: number;
  /** The beginning of a frame whose end is still to come; as long as the frame, once its head is known. */
  #partial: Buffer | undefined;
  #partialBytes = 0;
  #stopped = false;

  constructor(handler: FrameHandler, expectsPreface: boolean) {
    this.#handler = handler;
    this.#prefaceLeft = expectsPreface ? clientPreface.length : 0;
  }

  /** Nothing more is read. */
  stop(): void {
    this.#stopped = true;
    this.#partial = undefined;
  }

  push(bytes: Buffer): void {
    if (this.#stopped) return;
    let at = this.#prefaceLeft > 0 ? this.#preface(bytes) : 0;
    if (this.#partial !== undefined) at = this.#complete(this.#partial, bytes, at);
    while (!this.#stopped && bytes.length - at >= frameHeadBytes) {
      const size = sizeAt(bytes, at);
      if (size > maxFrameBytes) {
        this.#refuse();
        return;
      }
      const end = at + frameHeadBytes + size;
      if (end > bytes.length) break;
      this.#frame(bytes, at, end);
      at = end;
    }
    if (!this.#stopped && at < bytes.length) this.#hold(bytes, at);
  }

  #preface(bytes: Buffer): number {
    const from = clientPreface.length - this.#prefaceLeft;
    const taken = Math.min(this.#prefaceLeft, bytes.length);
    this.#prefaceLeft -= taken;
    if (clientPreface.compare(bytes, 0, taken, from, from + taken) !== 0) {
      this.stop();
      this.#handler.onOtherProtocol();
    }
    return taken;
  }

  /** Begins a frame with what there is of it. */
  #hold(bytes: Buffer, at: number): void {
    const isHeadKnown = bytes.length - at >= frameHeadBytes;
    const whole = frameHeadBytes + (isHeadKnown ? sizeAt(bytes, at) : 0);
    const partial = Buffer.allocUnsafe(whole);
    this.#partialBytes = bytes.copy(partial, 0, at);
    this.#partial = partial;
  }

  /** Fills up the frame that was begun; answers where the next one begins. */
  #complete(begun: Buffer, bytes: Buffer, from: number): number {
    let partial = begun;
    let at = from;
    if (this.#partialBytes < frameHeadBytes) {
      at += this.#fill(partial, bytes, at, frameHeadBytes);
      if (this.#partialBytes < frameHeadBytes) return at;
      const size = sizeAt(partial, 0);
      if (size > maxFrameBytes) {
        this.#refuse();
        return at;
      }
      const whole = Buffer.allocUnsafe(frameHeadBytes + size);
      partial.copy(whole, 0, 0, frameHeadBytes);
      partial = whole;
      this.#partial = whole;
    }
    at += this.#fill(partial, bytes, at, partial.length);
    if (this.#partialBytes < partial.length) return at;
    this.#partial = undefined;
    this.#frame(partial, 0, partial.length);
    return at;
  }

  #fill(partial: Buffer, bytes: Buffer, from: number, upTo: number): number {
    const end = Math.min(bytes.length, from + upTo - this.#partialBytes);
    const copied = bytes.copy(partial, this.#partialBytes, from, end);
    this.#partialBytes += copied;
    return copied;
  }

  #frame(bytes: Buffer, at: number, end: number): void {
    const stream = ((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
    this.#handler.onFrame(bytes[at + 3]!, bytes[at + 4]!, stream, bytes, at + frameHeadBytes, end);
  }

  #refuse(): void {
    this.stop();
    this.#handler.onOversize();
  }
}

function sizeAt(bytes: Buffer, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}
