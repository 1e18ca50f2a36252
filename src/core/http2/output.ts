// What one side of an HTTP/2 connection sends: frames about the connection first, then the streams that have something to
// say in turns, as far as the other side's windows go (RFC 9113 section 5.2). Encoded when it is pulled, not before.

import type { HeaderList } from "../wire/http2-head.ts";
import { defaultWindowBytes, flag, frameHeadBytes, frameType, maxFrameBytes, maxWindowBytes } from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import type { Http2Stream } from "./stream.ts";

export interface OutputOwner {
  /** There is something to pull; said once until it was. */
  onOutput(): void;
  /** A request goes out for the first time and needs its number. */
  onOpening(stream: Http2Stream): void;
  /** A stream is given up behind what was sent of it. */
  onResetSent(stream: Http2Stream): void;
  /** A stream sent all that it had to, and does not go on. */
  onFinished(stream: Http2Stream): void;
}

/** Answers to PING and SETTINGS, window updates and resets that wait to be read by the other side. */
const maxControlBytes = 64 * 1024;
/** Output pulled at a time, plus what one stream adds. */
const pullBytes = 64 * 1024;

/** What is pulled is gathered here, and copied out. */
const out = new FrameWriter(2 * pullBytes);

export class Http2Output {
  readonly #owner: OutputOwner;
  readonly #encoder = new HpackEncoder();
  #control: Buffer[] = [];
  #controlBytes = 0;
  #ready: Http2Stream[] = [];
  /** Streams that wait for the connection's window. */
  #starved: Http2Stream[] = [];
  /** Streams that ended with what is being pulled. */
  #finished: Http2Stream[] = [];
  #window = defaultWindowBytes;
  #isSaid = false;

  constructor(owner: OutputOwner) {
    this.#owner = owner;
  }

  /** Bytes that go out before all else. */
  raw(bytes: Buffer): void {
    this.#control.push(bytes);
    this.#controlBytes += bytes.length;
    this.#say();
  }

  /** A frame of 32-bit words that waits for nothing. */
  control(type: number, flags: number, stream: number, words: readonly number[]): void {
    const frame = Buffer.allocUnsafe(frameHeadBytes + 4 * words.length);
    frame.writeUInt32BE((words.length << 10) | type);
    frame[4] = flags;
    frame.writeUInt32BE(stream, 5);
    for (let at = 0; at < words.length; at++) frame.writeUInt32BE(words[at]!, frameHeadBytes + 4 * at);
    this.raw(frame);
  }

  /** The other side does not read what it is sent, and has more sent all the same. */
  get isFlooded(): boolean {
    return this.#controlBytes > maxControlBytes;
  }

  /** The stream has something to send. */
  ready(stream: Http2Stream): void {
    if (stream.isReady || stream.isStarved) return;
    stream.isReady = true;
    this.#ready.push(stream);
    this.#say();
  }

  /** The other side's decoder holds so many bytes. */
  resizeTable(bytes: number): void {
    this.#encoder.resize(bytes);
  }

  /** Widens the connection's window. False: beyond what a window can be. */
  widen(bytes: number): boolean {
    this.#window += bytes;
    const starved = this.#starved;
    this.#starved = [];
    for (const stream of starved) {
      stream.isStarved = false;
      stream.flush();
    }
    return this.#window <= maxWindowBytes;
  }

  /** Streams have nothing to send any more. */
  stop(): void {
    this.#ready = [];
    this.#starved = [];
  }

  /** Gives `take` the next bytes to send. False: there are none. */
  pull(take: (bytes: Buffer) => void): boolean {
    this.#isSaid = false;
    out.length = 0;
    for (const frame of this.#control) {
      out.reserve(frame.length);
      out.bytes(frame);
    }
    this.#control = [];
    this.#controlBytes = 0;
    const drained: Http2Stream[] = [];
    const ready = this.#ready;
    let at = 0;
    while (at < ready.length && out.length < pullBytes) {
      const stream = ready[at++]!;
      stream.isReady = false;
      this.#emit(stream);
      if (stream.drainWanted && stream.takeDrain()) drained.push(stream);
    }
    if (at === ready.length) ready.length = 0;
    else ready.splice(0, at);
    if (out.length === 0) return false;
    take(out.take());
    // Nobody is called before the bytes are gone: others pull through the same memory, and may end the socket.
    this.#tellFinished();
    for (const stream of drained) stream.listener?.onDrain();
    return true;
  }

  #say(): void {
    if (this.#isSaid) return;
    this.#isSaid = true;
    this.#owner.onOutput();
  }

