// A client's HTTP/2 connection inside an opened way: takes streams, runs an exchange for each, writes answers.

import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { TLSSocket } from "node:tls";
import type { ErrorCode } from "../core/errors.ts";
import { type Field, findField, type RequestHead, type ResponseHead } from "../core/message.ts";
import { isMessageType } from "../core/substitution/messages.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import {
  type HeaderList,
  readHttp2Request,
  readHttp2Trailers,
  writeHttp2Fields,
  writeHttp2Response,
} from "../core/wire/http2-head.ts";
import { errorAnswer } from "./answer.ts";
import { passedThrough } from "./dead-buffers.ts";
import type { Timed } from "./deadlines.ts";
import type { Downstream } from "./downstream.ts";
import { Exchange } from "./exchange.ts";
import {
  endCame,
  SessionBounds,
  sessionLimits,
  sessionSettings,
  sessionWindowBytes,
  watchEnd,
} from "./http2-session.ts";
import { Http2Writer } from "./http2-writer.ts";
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

export class Http2Client implements Timed {
  deadlineAt: number;

  readonly services: Services;
  readonly route: Route;
  readonly #socket: TLSSocket;
  readonly #owner: Http2ClientOwner;
  #session: ServerHttp2Session | undefined;
  #bounds: SessionBounds | undefined;
  #open = 0;
  #closed = false;

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
    if (this.#session === undefined) this.#socket.destroy();
    else this.#session.close();
  }

  destroy(): void {
    this.#session?.destroy();
    this.#socket.destroy();
  }

  onDeadline(): void {
    const session = this.#session;
    if (session === undefined || session.closed) {
      this.destroy();
      return;
    }
    this.deadlineAt = this.services.clock() + lingerMs;
    session.close();
  }

  onRefused(code: ErrorCode, detail: string | undefined): void {
    this.#owner.onRefused(code, detail);
  }

  /** `wasReset`: by the client, before its answer was complete. */
  onStreamClosed(wasReset: boolean): void {
    if (wasReset) this.#bounds?.onReset();
    this.#open -= 1;
    if (this.#open === 0) this.deadlineAt = this.services.clock() + this.services.options.limits.idleTimeoutMs;
  }

  #begin(): void {
    const { limits } = this.services.options;
    const socket = this.#socket;
    // What a tls.Server would note of a connection of its own; the session would wait for it.
    (socket as { secureConnecting?: boolean }).secureConnecting = false;
    const session = performServerHandshake(socket, {
      ...sessionLimits(limits.message),
      settings: sessionSettings(limits.message),
    });
    this.#session = session;
    this.deadlineAt = this.services.clock() + limits.idleTimeoutMs;
    session.setLocalWindowSize(sessionWindowBytes);
    session.on("error", () => socket.destroy());
    // Nobody but us would, for there is no server object around it.
    session.on("close", () => socket.destroy());
    session.on("stream", (stream, _headers: IncomingHttpHeaders, flags: number, list: HeaderList) => {
      this.#open += 1;
      this.deadlineAt = Number.POSITIVE_INFINITY;
      new Http2ClientStream(this, stream).begin(list, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
    });
    this.#bounds = new SessionBounds(session, this.services.clock);
    if (this.services.draining) session.close();
  }

  #onClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.services.deadlines.delete(this);
    this.#session?.destroy();
    this.#owner.onClosed(this);
  }
}

/**
 * One request of the client. Its deadlines are those of HTTP/1.1: for the next bytes of a body that is owed, for the
 * answer's head, and for a client that takes nothing of what waits for it. What is merely quiet has none.
 */
class Http2ClientStream implements Downstream, Timed {
  readonly protocol = "h2";
  deadlineAt = Number.POSITIVE_INFINITY;

  readonly #client: Http2Client;
  readonly #stream: ServerHttp2Stream;
  readonly #writer: Http2Writer;
  #exchange: Exchange | undefined;
  #answerHead: ResponseHead | undefined;
  #answerLength: BodyLength | undefined;
  #answerBegun = false;
  #requestEnded = false;
  /** More of the request's body has to come before there is an answer. */
  #awaitsBody = false;
  #isPaused = false;
  #trailers: readonly Field[] = [];
  readonly #stall: Stall;

