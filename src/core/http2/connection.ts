// An HTTP/2 connection (RFC 9113), either side of it: bytes in, events out; what is to be sent is pulled. Knows no socket
// and no clock, and no HTTP beyond heads being lists of names and values.
//
//   receive → FrameReader → frames → (HpackDecoder) → Http2Stream → StreamListener
//   Http2Stream → ready → pull → (HpackEncoder) → FrameWriter → bytes
//
// What the other side may do is bounded: frames by 16 KiB, a head by its limits and its pieces, streams by their number,
// content by the windows, answers that it does not read by `maxControlBytes`. What costs work and carries nothing is told
// to the listener, which has a clock to count with.

import type { HeaderList } from "../wire/http2-head.ts";
import {
  clientPreface,
  defaultWindowBytes,
  errorCode,
  flag,
  frameType,
  maxFrameBytes,
  maxWindowBytes,
} from "./frame.ts";
import { FrameReader } from "./frame-reader.ts";
import { type HeadLimits, HpackDecoder } from "./hpack-decoder.ts";
import { Http2Output, isHead } from "./output.ts";
import { type OwnSettings, readSettings, writeSettings } from "./settings.ts";
import { type ClosedBy, Http2Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

export interface ConnectionOptions extends HeadLimits, OwnSettings {
  /** What this side is. */
  readonly role: "server" | "client";
  /** Bytes that the other side may send ahead on all streams; at least the 65,535 that everybody has. */
  readonly windowBytes: number;
  /** Content that may be held for slow streams, in all, before the connection waits for them. */
  readonly maxHeldBytes: number;
}

export interface ConnectionListener {
  /** There is something to pull; said once until it was. */
  onOutput(): void;
  /** A client's request; the stream has no listener yet. "too-large": its head was beyond the bounds. */
  onRequest(stream: Http2Stream, list: HeaderList | "too-large", ends: boolean): void;
  /** A frame that costs work and carries nothing: PING, SETTINGS, DATA without bytes. */
  onControlFrame(): void;
  /** The other side gave a stream up before it was complete, or had it given up by breaking its rules. */
  onStreamFault(by: "peer" | "us"): void;
  /** The other side takes so many streams at a time. */
  onMaxStreams(streams: number): void;
  /** The other side takes no new streams. */
  onGoaway(code: number): void;
  /** It cannot go on. A GOAWAY with this code is to be pulled; all streams are closed. */
  onFailed(code: number, detail: string): void;
}

/** Frames that a head may be cut into. */
const maxHeadFrames = 32;

interface HeadPieces {
  readonly stream: number;
  readonly flags: number;
  readonly pieces: Buffer[];
  bytes: number;
}

export class Http2Connection {
  readonly #options: ConnectionOptions;
  readonly #listener: ConnectionListener;
  readonly #isServer: boolean;
  readonly #reader: FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #output = new Http2Output(this);
  readonly #streams = new StreamTable();
  #goawaySent = false;
  #failed = false;
  #settingsCame = false;
  #head: HeadPieces | undefined;
  /** Content that the other side may not send again yet. */
  #receivedBytes = 0;
  #heldBytes = 0;
  #peerWindowBytes = defaultWindowBytes;

  constructor(options: ConnectionOptions, listener: ConnectionListener) {
    this.#options = options;
    this.#listener = listener;
    this.#isServer = options.role === "server";
    this.#reader = new FrameReader(this, this.#isServer);
    this.#decoder = new HpackDecoder(options);
    this.#greet();
  }

  /** Streams that are open. */
  get streams(): number {
    return this.#streams.size;
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** Bytes as they come from the other side. Views into them are kept; they must not change afterwards. */
  receive(bytes: Buffer): void {
    if (!this.#failed) this.#reader.push(bytes);
  }

  /** Gives `take` the next bytes to send. False: there are none. */
  pull(take: (bytes: Buffer) => void): boolean {
    return this.#output.pull(take);
  }

  /** A client's new request. It goes out with its first flush. */
  open(): Http2Stream {
    const stream = new Http2Stream(this, this.#peerWindowBytes, this.#options.streamWindowBytes);
    this.#streams.addUnopened(stream);
    return stream;
  }

  /** Tells the other side that no new streams are taken; those that are open go on. */
  goaway(code: number): void {
    if (this.#failed) return;
    this.#goawaySent = true;
    this.#output.control(frameType.goaway, 0, 0, [this.#isServer ? this.#streams.last : 0, code]);
  }

  /** Ends everything, with a GOAWAY to be pulled. */
  fail(code: number, detail: string): void {
    if (this.#failed) return;
    this.goaway(code);
    this.#end();
    this.#listener.onFailed(code, detail);
  }

  /** The connection is gone. */
  lost(): void {
    this.#end();
  }

  // ---- StreamOwner

  onReady(stream: Http2Stream): void {
    if (!this.#failed) this.#output.ready(stream);
  }

  onHeard(stream: Http2Stream, bytes: number): void {
    stream.heardBytes += bytes;
    if (stream.isClosed || stream.endReceived || stream.heardBytes < this.#options.streamWindowBytes / 2) return;
    stream.receiveWindow += stream.heardBytes;
    this.#control(frameType.windowUpdate, 0, stream.id, [stream.heardBytes]);
    stream.heardBytes = 0;
  }

  onHeld(bytes: number): void {
    this.#heldBytes += bytes;
    if (bytes < 0) this.#giveBack();
  }

  onReset(stream: Http2Stream, code: number): void {
    if (code === errorCode.noError && stream.ends && !stream.endSent && stream.id !== 0) {
      stream.resetBehind = code;
      return;
    }
    if (stream.isReady && stream.id !== 0 && isHead(stream.output[0])) {
      // A head that was said goes out first: who was answered should not take the reset for a refusal.
      stream.keepHeads();
      stream.resetBehind = code;
      return;
    }
    stream.resetCode = code;
    if (stream.id !== 0) this.#sendReset(stream.id, code);
    this.#close(stream, "us");
  }

  // ---- OutputOwner

  onOutput(): void {
    this.#listener.onOutput();
  }

  onOpening(stream: Http2Stream): void {
    this.#streams.number(stream);
  }

  onResetSent(stream: Http2Stream): void {
    this.#streams.forget(stream.id);
  }

  onFinished(stream: Http2Stream): void {
    this.#close(stream, stream.resetBehind === undefined ? "both" : "us");
  }

  // ---- FrameHandler

  onOversize(): void {
    this.fail(errorCode.frameSizeError, "a frame beyond the bound");
  }

  onOtherProtocol(): void {
    this.fail(errorCode.protocolError, "no HTTP/2");
  }

  onFrame(type: number, flags: number, stream: number, bytes: Buffer, from: number, to: number): void {
    if (this.#head !== undefined && type !== frameType.continuation) {
      this.fail(errorCode.protocolError, "a head that is interrupted");
      return;
    }
    if (!this.#settingsCame && type !== frameType.settings) {
      this.fail(errorCode.protocolError, "no SETTINGS at first");
      return;
    }
    switch (type) {
      case frameType.data:
        this.#onData(flags, stream, bytes, from, to);
        break;
      case frameType.headers:
        this.#onHeaders(flags, stream, bytes, from, to);
        break;
      case frameType.continuation:
        this.#onContinuation(flags, stream, bytes, from, to);
        break;
      case frameType.priority:
        // Nobody acts on it (section 5.3.2).
        if (stream === 0) this.fail(errorCode.protocolError, "PRIORITY");
        else if (to - from !== 5) this.fail(errorCode.frameSizeError, "PRIORITY");
        break;
      case frameType.rstStream:
        this.#onRstStream(stream, bytes, from, to);
        break;
      case frameType.settings:
        this.#onSettings(flags, stream, bytes, from, to);
        break;
      case frameType.pushPromise:
        this.fail(errorCode.protocolError, "PUSH_PROMISE");
        break;
      case frameType.ping:
        this.#onPing(flags, stream, bytes, from, to);
        break;
      case frameType.goaway:
        this.#onGoaway(stream, bytes, from, to);
        break;
      case frameType.windowUpdate:
        this.#onWindowUpdate(stream, bytes, from, to);
        break;
      default:
      // Frames of other types are for others (section 4.1).
    }
  }

  // ---- receiving

  #onHeaders(flags: number, stream: number, bytes: Buffer, from: number, to: number): void {
    let start = from;
    let end = to;
    if (flags & flag.padded) {
      end -= from === to ? 0 : bytes[start]!;
      start += 1;
    }
    if (flags & flag.priority) start += 5;
    if (stream === 0 || start > end) {
      this.fail(errorCode.protocolError, "HEADERS");
      return;
    }
    if (flags & flag.endHeaders) {
      this.#onHead(stream, flags, bytes, start, end);
      return;
    }
    this.#head = { stream, flags, pieces: [bytes.subarray(start, end)], bytes: end - start };
  }

  #onContinuation(flags: number, stream: number, bytes: Buffer, from: number, to: number): void {
    const head = this.#head;
    if (head === undefined || head.stream !== stream) {
      this.fail(errorCode.protocolError, "CONTINUATION");
      return;
    }
    head.pieces.push(bytes.subarray(from, to));
    head.bytes += to - from;
    // What is coded is shorter than what it says, but for a few bytes.
    if (head.pieces.length > maxHeadFrames || head.bytes > this.#options.maxHeadBytes + maxFrameBytes) {
      this.fail(errorCode.enhanceYourCalm, "a head beyond the bound");
      return;
    }
    if ((flags & flag.endHeaders) === 0) return;
    this.#head = undefined;
    const block = Buffer.concat(head.pieces);
    this.#onHead(stream, head.flags, block, 0, block.length);
  }

  #onHead(id: number, flags: number, bytes: Buffer, from: number, to: number): void {
    // Decoded even where nobody wants it: the tables have to stay the same.
    const decoded = this.#decoder.decode(bytes, from, to);
    if (decoded === "malformed") {
      this.fail(errorCode.compressionError, "a head's coding");
      return;
    }
    const ends = (flags & flag.endStream) !== 0;
    const stream = this.#streams.get(id);
    if (stream !== undefined) {
      if (stream.endReceived) this.#fault(stream, errorCode.streamClosed);
      else if (stream.headReceived) this.#onTrailers(stream, decoded, ends);
      else this.#onAnswer(stream, decoded, ends);
      return;
    }
    if (!this.#isServer || id <= this.#streams.last) {
      this.#onStray(id, "HEADERS");
      return;
    }
    this.#onRequest(id, decoded, ends);
  }

  #onRequest(id: number, decoded: HeaderList | "too-large", ends: boolean): void {
    if ((id & 1) === 0) {
      this.fail(errorCode.protocolError, "a stream of the wrong side");
      return;
    }
    if (this.#goawaySent) {
      // It was told that nobody looks at it (section 6.8).
      this.#streams.forget(id);
      return;
    }
    this.#streams.last = id;
    if (this.#streams.size >= this.#options.maxStreams) {
      this.#sendReset(id, errorCode.refusedStream);
      this.#listener.onStreamFault("us");
      return;
    }
    const stream = new Http2Stream(this, this.#peerWindowBytes, this.#options.streamWindowBytes);
    stream.id = id;
    stream.headReceived = true;
    stream.endReceived = ends;
    this.#streams.add(stream);
    this.#listener.onRequest(stream, decoded, ends);
  }

  #onAnswer(stream: Http2Stream, decoded: HeaderList | "too-large", ends: boolean): void {
    const isInterim = decoded[0] === ":status" && decoded[1]?.charCodeAt(0) === 0x31;
    if (isInterim && ends) {
      this.#fault(stream, errorCode.protocolError);
      return;
    }
    if (!isInterim) stream.headReceived = true;
    if (ends) stream.endReceived = true;
    stream.listener?.onHead(decoded, ends);
    if (ends && stream.endSent) this.#close(stream, "both");
  }

  #onTrailers(stream: Http2Stream, decoded: HeaderList | "too-large", ends: boolean): void {
    if (!ends || !isWhole(stream)) this.#fault(stream, errorCode.protocolError);
    else if (decoded === "too-large") this.#fault(stream, errorCode.enhanceYourCalm);
    else this.#onEnd(stream, decoded);
  }

  #onData(flags: number, id: number, bytes: Buffer, from: number, to: number): void {
    const size = to - from;
    if (id === 0) {
      this.fail(errorCode.protocolError, "DATA");
      return;
    }
    this.#receivedBytes += size;
    if (this.#receivedBytes > this.#options.windowBytes) {
      this.fail(errorCode.flowControlError, "more than the window");
      return;
    }
    this.#giveBack();
    let start = from;
    let end = to;
    if (flags & flag.padded) {
      end -= size === 0 ? 0 : bytes[start]!;
      start += 1;
      if (start > end) {
        this.fail(errorCode.protocolError, "padding");
        return;
      }
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#onStray(id, "DATA");
      return;
    }
    const length = end - start;
    stream.receiveWindow -= size;
    stream.receivedBytes += length;
    const { expectedBytes } = stream;
    if (stream.endReceived) this.#fault(stream, errorCode.streamClosed);
    else if (stream.receiveWindow < 0) this.#fault(stream, errorCode.flowControlError);
    else if (!stream.headReceived) this.#fault(stream, errorCode.protocolError);
    else if (expectedBytes !== undefined && stream.receivedBytes > expectedBytes)
      this.#fault(stream, errorCode.protocolError);
    else this.#onContent(stream, flags, bytes.subarray(start, end), size - length);
  }

  #onContent(stream: Http2Stream, flags: number, content: Buffer, padding: number): void {
    const ends = (flags & flag.endStream) !== 0;
    if (content.length > 0) stream.deliver(content);
    else if (!ends) this.#listener.onControlFrame();
    if (stream.isClosed) return;
    if (padding > 0) this.onHeard(stream, padding);
    if (!ends) return;
    if (isWhole(stream)) this.#onEnd(stream, NO_TRAILERS);
    else this.#fault(stream, errorCode.protocolError);
  }

  #onEnd(stream: Http2Stream, trailers: HeaderList): void {
    stream.endReceived = true;
    stream.deliverEnd(trailers);
    if (stream.endSent && !stream.isClosed) this.#close(stream, "both");
  }

  /** The connection's window is given back as content comes, heard or not: one slow stream stops no other one. */
  #giveBack(): void {
    const { windowBytes, maxHeldBytes } = this.#options;
    if (this.#receivedBytes < windowBytes / 2 || this.#heldBytes > maxHeldBytes) return;
    const given = this.#receivedBytes;
    this.#receivedBytes = 0;
    this.#control(frameType.windowUpdate, 0, 0, [given]);
  }

  /** Something for a stream that is not open. */
  #onStray(id: number, what: string): void {
    if (this.#streams.isForgotten(id)) return;
    const code = this.#streams.isIdle(id) ? errorCode.protocolError : errorCode.streamClosed;
    this.fail(code, `${what} on a stream that is not open`);
  }

  #onRstStream(id: number, bytes: Buffer, from: number, to: number): void {
    if (to - from !== 4) {
      this.fail(errorCode.frameSizeError, "RST_STREAM");
      return;
    }
    if (id === 0 || this.#streams.isIdle(id)) {
      if (!this.#streams.isForgotten(id)) this.fail(errorCode.protocolError, "RST_STREAM");
      return;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.resetCode = bytes.readUInt32BE(from);
    stream.unprocessed = stream.resetCode === errorCode.refusedStream;
    this.#listener.onStreamFault("peer");
    this.#close(stream, "peer");
  }

  #onSettings(flags: number, id: number, bytes: Buffer, from: number, to: number): void {
    const size = to - from;
    const isAck = (flags & flag.ack) !== 0;
    if (id !== 0 || (isAck && !this.#settingsCame)) {
      this.fail(errorCode.protocolError, "SETTINGS");
      return;
    }
    if (size % 6 !== 0 || (isAck && size > 0)) {
      this.fail(errorCode.frameSizeError, "SETTINGS");
      return;
    }
    this.#listener.onControlFrame();
    if (isAck || this.#failed) return;
    const isFirst = !this.#settingsCame;
    this.#settingsCame = true;
    const read = readSettings(bytes, from, to, this.#isServer);
    if (typeof read === "number") {
      this.fail(read, "SETTINGS");
      return;
    }
    const { tableBytes, windowBytes, maxStreams } = read;
    if (tableBytes !== undefined) this.#output.resizeTable(tableBytes);
    if (windowBytes !== undefined && !this.#resizeWindows(windowBytes)) return;
    this.#control(frameType.settings, flag.ack, 0, []);
    if (isFirst || maxStreams !== undefined) this.#listener.onMaxStreams(maxStreams ?? Number.POSITIVE_INFINITY);
  }

  /** False: beyond what a window can be, and the connection has failed. */
  #resizeWindows(bytes: number): boolean {
    const more = bytes - this.#peerWindowBytes;
    let fits = true;
    for (const stream of this.#streams.all()) {
      stream.sendWindow += more;
      if (stream.sendWindow > maxWindowBytes) fits = false;
      if (more > 0) stream.flush();
    }
    this.#peerWindowBytes = bytes;
    if (!fits) this.fail(errorCode.flowControlError, "SETTINGS");
    return fits;
  }

  #onPing(flags: number, id: number, bytes: Buffer, from: number, to: number): void {
    if (id !== 0) this.fail(errorCode.protocolError, "PING");
    else if (to - from !== 8) this.fail(errorCode.frameSizeError, "PING");
    else if ((flags & flag.ack) === 0) {
      this.#listener.onControlFrame();
      this.#control(frameType.ping, flag.ack, 0, [bytes.readUInt32BE(from), bytes.readUInt32BE(from + 4)]);
    }
  }

  #onGoaway(id: number, bytes: Buffer, from: number, to: number): void {
    if (id !== 0 || to - from < 8) {
      this.fail(id !== 0 ? errorCode.protocolError : errorCode.frameSizeError, "GOAWAY");
      return;
    }
    const last = bytes.readUInt32BE(from) & 0x7fff_ffff;
    const code = bytes.readUInt32BE(from + 4);
    // First of all: what is to be sent again must not be sent here.
    this.#listener.onGoaway(code);
    if (!this.#isServer) {
      for (const stream of this.#streams.all()) {
        if (stream.id !== 0 && stream.id <= last) continue;
        stream.unprocessed = true;
        stream.resetCode = errorCode.refusedStream;
        this.#close(stream, "peer");
      }
    }
  }

  #onWindowUpdate(id: number, bytes: Buffer, from: number, to: number): void {
    if (to - from !== 4) {
      this.fail(errorCode.frameSizeError, "WINDOW_UPDATE");
      return;
    }
    const more = bytes.readUInt32BE(from) & 0x7fff_ffff;
    if (id === 0) {
      if (more === 0) this.fail(errorCode.protocolError, "WINDOW_UPDATE");
      else if (!this.#output.widen(more)) this.fail(errorCode.flowControlError, "WINDOW_UPDATE");
      return;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      if (this.#streams.isIdle(id) && !this.#streams.isForgotten(id))
        this.fail(errorCode.protocolError, "WINDOW_UPDATE");
      return;
    }
    stream.sendWindow += more;
    if (more === 0) this.#fault(stream, errorCode.protocolError);
    else if (stream.sendWindow > maxWindowBytes) this.#fault(stream, errorCode.flowControlError);
    else stream.flush();
  }

  // ---- sending

  #greet(): void {
    const { windowBytes } = this.#options;
    if (!this.#isServer) this.#output.raw(clientPreface);
    this.#output.raw(writeSettings(this.#options, this.#isServer));
    if (windowBytes > defaultWindowBytes) {
      this.#output.control(frameType.windowUpdate, 0, 0, [windowBytes - defaultWindowBytes]);
    }
  }

  #control(type: number, flags: number, stream: number, words: readonly number[]): void {
    if (this.#failed) return;
    this.#output.control(type, flags, stream, words);
    if (this.#output.isFlooded) this.fail(errorCode.enhanceYourCalm, "answers that are not read");
  }

  #sendReset(id: number, code: number): void {
    this.#streams.forget(id);
    this.#control(frameType.rstStream, 0, id, [code]);
  }

  // ---- endings

  /** The other side broke a rule that concerns this stream alone (section 5.4.2). */
  #fault(stream: Http2Stream, code: number): void {
    stream.resetCode = code;
    this.#sendReset(stream.id, code);
    this.#listener.onStreamFault("us");
    this.#close(stream, "us");
  }

  #close(stream: Http2Stream, by: ClosedBy): void {
    this.#streams.delete(stream);
    stream.close(by);
  }

  #end(): void {
    this.#failed = true;
    this.#reader.stop();
    this.#head = undefined;
    this.#output.stop();
    for (const stream of this.#streams.all()) this.#close(stream, "connection");
  }
}

const NO_TRAILERS: HeaderList = [];

/** Everything came that the head said. */
function isWhole(stream: Http2Stream): boolean {
  return stream.expectedBytes === undefined || stream.receivedBytes === stream.expectedBytes;
}
