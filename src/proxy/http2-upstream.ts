// An upstream connection that speaks HTTP/2: many requests at a time, each an UpstreamStream of its own.

import type { TLSSocket } from "node:tls";
import { type Authority, formatAuthority } from "../core/authority/authority.ts";
import { KeyswapError } from "../core/errors.ts";
import { errorCode } from "../core/http2/frame.ts";
import type { Http2Stream, StreamListener } from "../core/http2/stream.ts";
import type { Field, RequestHead } from "../core/message.ts";
import type { Clock } from "../core/ports.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import {
  type HeaderList,
  readHttp2Response,
  readHttp2Trailers,
  writeHttp2Request,
  writeHttp2Trailers,
} from "../core/wire/http2-head.ts";
import type { MessageLimits } from "../core/wire/message-reader.ts";
import type { Deadlines, Timed } from "./deadlines.ts";
import { Http2Link, type Http2LinkOwner, maxStreams } from "./http2-link.ts";
import { Stall } from "./stall.ts";
import type { StreamReset, UpstreamListener, UpstreamStream } from "./upstream.ts";

/** What a connection tells its pool. */
export interface Http2UpstreamOwner {
  /** It takes no new requests any more. */
  onClosing(connection: Http2Upstream): void;
  onGone(connection: Http2Upstream): void;
  /** The destination wants this authority to be spoken to in HTTP/1.1. */
  onHttp1Required(): void;
}

export interface Http2UpstreamOptions {
  readonly message: MessageLimits;
  /** How long a destination that has answered may take nothing of the rest of the request. */
  readonly stallMs: number;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
}

/** How long a destination may take to say how many requests it takes; its SETTINGS come first of all. */
const settingsTimeoutMs = 10_000;

export class Http2Upstream implements Http2LinkOwner {
  /** When its last request ended; Infinity while any runs. For the pool. */
  freeSince: number;
  readonly authority: Authority;
  readonly options: Http2UpstreamOptions;
  readonly #owner: Http2UpstreamOwner;
  readonly #socket: TLSSocket;
  readonly #link: Http2Link;
  /** Requests that are under way or promised a place. */
  #open = 0;
  /** One goes out ahead of the destination's SETTINGS; more could be refused. */
  #maxOpen = 1;
  /** Until the SETTINGS have come; then undefined. */
  #opening: PromiseWithResolvers<boolean> | undefined = Promise.withResolvers<boolean>();
  #served = 0;
  #closing = false;

  constructor(socket: TLSSocket, authority: Authority, owner: Http2UpstreamOwner, options: Http2UpstreamOptions) {
    const { message, clock } = options;
    this.authority = authority;
    this.options = options;
    this.#owner = owner;
    this.#socket = socket;
    this.freeSince = clock();
    socket.on("error", () => socket.destroy());
    // Who can say nothing any more cannot answer: HTTP/2 has no half-closed connections.
    socket.on("end", () => socket.destroy());
    this.#link = new Http2Link("client", socket, this, message, clock);
    const timer = setTimeout(() => socket.destroy(), settingsTimeoutMs).unref();
    void this.#opening?.promise.then(() => clearTimeout(timer));
    socket.on("close", () => {
      this.#settle(false);
      this.#stopLending();
      owner.onGone(this);
    });
  }

  /** A place for one request; undefined where all are taken. */
  lend(): UpstreamStream | undefined {
    if (this.#closing || this.#open >= this.#maxOpen || this.#socket.destroyed) return undefined;
    this.#open += 1;
    this.freeSince = Number.POSITIVE_INFINITY;
    return new Http2UpstreamStream(this, this.#link.connection.open());
  }

  /**
   * Set until it is known how many requests the destination takes at a time. Answers false where the connection broke before.
   */
  get opening(): Promise<boolean> | undefined {
    return this.#opening?.promise;
  }

  /** Whether any request was answered on this connection. */
  get used(): boolean {
    return this.#served > 0;
  }

  /** A request that got its place is over. */
  giveBack(answered: boolean): void {
    this.#open -= 1;
    if (answered) this.#served += 1;
    if (this.#open === 0) this.freeSince = this.options.clock();
  }

  /** The stream of a request is gone. */
  onStreamClosed(): void {
    this.#link.onStreamOver();
  }

  requireHttp1(): void {
    this.#owner.onHttp1Required();
    this.close();
  }

  /** Ends once nothing runs on it any more. */
  close(): void {
    this.#stopLending();
    this.#link.close();
  }

  destroy(): void {
    this.#stopLending();
    this.#socket.destroy();
  }

  // ---- Http2LinkOwner

  onRequest(): void {
    // Destinations ask for nothing.
  }

  onMaxStreams(streams: number): void {
    this.#maxOpen = Math.min(maxStreams, streams);
    this.#settle(true);
  }

  onClosing(): void {
    this.#stopLending();
  }

  #settle(isOpen: boolean): void {
    this.#opening?.resolve(isOpen);
    this.#opening = undefined;
  }

  #stopLending(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#owner.onClosing(this);
  }
}

class Http2UpstreamStream implements UpstreamStream, StreamListener, Timed {
  deadlineAt = Number.POSITIVE_INFINITY;
  readonly #connection: Http2Upstream;
  readonly #stream: Http2Stream;
  readonly #reused: boolean;
  #listener: UpstreamListener | undefined;
  #method = "";
  #placeTaken = true;
  #answerBegun = false;
  #answerEnded = false;
  /** Bytes of the request's body that were given to the stream. */
  #saidBytes = 0;
  /** Set where the answer came before the destination had taken the request. */
  #stall: Stall | undefined;

