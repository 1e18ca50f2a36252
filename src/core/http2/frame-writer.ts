// Frames on their way out, one after the other in one piece of memory.

import { frameHeadBytes } from "./frame.ts";

/** Below this the characters are written one by one: that costs less than the call. */
const shortText = 16;

export class FrameWriter {
  /** Written up to `length`; who writes to it makes room first. */
  buffer: Buffer;
  length = 0;

  constructor(bytes: number) {
    this.buffer = Buffer.allocUnsafeSlow(bytes);
  }

  /** Has room for so many bytes more. */
  reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * (this.length + bytes));
    larger.set(this.buffer.subarray(0, this.length));
    this.buffer = larger;
  }

  /** Head of a frame with `size` bytes behind it. Room is there for both. */
  frame(size: number, type: number, flags: number, stream: number): void {
    const { buffer } = this;
    const at = this.length;
    buffer[at] = size >>> 16;
    buffer[at + 1] = size >>> 8;
    buffer[at + 2] = size;
    buffer[at + 3] = type;
    buffer[at + 4] = flags;
    buffer[at + 5] = stream >>> 24;
    buffer[at + 6] = stream >>> 16;
    buffer[at + 7] = stream >>> 8;
    buffer[at + 8] = stream;
    this.length = at + frameHeadBytes;
  }

  uint16(value: number): void {
    this.buffer[this.length++] = value >>> 8;
    this.buffer[this.length++] = value;
  }

  uint32(value: number): void {
    this.uint16(value >>> 16);
    this.uint16(value);
  }

  /** Latin-1. */
  latin1(text: string): void {
    if (text.length > shortText) {
      this.length += this.buffer.write(text, this.length, "latin1");
      return;
    }
    const { buffer } = this;
    for (let at = 0; at < text.length; at++) buffer[this.length++] = text.charCodeAt(at);
  }

  bytes(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** What was written, for good; the writer is empty again. */
  take(): Buffer {
    const taken = Buffer.allocUnsafe(this.length);
    taken.set(this.buffer.subarray(0, this.length));
    this.length = 0;
    return taken;
  }
}
