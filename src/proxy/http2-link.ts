// A socket that carries an HTTP/2 connection, on either leg: its bytes in, what is to be sent out at the end of each turn,
// and an end for sides that do too much of what costs work and carries nothing.

import type { TLSSocket } from "node:tls";
import { type ConnectionListener, Http2Connection } from "../core/http2/connection.ts";
import { errorCode } from "../core/http2/frame.ts";
import type { Http2Stream } from "../core/http2/stream.ts";
import type { Clock } from "../core/ports.ts";
import type { HeaderList } from "../core/wire/http2-head.ts";
import type { MessageLimits } from "../core/wire/message-reader.ts";
import { passedThrough } from "./dead-buffers.ts";
import { hearData } from "./direct-data.ts";
import { type DueWriter, writeAtTurnEnd } from "./turn-end.ts";

/** Streams of one connection at a time; what RFC 9113 section 5.1.2 recommends as the least. */
export const maxStreams = 100;
/**
 * Bytes in flight towards us, on a stream (the most that a paused one holds) and on the connection. Destinations are far away:
 * a stream carries its window once per round trip.
 */
const windows = {
  server: { streamWindowBytes: 256 * 1024, windowBytes: 1024 * 1024 },
  client: { streamWindowBytes: 1024 * 1024, windowBytes: 4 * 1024 * 1024 },
} as const;
/** What paused streams of a connection hold in all, before the others have to wait for them. */
const maxHeldBytes = 16 * 1024 * 1024;

/**
 * PING, SETTINGS and empty DATA frames of the other side within a period; gRPC measures its bandwidth with a PING per round
 * trip. Frames of no consequence (PRIORITY, WINDOW_UPDATE) cost no more than the bytes they come in.
 */
const maxControlFrames = 2_000;
/** Requests that the other side gives up within a period; browsers give up what a page that is left was loading. */
const maxResets = 1_000;
/** Streams that it breaks rules on within a period, or opens beyond the bound. */
const maxFaults = 100;
const periodMs = 10_000;
/** A connection that is closed with bytes unread takes its last words along: those get a head start. */
const lastWordsMs = 250;

/** Whose connection it is. */
export interface Http2LinkOwner {
  /** A client's request, see ConnectionListener. */
  onRequest(stream: Http2Stream, list: HeaderList | "too-large", ends: boolean): void;
  onMaxStreams(streams: number): void;
  /** It takes no new requests any more. */
  onClosing(): void;
}

export class Http2Link implements ConnectionListener, DueWriter {
  readonly connection: Http2Connection;
  readonly #socket: TLSSocket;
  readonly #owner: Http2LinkOwner;
  readonly #clock: Clock;
  #isDue = false;
  /** It ends once nothing runs on it. */
  #closing = false;
  #since: number;
  #controlFrames = 0;
  #resets = 0;
  #faults = 0;
  readonly #write = (bytes: Buffer): void => {
    passedThrough(bytes.length);
    this.#socket.write(bytes);
  };

  /** Takes over a socket whose handshake is done. It is destroyed with the connection; its `close` is the owner's to hear. */
  constructor(
    role: "server" | "client",
    socket: TLSSocket,
    owner: Http2LinkOwner,
    limits: MessageLimits,
    clock: Clock,
  ) {
    this.#socket = socket;
    this.#owner = owner;
    this.#clock = clock;
    this.#since = clock();
    const { maxHeadBytes, maxFields } = limits;
    // Four pseudo-header fields come on top.
    const bounds = { maxStreams, maxHeldBytes, maxHeadBytes, maxFields: maxFields + 4 };
    this.connection = new Http2Connection({ role, ...windows[role], ...bounds }, this);
    this.onOutput();
    hearData(socket, (bytes) => {
      passedThrough(bytes.length);
      this.connection.receive(bytes);
    });
    socket.on("drain", () => this.flushNow());
    socket.on("close", () => this.connection.lost());
  }

  /** No new streams; the connection ends once the last one has. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.connection.goaway(errorCode.noError);
    this.onStreamOver();
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** To be called behind every stream's close. */
  onStreamOver(): void {
    if (!this.#closing || this.connection.streams > 0 || this.connection.failed) return;
    this.flushNow();
    this.#socket.destroySoon();
  }

  flushNow(): void {
    this.#isDue = false;
    const socket = this.#socket;
    while (!socket.writableNeedDrain && socket.writable) if (!this.connection.pull(this.#write)) return;
  }

  // ---- ConnectionListener

  onOutput(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    writeAtTurnEnd(this);
  }

  onRequest(stream: Http2Stream, list: HeaderList | "too-large", ends: boolean): void {
    this.#owner.onRequest(stream, list, ends);
  }

  onControlFrame(): void {
    this.#advance();
    this.#controlFrames += 1;
    if (this.#controlFrames > maxControlFrames) this.#sendAway();
  }

  onStreamFault(by: "peer" | "us"): void {
    this.#advance();
    if (by === "peer") this.#resets += 1;
    else this.#faults += 1;
    if (this.#resets > maxResets || this.#faults > maxFaults) this.#sendAway();
  }

  onMaxStreams(streams: number): void {
    this.#owner.onMaxStreams(streams);
  }

  onGoaway(code: number): void {
    this.#owner.onClosing();
    // What still runs may end, unless something went wrong over there.
    if (code === errorCode.noError) this.close();
    else this.#socket.destroy();
  }

  onFailed(): void {
    this.#owner.onClosing();
    this.flushNow();
    const socket = this.#socket;
    const last = setTimeout(() => socket.destroy(), lastWordsMs);
    socket.once("close", () => clearTimeout(last));
  }

  // ---- inside

  #advance(): void {
    const now = this.#clock();
    if (now - this.#since <= periodMs) return;
    this.#since = now;
    this.#controlFrames = 0;
    this.#resets = 0;
    this.#faults = 0;
  }

  /** RFC 9113 section 10.5. */
  #sendAway(): void {
    this.connection.fail(errorCode.enhanceYourCalm, "too much of what carries nothing");
  }
}
