// HTTP/2 frame by frame (RFC 9113 section 4), for peers that do what no library does. Written without the proxy's code;
// field blocks are literals that touch no dynamic table (RFC 7541 section 6.2.2).

import type { Duplex } from "node:stream";
import { waitUntil } from "./wait.ts";

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;

export const errorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  refusedStream: 7,
  cancel: 8,
  enhanceYourCalm: 11,
} as const;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export class Http2Wire {
  readonly socket: Duplex;
  /** What came, in order. */
  readonly frames: Frame[] = [];
  isClosed = false;
  /** Answer SETTINGS as they come. */
  acknowledges = true;
  #held: Buffer = Buffer.alloc(0);
  #prefaceBytes: number;

  /** `side`: what this end is. */
  constructor(socket: Duplex, side: "client" | "server", settings: readonly (readonly [number, number])[] = []) {
    this.socket = socket;
    this.#prefaceBytes = side === "server" ? preface.length : 0;
    socket.on("error", () => {});
    const end = (): void => {
      this.isClosed = true;
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    if (side === "client") socket.write(preface);
    this.settings(settings);
  }

  send(type: number, flags: number, stream: number, payload: Buffer | string = ""): void {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(encodeFrame(type, flags, stream, payload));
  }

  settings(pairs: readonly (readonly [number, number])[]): void {
    const payload = Buffer.alloc(6 * pairs.length);
    for (const [at, [id, value]] of pairs.entries()) {
      payload.writeUInt16BE(id, 6 * at);
      payload.writeUInt32BE(value, 6 * at + 2);
    }
    this.send(frameType.settings, 0, 0, payload);
  }

  /** A whole head. `flags`: END_STREAM or none. */
  headers(stream: number, fields: readonly (readonly [string, string])[], flags = 0): void {
    this.send(frameType.headers, flag.endHeaders | flags, stream, encodeFields(fields));
  }

  reset(stream: number, code: number): void {
    this.send(frameType.rstStream, 0, stream, uint32(code));
  }

  goaway(lastStream: number, code: number): void {
    this.send(frameType.goaway, 0, 0, Buffer.concat([uint32(lastStream), uint32(code)]));
  }

  windowUpdate(stream: number, bytes: number): void {
    this.send(frameType.windowUpdate, 0, stream, uint32(bytes));
  }

  /** The first frame of a type, on a stream where one is named, once it is there. */
  frame(type: number, stream?: number): Promise<Frame> {
    return waitUntil(() => {
      const found = this.find(type, stream);
      if (found === undefined) throw new Error(`no frame of type ${type}: ${this.frames.map((each) => each.type)}`);
      return found;
    });
  }

  find(type: number, stream?: number): Frame | undefined {
    return this.frames.find((each) => each.type === type && (stream === undefined || each.stream === stream));
  }

  /** Resolves when the other side has closed the connection. */
  async closed(): Promise<void> {
    await waitUntil(() => {
      if (!this.isClosed) throw new Error("the connection is open");
    });
  }

  /** The other side's last words: GOAWAY's error code. */
  get goawayCode(): number | undefined {
    return this.frames.findLast((each) => each.type === frameType.goaway)?.payload.readUInt32BE(4);
  }

  #read(bytes: Buffer): void {
    let held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const skipped = Math.min(this.#prefaceBytes, held.length);
    this.#prefaceBytes -= skipped;
    held = held.subarray(skipped);
    while (held.length >= 9) {
      const end = 9 + held.readUIntBE(0, 3);
      if (held.length < end) break;
      const stream = held.readUInt32BE(5) & 0x7fffffff;
      const frame = { type: held.readUInt8(3), flags: held.readUInt8(4), stream, payload: held.subarray(9, end) };
      this.frames.push(frame);
      if (this.acknowledges && frame.type === frameType.settings && frame.flags === 0) {
        this.send(frameType.settings, flag.ack, 0);
      }
      held = held.subarray(end);
    }
    this.#held = held;
  }
}

export function encodeFrame(type: number, flags: number, stream: number, payload: Buffer | string = ""): Buffer {
  const bytes = typeof payload === "string" ? Buffer.from(payload, "latin1") : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, bytes]);
}

/** Names and values of fewer than 127 bytes. */
export function encodeFields(fields: readonly (readonly [string, string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) {
    parts.push(Buffer.from([0, name.length]), Buffer.from(name, "latin1"));
    parts.push(Buffer.from([value.length]), Buffer.from(value, "latin1"));
  }
  return Buffer.concat(parts);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