  constructor(connection: Http2Upstream, stream: Http2Stream) {
    this.#connection = connection;
    this.#stream = stream;
    this.#reused = connection.used;
    stream.listener = this;
  }

  // ---- UpstreamStream

  begin(listener: UpstreamListener): void {
    this.#listener = listener;
  }

  sendHead(head: RequestHead, target: string, length: BodyLength): void {
    const { authority } = this.#connection;
    this.#method = head.method;
    this.#stream.sendHead(writeHttp2Request(head, target, length, authority.scheme, formatAuthority(authority)));
    // No body and no trailers: the head ends the request, whenever the exchange says so.
    if (length === 0) this.#stream.sendEnd();
  }

  sendData(content: Buffer): void {
    this.#saidBytes += content.length;
    this.#stream.sendData(content);
  }

  sendEnd(trailers: readonly Field[]): void {
    this.#stream.sendTrailers(writeHttp2Trailers(trailers));
  }

  flush(): boolean {
    this.#stream.flush();
    return this.#stream.hasRoom;
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  abort(): void {
    this.#listener = undefined;
    this.#stream.reset(errorCode.cancel);
  }

  // ---- StreamListener

  onHead(list: HeaderList | "too-large", ends: boolean): void {
    if (list === "too-large") {
      this.#fault("head beyond the bound");
      return;
    }
    const read = readHttp2Response(list, ends, this.#method);
    if (read.kind === "malformed") {
      this.#fault(read.detail);
      return;
    }
    if (read.head.status < 200) {
      this.#listener?.onInterim(read.head);
      return;
    }
    this.#answerBegun = true;
    if (typeof read.length === "number" && !ends) this.#stream.expect(read.length);
    this.#listener?.onAnswerHead(read.head, read.length);
    if (ends) this.onEnd(NO_TRAILERS);
    else this.#listener?.onAnswerFlush();
  }

  onData(content: Buffer): void {
    const listener = this.#listener;
    listener?.onAnswerData(content);
    listener?.onAnswerFlush();
  }

  onEnd(list: HeaderList): void {
    const trailers = readHttp2Trailers(list);
    if (trailers.kind === "malformed") {
      this.#fault(trailers.detail);
      return;
    }
    this.#answerEnded = true;
    const listener = this.#listener;
    const { ends, endSent } = this.#stream;
    const goesOn = !ends;
    if (endSent) this.#giveBack();
    else this.#watch();
    if (!goesOn) this.#listener = undefined;
    listener?.onAnswerEnd(trailers.fields, goesOn);
    listener?.onAnswerFlush();
  }

  onDrain(): void {
    this.#listener?.onUpstreamDrain();
  }

  onClose(stream: Http2Stream): void {
    this.#giveBack();
    if (this.#stall !== undefined) this.#connection.options.deadlines.delete(this);
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener !== undefined) {
      if (this.#answerEnded) listener.onUpstreamClosed();
      else this.#lose(listener, stream);
    }
    this.#connection.onStreamClosed();
  }

  /** Whether the destination takes the rest of the request that it has answered. */
  onDeadline(): void {
    const stall = this.#stall;
    if (stall === undefined) return;
    const now = this.#connection.options.clock();
    this.deadlineAt = now + stall.lookMs;
    const { waitingBytes, ends } = this.#stream;
    if (stall.lasts(now, waitingBytes > 0 || ends, this.#saidBytes - waitingBytes))
      this.#stream.reset(errorCode.cancel);
  }

  // ---- inside

  /** The place stays taken until the request was sent, or given up. */
  #watch(): void {
    const { deadlines, stallMs } = this.#connection.options;
    if (this.#stream.isClosed) return;
    this.#stall = new Stall(stallMs);
    this.onDeadline();
    deadlines.add(this);
  }

  #lose(listener: UpstreamListener, { closedBy, resetCode }: Http2Stream): void {
    // Without a code the connection broke; an answer that was cut off by "no error" is one all the same.
    const isReset = closedBy !== "connection";
    const code = resetCode === errorCode.noError ? errorCode.internalError : resetCode;
    const needsHttp1 = isReset && code === errorCode.http11Required;
    if (needsHttp1) this.#connection.requireHttp1();
    const unprocessed = needsHttp1 || this.#stream.unprocessed;
    const detail = isReset ? `stream reset ${code}` : undefined;
    const stale = !this.#answerBegun && (unprocessed || (this.#reused && !isReset));
    const reset: StreamReset | undefined = isReset ? { code, unprocessed } : undefined;
    listener.onUpstreamLost(new KeyswapError("upstream-closed", detail), stale, reset);
  }

  #fault(detail: string): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#stream.reset(errorCode.protocolError);
    listener?.onUpstreamLost(new KeyswapError("upstream-malformed", detail), false);
  }

  #giveBack(): void {
    if (!this.#placeTaken) return;
    this.#placeTaken = false;
    this.#connection.giveBack(this.#answerEnded);
  }
}

const NO_TRAILERS: HeaderList = [];
