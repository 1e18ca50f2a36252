// One stream of an HTTP/2 connection (RFC 9113 section 5): what it still has to send, what of its content waits to be
// heard, and how it ended. The connection moves it; who uses it calls only what stands above "for the connection".

import type { HeaderList } from "../wire/http2-head.ts";

/** Who hears a stream. Called while bytes are received, or after output was taken. */
export interface StreamListener {
  /** Head of an answer, interim ones too. "too-large": it was beyond the bounds. */
  onHead(list: HeaderList | "too-large", ends: boolean): void;
  /** Content. The bytes do not change afterwards. */
  onData(content: Buffer): void;
  /** Everything came, whole. Not called where the head said so. */
  onEnd(trailers: HeaderList): void;
  /** There is room again after `hasRoom` was false. */
  onDrain(): void;
  /** It is over. Nothing is heard afterwards. */
  onClose(stream: Http2Stream): void;
}

/** What moves streams. */
export interface StreamOwner {
  /** It has something to send. */
  onReady(stream: Http2Stream): void;
  /** So many bytes of its content were heard. */
  onHeard(stream: Http2Stream, bytes: number): void;
  /** So many bytes more, or less, are held because their listener is not ready for them. */
  onHeld(bytes: number): void;
  onReset(stream: Http2Stream, code: number): void;
}

/** "both": each side said its end. */
export type ClosedBy = "both" | "us" | "peer" | "connection";

/** Bytes that may wait to be sent before `hasRoom` says no. */
const roomBytes = 64 * 1024;
/** Content shorter than this is copied together while it is held: each piece of its own costs more than its bytes. */
const shortBytes = 1024;
const blockBytes = 8 * 1024;

export class Http2Stream {
  /** 0 for a request that did not go out yet. */
  id = 0;
  listener: StreamListener | undefined;
  closedBy: ClosedBy | undefined;
  /** Where one side gave up, why. */
  resetCode = 0;
  /** Its request was promised not to have been looked at (section 8.7). */
  unprocessed = false;

  readonly #owner: StreamOwner;
  #paused = false;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** The last one held, where more can be copied behind it: how much of its memory is used. */
  #blockUsed = 0;
  #heldEnd: HeaderList | undefined;

  // ---- for the connection

  /** Heads, trailers and content in their order. */
  readonly output: (HeaderList | Buffer)[] = [];
  /** Bytes of the first content that are sent. */
  sentOfFirst = 0;
  /** Bytes of content in `output`. */
  waitingBytes = 0;
  /** The end was said; it goes out with the last of `output`. */
  ends = false;
  endSent = false;
  /** Goes out behind the end. */
  resetBehind: number | undefined;
  sendWindow: number;
  receiveWindow: number;
  /** Bytes heard that the other side may not send again yet. */
  heardBytes = 0;
  endReceived = false;
  /** The head came, not just interim ones. */
  headReceived = false;
  /** The content's length as its head says; undefined: open. */
  expectedBytes: number | undefined;
  receivedBytes = 0;
  isReady = false;
  isStarved = false;
  drainWanted = false;

  constructor(owner: StreamOwner, sendWindow: number, receiveWindow: number) {
    this.#owner = owner;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  get isClosed(): boolean {
    return this.closedBy !== undefined;
  }

  /** A head, or trailers as the last thing before the end. */
  sendHead(list: HeaderList): void {
    if (this.isClosed || this.ends || this.resetBehind !== undefined) return;
    this.output.push(list);
  }

  /** The bytes must not change afterwards. */
  sendData(content: Buffer): void {
    if (this.isClosed || this.ends || this.resetBehind !== undefined || content.length === 0) return;
    this.output.push(content);
    this.waitingBytes += content.length;
  }

  sendEnd(): void {
    if (this.resetBehind === undefined) this.ends = true;
  }

  /** The end, behind these fields if there are any. */
  sendTrailers(list: HeaderList): void {
    if (list.length > 0) this.sendHead(list);
    this.sendEnd();
  }

  /** Has what was said sent. */
  flush(): void {
    if (!this.isClosed && !this.endSent && (this.output.length > 0 || this.ends)) this.#owner.onReady(this);
  }

  /** False: wait for `onDrain`. */
  get hasRoom(): boolean {
    if (this.waitingBytes <= roomBytes) return true;
    this.drainWanted = true;
    return false;
  }

  /** Gives the stream up; with NO_ERROR behind what is still to be sent, if that has an end. */
  reset(code: number): void {
    if (!this.isClosed) this.#owner.onReset(this, code);
    else if (this.#heldEnd !== undefined) {
      // It ended long ago, but for what nobody will hear now.
      this.#heldEnd = undefined;
      this.#leave();
    }
  }

  /** The length that the message has by its head: one that has another is broken (section 8.1.1). */
  expect(bytes: number): void {
    this.expectedBytes = bytes;
  }

  /** What comes is held, up to the window. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    while (this.#held.length > 0 && !this.#paused) {
      const content = this.#held.shift()!;
      this.#countHeld(-content.length);
      this.#hear(content);
    }
    if (this.#paused || this.#heldEnd === undefined) return;
    const trailers = this.#heldEnd;
    this.#heldEnd = undefined;
    this.listener?.onEnd(trailers);
    if (this.isClosed) this.#leave();
  }

  /** Of what waits to be sent only the heads in front of any content are. */
  keepHeads(): void {
    const content = this.output.findIndex((part) => !Array.isArray(part));
    if (content >= 0) this.output.length = content;
    this.waitingBytes = 0;
    this.ends = false;
  }

  deliver(content: Buffer): void {
    if (this.#paused) this.#hold(content);
    else this.#hear(content);
  }

  deliverEnd(trailers: HeaderList): void {
    if (this.#paused && this.#held.length > 0) this.#heldEnd = trailers;
    else this.listener?.onEnd(trailers);
  }

  /** What came whole is still heard, unless we gave it up. */
  close(by: ClosedBy): void {
    if (this.isClosed) return;
    this.closedBy = by;
    this.output.length = 0;
    this.waitingBytes = 0;
    if (this.#heldEnd === undefined || by === "us") this.#leave();
  }

  /** Whether there was so much to send that somebody waits, and it is time to go on. */
  takeDrain(): boolean {
    if (!this.drainWanted || this.waitingBytes > roomBytes / 2) return false;
    this.drainWanted = false;
    return true;
  }

  #leave(): void {
    const { listener } = this;
    this.listener = undefined;
    this.#held.length = 0;
    if (this.#heldBytes > 0) this.#countHeld(-this.#heldBytes);
    listener?.onClose(this);
  }

  #hear(content: Buffer): void {
    this.listener?.onData(content);
    this.#owner.onHeard(this, content.length);
  }

  #countHeld(bytes: number): void {
    this.#heldBytes += bytes;
    this.#owner.onHeld(bytes);
  }

  #hold(content: Buffer): void {
    const held = this.#held;
    this.#countHeld(content.length);
    if (content.length >= shortBytes) {
      this.#blockUsed = 0;
      held.push(content);
      return;
    }
    const last = held.at(-1);
    if (last !== undefined && this.#blockUsed > 0 && this.#blockUsed + content.length <= blockBytes) {
      // The block's memory goes on behind what is used of it.
      const block = Buffer.from(last.buffer, last.byteOffset, this.#blockUsed + content.length);
      block.set(content, this.#blockUsed);
      this.#blockUsed = block.length;
      held[held.length - 1] = block;
      return;
    }
    const block = Buffer.allocUnsafeSlow(blockBytes);
    block.set(content);
    this.#blockUsed = content.length;
    held.push(block.subarray(0, content.length));
  }
}