  /** Writes what the stream may send now, at most one frame of content; it comes again where there is more. */
  #emit(stream: Http2Stream): void {
    const { output } = stream;
    while (!stream.isClosed && !stream.endSent) {
      const next = output[0];
      if (next === undefined) {
        if (stream.ends) this.#emitEnd(stream);
        else if (stream.resetBehind !== undefined) this.#emitReset(stream, stream.resetBehind);
        return;
      }
      if (isHead(next)) {
        output.shift();
        this.#emitHead(stream, next);
        continue;
      }
      const bytes = Math.min(maxFrameBytes, next.length - stream.sentOfFirst, stream.sendWindow);
      if (bytes <= 0) return;
      if (this.#window <= 0) {
        stream.isStarved = true;
        this.#starved.push(stream);
        return;
      }
      this.#emitData(stream, next, Math.min(bytes, this.#window));
      if (!stream.endSent && (output.length > 0 || stream.ends)) this.ready(stream);
      return;
    }
  }

  #emitHead(stream: Http2Stream, list: HeaderList): void {
    if (stream.id === 0) this.#owner.onOpening(stream);
    const ends = stream.ends && stream.output.length === 0;
    const start = out.length;
    out.reserve(frameHeadBytes + HpackEncoder.bound(list));
    out.length += frameHeadBytes;
    this.#encoder.write(list, out);
    const size = out.length - start - frameHeadBytes;
    out.length = start;
    const endStream = ends ? flag.endStream : 0;
    if (size <= maxFrameBytes) {
      out.frame(size, frameType.headers, endStream | flag.endHeaders, stream.id);
      out.length += size;
    } else {
      // Moved apart for the heads of several frames.
      const block = Buffer.from(out.buffer.subarray(start + frameHeadBytes, start + frameHeadBytes + size));
      this.#emitPieces(stream, block, endStream);
    }
    if (ends) this.#onEndSent(stream);
  }

  #emitPieces(stream: Http2Stream, block: Buffer, endStream: number): void {
    for (let at = 0; at < block.length; at += maxFrameBytes) {
      const piece = block.subarray(at, at + maxFrameBytes);
      const isLast = at + maxFrameBytes >= block.length;
      const type = at === 0 ? frameType.headers : frameType.continuation;
      out.reserve(frameHeadBytes + piece.length);
      out.frame(piece.length, type, (at === 0 ? endStream : 0) | (isLast ? flag.endHeaders : 0), stream.id);
      out.bytes(piece);
    }
  }

  #emitData(stream: Http2Stream, content: Buffer, bytes: number): void {
    const from = stream.sentOfFirst;
    const isLast = from + bytes === content.length;
    if (isLast) {
      stream.output.shift();
      stream.sentOfFirst = 0;
    } else {
      stream.sentOfFirst += bytes;
    }
    stream.sendWindow -= bytes;
    this.#window -= bytes;
    stream.waitingBytes -= bytes;
    const ends = isLast && stream.ends && stream.output.length === 0;
    out.reserve(frameHeadBytes + bytes);
    out.frame(bytes, frameType.data, ends ? flag.endStream : 0, stream.id);
    out.bytes(from === 0 && isLast ? content : content.subarray(from, from + bytes));
    if (ends) this.#onEndSent(stream);
  }

  /** The end comes behind what is sent already. */
  #emitEnd(stream: Http2Stream): void {
    // A request that was never begun has nothing to end.
    if (stream.id === 0) return;
    out.reserve(frameHeadBytes);
    out.frame(0, frameType.data, flag.endStream, stream.id);
    this.#onEndSent(stream);
  }

  #onEndSent(stream: Http2Stream): void {
    stream.endSent = true;
    if (stream.endReceived) this.#finished.push(stream);
    else if (stream.resetBehind !== undefined) this.#emitReset(stream, stream.resetBehind);
  }

  #emitReset(stream: Http2Stream, code: number): void {
    stream.resetCode = code;
    stream.endSent = true;
    this.#owner.onResetSent(stream);
    out.reserve(frameHeadBytes + 4);
    out.frame(4, frameType.rstStream, 0, stream.id);
    out.uint32(code);
    this.#finished.push(stream);
  }

  #tellFinished(): void {
    const finished = this.#finished;
    if (finished.length === 0) return;
    this.#finished = [];
    for (const stream of finished) this.#owner.onFinished(stream);
  }
}

export function isHead(output: HeaderList | Buffer | undefined): output is HeaderList {
  return Array.isArray(output);
}
