// A client's HTTP/2 connection inside an opened way: takes streams, runs an exchange for each, writes answers.

import type { TLSSocket } from "node:tls";
import type { ErrorCode } from "../core/errors.ts";
import { errorCode } from "../core/http2/frame.ts";
import type { Http2Stream, StreamListener } from "../core/http2/stream.ts";
import { type Field, findField, type RequestHead, type ResponseHead } from "../core/message.ts";
import { isMessageType } from "../core/substitution/messages.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import {
  type HeaderList,
  readHttp2Request,
  readHttp2Trailers,
  writeHttp2Response,
  writeHttp2Trailers,
} from "../core/wire/http2-head.ts";
import { errorAnswer } from "./answer.ts";
import type { Timed } from "./deadlines.ts";
import type { Downstream } from "./downstream.ts";
import { Exchange } from "./exchange.ts";
import { Http2Link, type Http2LinkOwner } from "./http2-link.ts";
import type { Route } from "./route.ts";
import type { Services } from "./services.ts";
import { Stall } from "./stall.ts";

export interface Http2ClientOwner {
  /** A request that was answered without an exchange. */
  onRefused(code: ErrorCode, detail: string | undefined): void;
  onClosed(client: Http2Client): void;
}

/** How long a connection that was told to end may go on. */
const lingerMs = 2_000;

export class Http2Client implements Http2LinkOwner, Timed {
  deadlineAt: number;

  readonly services: Services;
  readonly route: Route;
  readonly #socket: TLSSocket;
  readonly #owner: Http2ClientOwner;
  #link: Http2Link | undefined;
  #open = 0;
  #closed = false;
  #watch: Timed | undefined;

