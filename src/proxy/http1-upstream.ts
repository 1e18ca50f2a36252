// An upstream connection that speaks HTTP/1.1: one request at a time, kept alive between them by the pool.

import type { Socket } from "node:net";
import { KeyswapError } from "../core/errors.ts";
import type { Field, RequestHead, ResponseHead } from "../core/message.ts";
import { type BodyLength, isPersistent } from "../core/wire/framing.ts";
import { type MessageHandler, type MessageLimits, ResponseReader } from "../core/wire/message-reader.ts";
import { lastChunk, writeRequestHead } from "../core/wire/writer.ts";
import { BatchWriter } from "./batch-writer.ts";
import { ceaseData, hearData } from "./direct-data.ts";
import type { Switched } from "./downstream.ts";
import type { UpstreamListener, UpstreamStream } from "./upstream.ts";

/** What a connection tells its pool. */
export interface Http1UpstreamOwner {
  /** The connection is free for another request. */
  onFree(connection: Http1Upstream): void;
  onGone(connection: Http1Upstream): void;
}

export class Http1Upstream implements UpstreamStream, MessageHandler<ResponseHead> {
  /** When it became free; for the pool. */
  freeSince = 0;

  readonly #socket: Socket;
  readonly #owner: Http1UpstreamOwner;
  readonly #reader: ResponseReader;
  readonly #writer: BatchWriter;
  #listener: UpstreamListener | undefined;
  #reused = false;
  #chunked = false;
  #requestEnded = false;
  #answerBegun = false;
  #answerEnded = false;
  #persistent = false;
  #switched = false;
  #gone = false;
  readonly #onData = (bytes: Buffer): void => this.#onBytes(bytes);
  readonly #onSocketEnd = (): void => this.#onEnd();
  readonly #onDrain = (): void => this.#listener?.onUpstreamDrain();

  constructor(socket: Socket, owner: Http1UpstreamOwner, limits: MessageLimits) {
    this.#socket = socket;
    this.#owner = owner;
    this.#reader = new ResponseReader(this, limits);
    this.#writer = new BatchWriter(socket);
    socket.on("error", (error) => this.#lose(error));
    socket.on("close", () => this.#lose(undefined));
    socket.on("end", this.#onSocketEnd);
    hearData(socket, this.#onData);
    socket.on("drain", this.#onDrain);
  }

  /** Whether it may be stale: it ran an exchange, or was kept for one. */
  get reused(): boolean {
    return this.#reused;
  }

  /** It is free, and waits for another request. */
  keep(now: number): void {
    this.freeSince = now;
    this.#reused = true;
  }

  /** Takes the connection for one request. */
  begin(listener: UpstreamListener): void {
    this.#listener = listener;
    this.#requestEnded = false;
    this.#answerBegun = false;
    this.#answerEnded = false;
    this.#persistent = false;
    // Between the moment it was lent and this one.
    if (this.#gone) queueMicrotask(() => this.#lose(undefined));
  }

  sendHead(head: RequestHead, target: string, length: BodyLength): void {
    this.#reader.method = head.method;
    this.#chunked = length === "chunked";
    this.#writer.text(writeRequestHead(head, target, length));
  }

  sendData(content: Buffer): void {
    if (content.length === 0) return;
    if (this.#chunked) this.#writer.chunk(content);
    else this.#writer.bytes(content);
  }

  sendEnd(trailers: readonly Field[]): void {
    if (this.#chunked) this.#writer.text(lastChunk(trailers));
    this.#requestEnded = true;
    if (this.#answerEnded) this.#settle();
  }

  flush(): boolean {
    return this.#writer.flush();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  switchProtocols(): Switched {
    const socket = this.#socket;
    this.#switched = true;
    this.#listener = undefined;
    socket.off("end", this.#onSocketEnd);
    ceaseData(socket, this.#onData);
    socket.off("drain", this.#onDrain);
    socket.pause();
    return { socket, rest: this.#reader.takeRest() };
  }

  abort(): void {
    this.#listener = undefined;
    this.destroy();
  }

  /** The pool is told at once, not when the socket has closed: until then it could be lent. */
  destroy(): void {
    this.#socket.destroy();
    this.#leave();
  }

  // MessageHandler: what the reader found in the bytes.

  onHead(head: ResponseHead, length: BodyLength): void {
    if (head.status < 200 && head.status !== 101) {
      this.#listener?.onInterim(head);
      return;
    }
    this.#answerBegun = true;
    this.#persistent = isPersistent(head) && length !== "close" && head.status !== 101;
    this.#listener?.onAnswerHead(head, length);
  }

  onData(content: Buffer): void {
    this.#listener?.onAnswerData(content);
  }

  onEnd(trailers: readonly Field[]): void {
    if (this.#switched) return;
    this.#answerEnded = true;
    const listener = this.#listener;
    // An answer that came before the request was complete: the leg is in doubt and not used again.
    if (this.#requestEnded) this.#settle();
    else this.#persistent = false;
    listener?.onAnswerEnd(trailers);
    listener?.onAnswerFlush();
    if (!this.#requestEnded) this.abort();
  }

  onFault(_fault: "malformed" | "too-large", detail: string): void {
    this.#fail(new KeyswapError("upstream-malformed", detail), false);
  }

  #onBytes(bytes: Buffer): void {
    const listener = this.#listener;
    if (listener === undefined) {
      // Bytes that nobody asked for: whatever follows could be taken for the next answer.
      this.destroy();
      return;
    }
    this.#reader.push(bytes);
    if (this.#listener === listener) listener.onAnswerFlush();
  }

  #onEnd(): void {
    if (this.#listener !== undefined && this.#reader.finish() && this.#answerEnded) return;
    this.#lose(undefined);
  }

  /** The exchange is over on this leg: back to the pool, or closed. */
  #settle(): void {
    this.#listener = undefined;
    // More bytes than the answer had: the connection is in doubt.
    if (this.#persistent && this.#reader.takeRest() === undefined && !this.#gone) {
      this.#reader.next();
      this.#socket.resume();
      this.#owner.onFree(this);
    } else {
      this.destroy();
    }
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#owner.onGone(this);
  }

  #lose(error: Error | undefined): void {
    this.#leave();
    const detail = error === undefined ? undefined : (error as NodeJS.ErrnoException).code;
    this.#fail(
      new KeyswapError("upstream-closed", detail, { cause: error }),
      this.#reused && !this.#answerBegun && this.#reader.idle,
    );
  }

  #fail(error: KeyswapError, stale: boolean): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.destroy();
    listener?.onUpstreamLost(error, stale);
  }
}
