// An upstream connection that speaks HTTP/2: many requests at a time, each an UpstreamStream of its own.

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { TLSSocket } from "node:tls";
import { type Authority, formatAuthority } from "../core/authority/authority.ts";
import { KeyswapError } from "../core/errors.ts";
import type { Field, RequestHead } from "../core/message.ts";
import type { Clock } from "../core/ports.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import { type HeaderList, readHttp2Response, readHttp2Trailers, writeHttp2Request } from "../core/wire/http2-head.ts";
import type { MessageLimits } from "../core/wire/message-reader.ts";
import { passedThrough } from "./dead-buffers.ts";
import {
  endCame,
  maxStreams,
  SessionBounds,
  sessionLimits,
  sessionSettings,
  sessionWindowBytes,
  watchEnd,
} from "./http2-session.ts";
import { type HeadOptions, Http2Writer } from "./http2-writer.ts";
import type { StreamReset, UpstreamListener, UpstreamStream } from "./upstream.ts";

/** What a connection tells its pool. */
export interface Http2UpstreamOwner {
  /** It takes no new requests any more. */
  onClosing(connection: Http2Upstream): void;
  onGone(connection: Http2Upstream): void;
  /** The destination wants this authority to be spoken to in HTTP/1.1. */
  onHttp1Required(): void;
}

export class Http2Upstream {
  /** When its last request ended; Infinity while any runs. For the pool. */
  freeSince: number;
  readonly authority: Authority;
  readonly clock: Clock;
  readonly #owner: Http2UpstreamOwner;
  readonly #session: ClientHttp2Session;
  /** Requests that are under way or promised a place. */
  #open = 0;
  #maxOpen = maxStreams;
  #served = 0;
  #closing = false;