  /** Takes the socket over before or after its handshake, in which h2 is agreed on. */
  constructor(services: Services, socket: TLSSocket, route: Route, owner: Http2ClientOwner) {
    this.services = services;
    this.route = route;
    this.#socket = socket;
    this.#owner = owner;
    this.deadlineAt = services.clock() + services.options.limits.headTimeoutMs;
    services.deadlines.add(this);
    socket.on("close", () => this.#onClosed());
    // A client that can send nothing any more, not even a window update, is gone: HTTP/2 has no half-closed connections.
    socket.on("end", () => this.destroy());
    socket.once("secure", () => this.#begin());
  }

  /** No request is running. */
  get idle(): boolean {
    return this.#open === 0;
  }

  /** The proxy drains: GOAWAY, then the end once nothing runs. */
  drain(): void {
    if (this.#link === undefined) this.#socket.destroy();
    else this.#link.close();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  onDeadline(): void {
    const link = this.#link;
    if (link === undefined || link.closing) {
      this.destroy();
      return;
    }
    this.deadlineAt = this.services.clock() + lingerMs;
    link.close();
  }

  // ---- Http2LinkOwner

  onRequest(stream: Http2Stream, list: HeaderList | "too-large", ends: boolean): void {
    this.#open += 1;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    new Http2ClientStream(this, stream).begin(list, ends);
  }

  onMaxStreams(): void {
    // Of those that we might open: none.
  }

  onClosing(): void {
    // What runs goes on.
  }

  // ---- of its streams

  onRefused(code: ErrorCode, detail: string | undefined): void {
    this.#owner.onRefused(code, detail);
  }

  /** A stream was given up because nothing of it was taken. Where nothing of the connection is, it is stuck. */
  onStalled(): void {
    if (this.#watch !== undefined) return;
    const { deadlines, clock, options } = this.services;
    const { stallTimeoutMs } = options.limits;
    const stall = new Stall(stallTimeoutMs);
    stall.lastsOn(this.#socket, clock());
    this.#watch = {
      deadlineAt: clock() + stallTimeoutMs,
      onDeadline: () => {
        this.#unwatch();
        if (stall.lastsOn(this.#socket, clock())) this.destroy();
      },
    };
    deadlines.add(this.#watch);
  }

  onStreamClosed(): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    const { limits } = this.services.options;
    this.deadlineAt = this.services.clock() + (this.#link?.closing ? lingerMs : limits.idleTimeoutMs);
    this.#link?.onStreamOver();
  }

  // ---- inside

  #begin(): void {
    const { limits } = this.services.options;
    this.#link = new Http2Link("server", this.#socket, this, limits.message, this.services.clock);
    this.deadlineAt = this.services.clock() + limits.idleTimeoutMs;
    if (this.services.draining) this.#link.close();
  }

  #unwatch(): void {
    if (this.#watch !== undefined) this.services.deadlines.delete(this.#watch);
    this.#watch = undefined;
  }

  #onClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unwatch();
    this.services.deadlines.delete(this);
    this.#owner.onClosed(this);
  }
}

/**
 * One request of the client. Its deadlines are those of HTTP/1.1: for the next bytes of a body that is owed, for the
 * answer's head, and for a client that takes nothing of what waits for it. What is merely quiet has none.
 */
class Http2ClientStream implements Downstream, StreamListener, Timed {
  readonly protocol = "h2";
  deadlineAt = Number.POSITIVE_INFINITY;

  readonly #client: Http2Client;
  readonly #stream: Http2Stream;
  #exchange: Exchange | undefined;
  #answerBegun = false;
  #requestEnded = false;
  /** More of the request's body has to come before there is an answer. */
  #awaitsBody = false;
  #isPaused = false;
  readonly #stall: Stall;
  /** Bytes of the answer that were given to the stream. */
  #saidBytes = 0;

  constructor(client: Http2Client, stream: Http2Stream) {
    this.#client = client;
    this.#stream = stream;
    this.#stall = new Stall(client.services.options.limits.stallTimeoutMs);
    client.services.deadlines.add(this);
    stream.listener = this;
  }

  begin(list: HeaderList | "too-large", ends: boolean): void {
    this.#requestEnded = ends;
    if (list === "too-large") {
      this.#refuse("head-too-large");
      return;
    }
    const read = readHttp2Request(list, ends);
    const { services, route } = this.#client;
    if (read.kind === "malformed") {
      this.#refuse("bad-request", read.detail);
      return;
    }
    if (read.scheme !== route.authority.scheme) {
      this.#refuse("authority-mismatch", ":scheme");
      return;
    }
    if (read.otherHost !== undefined && !route.hostMatches(read.otherHost)) {
      this.#refuse("authority-mismatch", "host beside :authority");
      return;
    }
    if (typeof read.length === "number" && !ends) this.#stream.expect(read.length);
    const exchange = new Exchange(services, route, this, read.head, read.length);
    this.#exchange = exchange;
    if (!ends) {
      this.#awaitsBody = isOwed(read.head, read.length);
      this.#boundBody();
    }
    exchange.begin();
    if (ends) this.onEnd(NO_TRAILERS);
  }

  onDeadline(): void {
    const exchange = this.#exchange;
    if (this.#answerBegun || exchange === undefined) this.#look();
    else if (this.#awaitsBody && !this.#isPaused) exchange.onRequestStalled();
    else exchange.onTimeout();
  }

  // ---- StreamListener

  onHead(): void {
    // Clients send one head, which begins the stream.
  }

  onData(content: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#boundBody();
    exchange.onRequestData(content);
    exchange.onRequestFlush();
  }

  onEnd(list: HeaderList): void {
    const exchange = this.#exchange;
    this.#requestEnded = true;
    this.#awaitsBody = false;
    if (exchange === undefined) return;
    const trailers = readHttp2Trailers(list);
    if (trailers.kind === "malformed") {
      exchange.onRequestBroken(trailers.detail);
      return;
    }
    this.#awaitAnswer();
    exchange.onRequestEnd(trailers.fields);
    exchange.onRequestFlush();
  }

  onDrain(): void {
    this.#exchange?.onClientDrain();
  }

  onClose(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#client.services.deadlines.delete(this);
    this.#client.onStreamClosed();
    exchange?.onClientClosed();
  }

  // ---- Downstream

  sendInterim(head: ResponseHead): void {
    if (!this.#answerBegun) this.#stream.sendHead(writeHttp2Response(head, undefined));
  }

  sendHead(head: ResponseHead, length: BodyLength | undefined): void {
    this.#answerBegun = true;
    this.#awaitsBody = false;
    this.deadlineAt = atNextSweep;
    this.#stream.sendHead(writeHttp2Response(head, length));
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

  abort(resetCode: number = errorCode.internalError): void {
    this.#stream.reset(resetCode);
  }

  pauseRequest(): void {
    this.#isPaused = true;
    // It is the destination that takes nothing.
    if (this.#awaitsBody) this.#boundBy("answerTimeoutMs");
    this.#stream.pause();
  }

  resumeRequest(): void {
    this.#isPaused = false;
    this.#boundBody();
    this.#stream.resume();
  }

  onExchangeEnd(): void {
    this.#exchange = undefined;
    // From here on all that is left is the client's to take.
    this.deadlineAt = atNextSweep;
    if (this.#requestEnded) return;
    // The answer is complete and the rest of the request not wanted (RFC 9113 section 8.1); goes out behind the answer.
    this.#stream.reset(errorCode.noError);
    // What still comes is read past.
    this.#stream.resume();
  }

  // ---- inside

  #awaitAnswer(): void {
    if (!this.#answerBegun && this.#exchange !== undefined) this.#boundBy("answerTimeoutMs");
  }

  /** The next bytes of the body have so much time. */
  #boundBody(): void {
    if (this.#awaitsBody && !this.#isPaused) this.#boundBy("bodyTimeoutMs");
  }

  #boundBy(limit: "answerTimeoutMs" | "bodyTimeoutMs"): void {
    const { services } = this.#client;
    this.deadlineAt = services.clock() + services.options.limits[limit];
  }

  /** Whether the client takes what waits for it: its answer, or the stream's end. */
  #look(): void {
    const now = this.#client.services.clock();
    this.deadlineAt = now + this.#stall.lookMs;
    const { waitingBytes } = this.#stream;
    const exchange = this.#exchange;
    const waits = waitingBytes > 0 || exchange === undefined;
    if (!this.#stall.lasts(now, waits, this.#saidBytes - waitingBytes)) return;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    this.#exchange = undefined;
    this.#client.onStalled();
    this.#stream.reset(errorCode.enhanceYourCalm);
    exchange?.onClientStalled();
  }

  #refuse(code: ErrorCode, detail?: string): void {
    this.#client.onRefused(code, detail);
    const { head, body } = errorAnswer(code, detail);
    this.sendHead(head, body.length);
    this.sendData(body);
    this.sendEnd([]);
    this.flush();
    this.onExchangeEnd();
  }
}

const NO_TRAILERS: HeaderList = [];

/** So that what is over before needs no look at the clock. */
const atNextSweep = Number.NEGATIVE_INFINITY;

/**
 * Whether the client has to send on. In a stream of messages (gRPC, Connect) the next one may be long in coming, and none may
 * be due before the other side has spoken.
 */
function isOwed(head: RequestHead, length: BodyLength): boolean {
  return typeof length === "number" || !isMessageType(findField(head.fields, "content-type")?.value);
}
