// A client's HTTP/1.1 connection, plain or TLS: reads requests one at a time, runs an exchange for each, writes answers.

import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { ErrorCode } from "../core/errors.ts";
import type { Field, RequestHead, ResponseHead } from "../core/message.ts";
import { type BodyLength, isPersistent } from "../core/wire/framing.ts";
import { type MessageHandler, RequestReader } from "../core/wire/message-reader.ts";
import { lastChunk, writeResponseHead } from "../core/wire/writer.ts";
import { errorAnswer } from "./answer.ts";
import { BatchWriter } from "./batch-writer.ts";
import type { Timed } from "./deadlines.ts";
import { ceaseData, hearData } from "./direct-data.ts";
import type { Downstream, Switched } from "./downstream.ts";
import { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";
import type { Services } from "./services.ts";
import { Stall } from "./stall.ts";

/** What is to be done with a request. */
export type Routing =
  | { readonly kind: "exchange"; readonly route: Route /** Origin-form. */; readonly target: string }
  | { readonly kind: "refuse"; readonly code: ErrorCode; readonly detail?: string }
  /** The connection is somebody else's from here on (CONNECT). */
  | { readonly kind: "takeover"; readonly take: (socket: Socket, rest: Buffer | undefined) => void };

export interface Http1ClientOwner {
  route(head: RequestHead): Routing;
  /** A request that was answered without an exchange. */
  onRefused(code: ErrorCode, detail: string | undefined): void;
  onClosed(client: Http1Client): void;
}

/** How long a connection that is to be closed goes on reading, so that a reset does not overtake the answer. */
const lingerMs = 2_000;
/** How long an idle connection is kept when the proxy drains. */
const drainIdleMs = 500;

export class Http1Client implements Downstream, MessageHandler<RequestHead>, Timed {
  readonly protocol = "http/1.1";
  deadlineAt: number;

  readonly #services: Services;
  readonly #socket: Socket;
  readonly #owner: Http1ClientOwner;
  readonly #reader: RequestReader;
  readonly #writer: BatchWriter;
  #exchange: Exchange | undefined;
  #minor: 0 | 1 = 1;
  #chunked = false;
  #close = false;
  #answerBegun = false;
  #lingering = false;
  #takenOver = false;
  #reading = false;
  #nextWanted = false;
  #inputEnded = false;
  /** More of the request's body has to come before there is an answer. */
  #awaitsBody = false;
  #isPaused = false;
  /** Some of the answer waits for the client: it is looked at now and then whether it takes any. */
  #isWatched = false;
  /** From the first time on that something had to wait. */
  #stall: Stall | undefined;
  readonly #onData = (bytes: Buffer): void => this.#onBytes(bytes);
  readonly #onDrain = (): void => this.#onDrained();
  readonly #onEnd = (): void => this.#onInputEnd();
  readonly #onClose = (): void => this.#onSocketClosed();

  constructor(services: Services, socket: Socket, owner: Http1ClientOwner) {
    this.#services = services;
    this.#socket = socket;
    this.#owner = owner;
    this.#reader = new RequestReader(this, services.options.limits.message);
    this.#writer = new BatchWriter(socket);
    this.deadlineAt = services.clock() + services.options.limits.headTimeoutMs;
    services.deadlines.add(this);
    socket.on("close", this.#onClose);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    hearData(socket, this.#onData);
    // Whoever looked at the first bytes left it paused.
    socket.resume();
  }

  /** No exchange is running. */
  get idle(): boolean {
    return this.#exchange === undefined;
  }

  /**
   * The proxy drains: close as soon as nothing runs. A client that is between two requests may be sending the next one now: it gets
   * a while in which a request is still answered, with the word that the connection ends.
   */
  drain(): void {
    this.#exchange?.onDrain();
    this.#close = true;
    if (this.idle && this.#reader.idle && !this.#lingering) {
      this.deadlineAt = Math.min(this.deadlineAt, this.#services.clock() + drainIdleMs);
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }

  onDeadline(): void {
    const exchange = this.#exchange;
    if (this.#isWatched && exchange !== undefined) {
      if (!this.#takes()) exchange.onClientStalled();
    } else if (this.#awaitsBody && !this.#isPaused) exchange?.onRequestStalled();
    else if (exchange !== undefined) exchange.onTimeout();
    else if (this.#lingering) {
      if (this.#socket.writableFinished || !this.#takes()) this.#socket.destroy();
    } else if (this.#reader.idle && this.#services.draining) this.#linger();
    else if (this.#reader.idle) {
      // Its last answer may still be on its way.
      if (this.#socket.writableLength > 0 && this.#takes()) this.#boundIdle();
      else this.#socket.destroy();
    } else this.#answerError("request-timeout", undefined);
  }

  // ---- Downstream

  sendInterim(head: ResponseHead): void {
    this.#writer.text(writeResponseHead(head, undefined, false));
  }

  sendHead(head: ResponseHead, length: BodyLength | undefined): void {
    this.#answerBegun = true;
    this.#awaitsBody = false;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    if (this.#inputEnded) this.#boundHalfClosed();
    let framed = length;
    // HTTP/1.0 knows no chunks (RFC 9112 section 6.1): the connection's end ends the body.
    if (framed === "chunked" && this.#minor === 0) framed = "close";
    if (framed === "close" || this.#services.draining) this.#close = true;
    this.#chunked = framed === "chunked";
    this.#writer.text(writeResponseHead(head, framed, this.#close));
  }

  sendData(content: Buffer): void {
    if (content.length === 0) return;
    if (this.#inputEnded) this.#boundHalfClosed();
    if (this.#chunked) this.#writer.chunk(content);
    else this.#writer.bytes(content);
  }

  sendEnd(trailers: readonly Field[]): void {
    if (this.#chunked) this.#writer.text(lastChunk(trailers));
  }

  flush(isAll?: boolean): boolean {
    const isTaken = this.#writer.flush(isAll);
    if (!isTaken && this.#answerBegun && !this.#isWatched) {
      this.#isWatched = true;
      this.#takes();
    }
    return isTaken;
  }

  abort(): void {
    this.#close = true;
    const socket = this.#socket;
    // An answer that ends with the connection would pass for whole. TLS tells a broken end by the missing close_notify,
    // plain TCP only by a reset.
    if (socket instanceof TLSSocket || socket.destroyed) socket.destroy();
    else socket.resetAndDestroy();
  }

  pauseRequest(): void {
    this.#isPaused = true;
    // It is the destination that takes nothing.
    if (this.#awaitsBody) this.deadlineAt = this.#services.clock() + this.#services.options.limits.answerTimeoutMs;
    this.#socket.pause();
  }

  resumeRequest(): void {
    this.#isPaused = false;
    this.#boundBody();
    this.#socket.resume();
  }

  switchProtocols(head: ResponseHead): Switched {
    this.#writer.text(writeResponseHead(head, undefined, false));
    this.#writer.flushNow();
    this.deadlineAt = Number.POSITIVE_INFINITY;
    this.#leaveSocket();
    return { socket: this.#socket, rest: this.#reader.takeRest() };
  }

  onExchangeEnd(requestComplete: boolean): void {
    this.#exchange = undefined;
    this.#awaitsBody = false;
    this.#isPaused = false;
    this.#isWatched = false;
    if (this.#socket.destroyed) return;
    if (!requestComplete || this.#close || (this.#inputEnded && !this.#reader.keepsBytes)) {
      this.#linger();
      return;
    }
    this.#boundIdle();
    this.#nextWanted = true;
    this.#socket.resume();
    this.#readOn();
  }

  // ---- MessageHandler

  onHead(head: RequestHead, length: BodyLength): void {
    this.#minor = head.minor;
    this.#close = this.#close || !isPersistent(head);
    this.#answerBegun = false;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    const routing = this.#owner.route(head);
    switch (routing.kind) {
      case "exchange": {
        const { target } = routing;
        const routed = target === head.target ? head : { ...head, target };
        const exchange = new Exchange(this.#services, routing.route, this, routed, length);
        this.#exchange = exchange;
        this.#awaitsBody = length !== 0;
        this.#boundBody();
        exchange.begin();
        break;
      }
      case "refuse":
        this.#owner.onRefused(routing.code, routing.detail);
        this.#answerError(routing.code, routing.detail);
        break;
      case "takeover":
        this.#takenOver = true;
        this.#take = routing.take;
        break;
      default:
        routing satisfies never;
    }
  }

  onData(content: Buffer): void {
    this.#exchange?.onRequestData(content);
  }

  onEnd(trailers: readonly Field[]): void {
    const exchange = this.#exchange;
    this.#awaitsBody = false;
    if (exchange === undefined) return;
    if (!this.#answerBegun) this.deadlineAt = this.#services.clock() + this.#services.options.limits.answerTimeoutMs;
    else if (!this.#isWatched) this.deadlineAt = Number.POSITIVE_INFINITY;
    exchange.onRequestEnd(trailers);
  }

  onFault(fault: "malformed" | "too-large", detail: string): void {
    const code = fault === "malformed" ? "bad-request" : "head-too-large";
    if (this.#exchange !== undefined) {
      // In the middle of a body: what was forwarded of it must not pass for whole.
      this.#close = true;
      this.#exchange.onRequestBroken(detail);
      return;
    }
    this.#owner.onRefused(code, detail);
    this.#answerError(code, detail);
  }

  // ---- inside

  #take: ((socket: Socket, rest: Buffer | undefined) => void) | undefined;

  #onBytes(bytes: Buffer): void {
    if (this.#lingering) return;
    if (this.#exchange === undefined && this.#reader.idle) {
      this.deadlineAt = this.#services.clock() + this.#services.options.limits.headTimeoutMs;
    }
    this.#boundBody();
    this.#reading = true;
    this.#reader.push(bytes);
    this.#reading = false;
    this.#readOn();
    if (this.#takenOver) {
      this.#handOver();
      return;
    }
    // What comes after a whole request waits, unread beyond what has arrived.
    if (this.#reader.held && this.#exchange !== undefined && this.#reader.keepsBytes) this.#socket.pause();
    this.#exchange?.onRequestFlush();
  }

  /** Goes on to the next request; a loop, because pipelined requests that are answered at once would nest. */
  #readOn(): void {
    if (this.#reading) return;
    while (this.#nextWanted && !this.#lingering) {
      this.#nextWanted = false;
      this.#reading = true;
      this.#reader.next();
      this.#reading = false;
      if (this.#inputEnded && !this.#nextWanted && !this.#takenOver) this.#onInputEnd();
    }
    if (this.#takenOver) this.#handOver();
  }

  #handOver(): void {
    const take = this.#take;
    if (take === undefined) return;
    this.#take = undefined;
    // The answer before goes out before whatever is said next.
    this.#writer.flushNow();
    this.#services.deadlines.delete(this);
    this.#leaveSocket();
    this.#socket.off("close", this.#onClose);
    this.#owner.onClosed(this);
    take(this.#socket, this.#reader.takeRest());
  }

  /** All that is still heard of it is its close. */
  #leaveSocket(): void {
    const socket = this.#socket;
    ceaseData(socket, this.#onData);
    socket.off("drain", this.#onDrain);
    socket.off("end", this.#onEnd);
    socket.pause();
  }

  #answerError(code: ErrorCode, detail: string | undefined): void {
    const { head, body } = errorAnswer(code, detail);
    this.#close = true;
    this.sendHead(head, body.length);
    this.sendData(body);
    this.#linger();
  }

  /** Ends the connection gracefully: the answer first, then a while of reading past what still arrives. */
  #linger(): void {
    this.#lingering = true;
    this.#isWatched = false;
    // What the client has not taken yet is not cut off; only then does the clock of the lingering run.
    this.#socket.once("finish", () => {
      this.deadlineAt = this.#services.clock() + lingerMs;
    });
    this.#writer.end();
    this.#takes();
    this.#socket.resume();
  }

  #onInputEnd(): void {
    this.#inputEnded = true;
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.#writer.end();
      return;
    }
    // A request whose body broke off can never be completed; a whole one is still answered (half-closed connection).
    if (!this.#reader.held) exchange.onClientClosed();
    else this.#boundHalfClosed();
  }

  /** Whether the client took any of what waits for it, the end too, within the bound: then it is looked at again. */
  #takes(): boolean {
    const { clock, options } = this.#services;
    this.#stall ??= new Stall(options.limits.stallTimeoutMs);
    const now = clock();
    this.deadlineAt = now + this.#stall.lookMs;
    return !this.#stall.lastsOn(this.#socket, now, true);
  }

  #boundIdle(): void {
    this.deadlineAt = this.#services.clock() + this.#services.options.limits.idleTimeoutMs;
  }

  /** The next bytes of the body have so much time. */
  #boundBody(): void {
    if (!this.#awaitsBody || this.#isPaused) return;
    this.deadlineAt = this.#services.clock() + this.#services.options.limits.bodyTimeoutMs;
  }

  #onDrained(): void {
    if (this.#isWatched) {
      this.#isWatched = false;
      this.deadlineAt = Number.POSITIVE_INFINITY;
      if (this.#inputEnded) this.#boundHalfClosed();
    }
    this.#exchange?.onClientDrain();
  }

  /** A client that is gone looks like one that only ended its direction, until something is written to it. */
  #boundHalfClosed(): void {
    const { halfClosedTimeoutMs } = this.#services.options.limits;
    this.deadlineAt = this.#services.clock() + halfClosedTimeoutMs;
  }

  #onSocketClosed(): void {
    this.#services.deadlines.delete(this);
    this.#owner.onClosed(this);
    this.#exchange?.onClientClosed();
  }
}