  constructor(socket: TLSSocket, authority: Authority, owner: Http2UpstreamOwner, limits: MessageLimits, clock: Clock) {
    this.authority = authority;
    this.clock = clock;
    this.#owner = owner;
    this.freeSince = clock();
    const session = connect(`https://${formatAuthority(authority)}`, {
      ...sessionLimits(limits),
      settings: sessionSettings(limits),
      createConnection: () => socket,
    });
    this.#session = session;
    session.on("error", () => this.#stopLending());
    session.on("goaway", () => this.#stopLending());
    session.on("close", () => {
      this.#stopLending();
      owner.onGone(this);
    });
    session.once("connect", () => session.destroyed || session.setLocalWindowSize(sessionWindowBytes));
    session.on("remoteSettings", (settings) => {
      this.#maxOpen = Math.min(maxStreams, settings.maxConcurrentStreams ?? maxStreams);
    });
    new SessionBounds(session, clock);
  }

  /** A place for one request; undefined where all are taken. */
  lend(): UpstreamStream | undefined {
    if (this.#closing || this.#open >= this.#maxOpen || this.#session.closed || this.#session.destroyed)
      return undefined;
    this.#open += 1;
    this.freeSince = Number.POSITIVE_INFINITY;
    return new Http2UpstreamStream(this, this.#session);
  }

  /** Whether any request was answered on this connection. */
  get used(): boolean {
    return this.#served > 0;
  }

  /** A request that got its place is over. */
  giveBack(answered: boolean): void {
    this.#open -= 1;
    if (answered) this.#served += 1;
    if (this.#open === 0) this.freeSince = this.clock();
  }

  requireHttp1(): void {
    this.#owner.onHttp1Required();
    this.close();
  }

  /** Ends once nothing runs on it any more. */
  close(): void {
    this.#stopLending();
    this.#session.close();
  }

  destroy(): void {
    this.#stopLending();
    this.#session.destroy();
  }

  #stopLending(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#owner.onClosing(this);
  }
}

class Http2UpstreamStream implements UpstreamStream {
  readonly #connection: Http2Upstream;
  readonly #session: ClientHttp2Session;
  readonly #writer: Http2Writer;
  readonly #reused: boolean;
  #listener: UpstreamListener | undefined;
  #stream: ClientHttp2Stream | undefined;
  #list: string[] = [];
  #method = "";
  #placeTaken = true;
  #answerBegun = false;
  #answerEnded = false;
  #trailers: readonly Field[] = [];

  constructor(connection: Http2Upstream, session: ClientHttp2Session) {
    this.#connection = connection;
    this.#session = session;
    this.#reused = connection.used;
    this.#writer = new Http2Writer(
      (options) => this.#request(options),
      () => this.#listener?.onUpstreamDrain(),
    );
  }

  begin(listener: UpstreamListener): void {
    this.#listener = listener;
  }

  sendHead(head: RequestHead, target: string, length: BodyLength): void {
    const { authority } = this.#connection;
    this.#method = head.method;
    this.#list = writeHttp2Request(head, target, length, authority.scheme, formatAuthority(authority));
    this.#writer.head();
    // No body and no trailers: the head ends the request, whenever the exchange says so.
    if (length === 0) this.#writer.end([]);
  }

  sendData(content: Buffer): void {
    this.#writer.data(content);
  }

  sendEnd(trailers: readonly Field[]): void {
    this.#writer.end(trailers);
  }

  flush(): boolean {
    return this.#writer.flush();
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    if (this.#answerBegun) this.#stream?.resume();
  }

  abort(): void {
    this.#listener = undefined;
    if (this.#stream === undefined) this.#giveBack();
    else this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  // ---- inside

  #request(options: HeadOptions): ClientHttp2Stream {
    const stream = this.#session.request(this.#list, options);
    this.#stream = stream;
    this.#list = [];
    watchEnd(stream);
    stream.on("error", () => {});
    stream.on("close", () => this.#onClose(stream));
    stream.on("headers", (_headers, _flags, list) => this.#onInterim(list));
    stream.on("response", (_headers, flags, list) => this.#onResponse(stream, list, flags));
    stream.on("trailers", (_headers, _flags, list) => this.#onTrailers(list));
    return stream;
  }

  #onInterim(list: HeaderList): void {
    const read = readHttp2Response(list, false, this.#method);
    if (read.kind === "malformed") this.#fault(read.detail);
    else this.#listener?.onInterim(read.head);
  }

  #onResponse(stream: ClientHttp2Stream, list: HeaderList, flags: number): void {
    const ends = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const read = readHttp2Response(list, ends, this.#method);
    if (read.kind === "malformed" || read.head.status < 200) {
      this.#fault(read.kind === "malformed" ? read.detail : "interim answer that ends");
      return;
    }
    this.#answerBegun = true;
    this.#listener?.onAnswerHead(read.head, read.length);
    if (ends) {
      this.#onEnd(stream);
      return;
    }
    stream.on("end", () => this.#onEnd(stream));
    stream.on("data", (content: Buffer) => {
      passedThrough(content.length);
      const listener = this.#listener;
      listener?.onAnswerData(content);
      listener?.onAnswerFlush();
    });
    this.#listener?.onAnswerFlush();
  }

  #onTrailers(list: HeaderList): void {
    const read = readHttp2Trailers(list);
    if (read.kind === "malformed") this.#fault(read.detail);
    else this.#trailers = read.fields;
  }

  #onEnd(stream: ClientHttp2Stream): void {
    // A reset ends the stream too: what came is not whole.
    if (this.#answerEnded || !endCame(stream)) return;
    this.#answerEnded = true;
    const listener = this.#listener;
    const goesOn = !this.#writer.ended;
    if (!goesOn) {
      this.#listener = undefined;
      this.#giveBack();
    }
    listener?.onAnswerEnd(this.#trailers, goesOn);
    listener?.onAnswerFlush();
  }

  #onClose(stream: ClientHttp2Stream): void {
    this.#giveBack();
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener === undefined) return;
    if (this.#answerEnded) listener.onUpstreamClosed();
    else this.#lose(listener, stream.rstCode);
  }

  #lose(listener: UpstreamListener, rstCode: number): void {
    // Without a code the connection broke; an answer that was cut off by "no error" is one all the same.
    const isReset = !this.#session.destroyed;
    const code = rstCode === constants.NGHTTP2_NO_ERROR ? constants.NGHTTP2_INTERNAL_ERROR : rstCode;
    const needsHttp1 = code === constants.NGHTTP2_HTTP_1_1_REQUIRED;
    if (needsHttp1) this.#connection.requireHttp1();
    const unprocessed = needsHttp1 || code === constants.NGHTTP2_REFUSED_STREAM;
    const detail = isReset ? `stream reset ${code}` : undefined;
    const stale = !this.#answerBegun && (unprocessed || (this.#reused && !isReset));
    const reset: StreamReset | undefined = isReset ? { code, unprocessed } : undefined;
    listener.onUpstreamLost(new KeyswapError("upstream-closed", detail), stale, reset);
  }

  #fault(detail: string): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#stream?.close(constants.NGHTTP2_PROTOCOL_ERROR);
    listener?.onUpstreamLost(new KeyswapError("upstream-malformed", detail), false);
  }

  #giveBack(): void {
    if (!this.#placeTaken) return;
    this.#placeTaken = false;
    this.#connection.giveBack(this.#answerEnded);
  }
}
