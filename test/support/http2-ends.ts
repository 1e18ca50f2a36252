// One end of an HTTP/2 connection without a socket: what it heard, and the frames that it sends.

import { type ConnectionListener, type ConnectionOptions, Http2Connection } from "../../src/core/http2/connection.ts";
import { clientPreface } from "../../src/core/http2/frame.ts";
import { HpackDecoder } from "../../src/core/http2/hpack-decoder.ts";
import type { Http2Stream, StreamListener } from "../../src/core/http2/stream.ts";
import { encodeFields, encodeFrame, type Frame, flag, frameType } from "./http2-frames.ts";

export const limits = { maxHeadBytes: 64 * 1024, maxFields: 204 };
export const bounds = {
  ...limits,
  maxStreams: 100,
  streamWindowBytes: 256 * 1024,
  windowBytes: 1024 * 1024,
  maxHeldBytes: 16 * 1024 * 1024,
};

/** What a stream's listener heard, as lines: content is joined. */
export class Heard implements StreamListener {
  readonly stream: Http2Stream;
  readonly lines: string[] = [];
  body: Buffer = Buffer.alloc(0);

  constructor(stream: Http2Stream) {
    this.stream = stream;
    stream.listener = this;
  }

  onHead(list: readonly string[] | "too-large", ends: boolean): void {
    this.lines.push(`head ${String(list)}${ends ? " end" : ""}`);
  }

  onData(content: Buffer): void {
    this.body = Buffer.concat([this.body, content]);
  }

  onEnd(trailers: readonly string[]): void {
    this.lines.push(`end ${String(trailers)}`);
  }

  onDrain(): void {
    this.lines.push("drain");
  }

  onClose(stream: Http2Stream): void {
    this.lines.push(`closed by ${stream.closedBy}${stream.closedBy === "both" ? "" : ` ${stream.resetCode}`}`);
  }
}

export class End implements ConnectionListener {
  readonly connection: Http2Connection;
  readonly requests: Heard[] = [];
  /** Of the connection, as lines. */
  readonly lines: string[] = [];
  readonly decoder = new HpackDecoder(limits);
  controlFrames = 0;
  outputs = 0;

  constructor(role: "server" | "client", options: Partial<ConnectionOptions> = {}) {
    this.connection = new Http2Connection({ role, ...bounds, ...options }, this);
  }

  onOutput(): void {
    this.outputs += 1;
  }

  onRequest(stream: Http2Stream, list: readonly string[] | "too-large", ends: boolean): void {
    const heard = new Heard(stream);
    heard.onHead(list, ends);
    this.requests.push(heard);
  }

  onControlFrame(): void {
    this.controlFrames += 1;
  }

  onStreamFault(by: "peer" | "us"): void {
    this.lines.push(`fault by ${by}`);
  }

  onMaxStreams(streams: number): void {
    this.lines.push(`max streams ${streams}`);
  }

  onGoaway(code: number): void {
    this.lines.push(`goaway ${code}`);
  }

  onFailed(code: number, detail: string): void {
    this.lines.push(`failed ${code} ${detail}`);
  }

  /** A client's, to this server: the preface and its SETTINGS. */
  greet(settings: readonly (readonly [number, number])[] = []): this {
    this.connection.receive(Buffer.concat([clientPreface, settingsFrame(settings)]));
    this.pull();
    return this;
  }

  frame(type: number, flags: number, stream: number, payload: Buffer | string = ""): void {
    this.connection.receive(encodeFrame(type, flags, stream, payload));
  }

  request(stream: number, fields: readonly (readonly [string, string])[] = get, flags: number = flag.endStream): void {
    this.frame(frameType.headers, flag.endHeaders | flags, stream, encodeFields(fields));
  }

  pullBytes(): Buffer {
    const parts: Buffer[] = [];
    while (this.connection.pull((bytes) => parts.push(bytes)));
    return Buffer.concat(parts);
  }

  /** What it has to send, as frames. */
  pull(): Frame[] {
    return framesOf(this.pullBytes());
  }

  /** The same as lines: a head's fields, else the payload's length. */
  pullLines(): string[] {
    return this.pull().map(({ type, flags, stream, payload }) => {
      const name = Object.entries(frameType).find(([, value]) => value === type)?.[0];
      const end = (type === frameType.headers || type === frameType.data) && flags & flag.endStream ? " end" : "";
      const what = type === frameType.headers ? String(this.decoder.decode(payload, 0, payload.length)) : describe();
      return `${name} ${stream} ${what}${end}`;

      function describe(): string {
        if (type === frameType.data) return String(payload.length);
        return type === frameType.settings || payload.length === 0
          ? `flags ${flags}`
          : String(payload.readUInt32BE(payload.length - 4));
      }
    });
  }
}

export const get: readonly (readonly [string, string])[] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", "a.test"],
  [":path", "/"],
];
export const post: readonly (readonly [string, string])[] = [[":method", "POST"], ...get.slice(1)];

export function settingsFrame(settings: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(6 * settings.length);
  for (const [at, [name, value]] of settings.entries()) {
    payload.writeUInt16BE(name, 6 * at);
    payload.writeUInt32BE(value, 6 * at + 2);
  }
  return encodeFrame(frameType.settings, 0, 0, payload);
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at);
  return bytes;
}

export function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    const stream = bytes.readUInt32BE(at + 5);
    frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, stream, payload: bytes.subarray(at + 9, end) });
    at = end;
  }
  return frames;
}