  constructor(client: Http2Client, stream: ServerHttp2Stream) {
    this.#client = client;
    this.#stream = stream;
    this.#stall = new Stall(client.services.options.limits.stallTimeoutMs);
    client.services.deadlines.add(this);
    this.#writer = new Http2Writer(
      (options) => {
        const head = this.#answerHead;
        if (head === undefined || stream.destroyed || stream.closed) return undefined;
        stream.respond(writeHttp2Response(head, this.#answerLength), options);
        return stream;
      },
      () => this.#exchange?.onClientDrain(),
    );
    stream.on("error", () => {});
    stream.on("close", () => this.#onClose());
  }

  begin(list: HeaderList, ends: boolean): void {
    const read = readHttp2Request(list, ends);
    this.#requestEnded = ends;
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
    const exchange = new Exchange(services, route, this, read.head, read.length);
    this.#exchange = exchange;
    if (!ends) {
      this.#awaitsBody = isOwed(read.head, read.length);
      this.#boundBody();
      this.#readBody(exchange);
    }
    exchange.begin();
    if (!ends) return;
    this.#awaitAnswer();
    exchange.onRequestEnd([]);
    exchange.onRequestFlush();
  }

  onDeadline(): void {
    const exchange = this.#exchange;
    if (this.#answerBegun || exchange === undefined) this.#look();
    else if (this.#awaitsBody && !this.#isPaused) exchange.onRequestStalled();
    else exchange.onTimeout();
  }

  // ---- Downstream

  sendInterim(head: ResponseHead): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed || stream.headersSent) return;
    stream.additionalHeaders({ ...writeHttp2Fields(head.fields), ":status": head.status });
  }

  sendHead(head: ResponseHead, length: BodyLength | undefined): void {
    this.#answerBegun = true;
    this.#awaitsBody = false;
    this.deadlineAt = atNextSweep;
    this.#answerHead = head;
    this.#answerLength = length;
    this.#writer.head();
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

  abort(resetCode: number = constants.NGHTTP2_INTERNAL_ERROR): void {
    this.#stream.close(resetCode);
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
    if (!this.#requestEnded) this.#closeBehindAnswer();
  }

  // ---- inside

  #readBody(exchange: Exchange): void {
    const stream = this.#stream;
    watchEnd(stream);
    stream.on("trailers", (_headers, _flags, list: HeaderList) => {
      const read = readHttp2Trailers(list);
      if (read.kind === "fields") this.#trailers = read.fields;
      else this.#exchange?.onRequestBroken(read.detail);
    });
    stream.on("end", () => {
      // A reset ends the stream too: what came is not whole.
      if (this.#exchange === undefined || !endCame(stream)) return;
      this.#requestEnded = true;
      this.#awaitsBody = false;
      this.#awaitAnswer();
      exchange.onRequestEnd(this.#trailers);
      exchange.onRequestFlush();
    });
    stream.on("data", (content: Buffer) => {
      passedThrough(content.length);
      if (this.#exchange === undefined) return;
      this.#boundBody();
      exchange.onRequestData(content);
      exchange.onRequestFlush();
    });
  }

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
    const stream = this.#stream;
    const now = this.#client.services.clock();
    this.deadlineAt = now + this.#stall.lookMs;
    const waiting = stream.writableLength;
    const isOver = this.#exchange === undefined;
    if (!this.#stall.lasts(now, waiting > 0 || isOver, this.#writer.takenBytes - waiting)) return;
    if (!stream.closed) {
      stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      this.#exchange?.onClientStalled();
    } else if (this.#exchange !== undefined) this.#exchange.onClientClosed();
    // Not even a reset was taken, which needs no window: the connection itself is stuck.
    else this.#client.destroy();
  }

  /** The answer is complete and the rest of the request not wanted (RFC 9113 section 8.1). */
  #closeBehindAnswer(): void {
    const stream = this.#stream;
    const close = (): void => stream.close(constants.NGHTTP2_NO_ERROR);
    // What still comes is read past: a stream with something unread does not close.
    stream.resume();
    // Once it is closed it cannot be reset any more, whatever the client does.
    if (stream.writableFinished || stream.closed) close();
    else stream.once("finish", close);
  }

  #refuse(code: ErrorCode, detail: string): void {
    this.#client.onRefused(code, detail);
    const { head, body } = errorAnswer(code, detail);
    this.sendHead(head, body.length);
    this.sendData(body);
    this.sendEnd([]);
    this.flush();
    this.onExchangeEnd();
  }

  #onClose(): void {
    this.#client.onStreamClosed(this.#stream.aborted);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#client.services.deadlines.delete(this);
    exchange?.onClientClosed();
  }
}

/** So that what is over before needs no look at the clock. */
const atNextSweep = Number.NEGATIVE_INFINITY;

/**
 * Whether the client has to send on. In a stream of messages (gRPC, Connect) the next one may be long in coming, and none may
 * be due before the other side has spoken.
 */
function isOwed(head: RequestHead, length: BodyLength): boolean {
  return typeof length === "number" || !isMessageType(findField(head.fields, "content-type")?.value);
}
