// One side of a WebSocket: its socket, the frames that come from it and go to it, and how far its closing handshake is.

import type { Socket } from "node:net";
import {
  type ControlOpcode,
  type FrameHandler,
  type MessageKind,
  type Opcode,
  opcodes,
  WebSocketReader,
} from "../core/wire/websocket.ts";
import { closePayload, writeFrame } from "../core/wire/websocket-writer.ts";
import { BatchWriter } from "./batch-writer.ts";
import type { Switched } from "./downstream.ts";
import { Stall } from "./stall.ts";

/** Hears what the other side does. */
export interface WebSocketLegOwner {
  onPart(leg: WebSocketLeg, kind: MessageKind, content: Buffer, ends: boolean): void;
  onControl(leg: WebSocketLeg, opcode: ControlOpcode, payload: Buffer): void;
  /** The peer broke the protocol; nothing more is read. */
  onFault(leg: WebSocketLeg, code: number, detail: string): void;
  /** Ends each turn in which the leg brought something. */
  onTurn(leg: WebSocketLeg): void;
  /** It can take more. */
  onDrain(leg: WebSocketLeg): void;
  /** The peer ended its direction. */
  onEnd(leg: WebSocketLeg): void;
  onClosed(leg: WebSocketLeg): void;
}

export class WebSocketLeg implements FrameHandler {
  closeSent = false;
  closeReceived = false;
  /** The peer ended its direction. */
  isEnded = false;
  isClosed = false;

  readonly #owner: WebSocketLegOwner;
  readonly #socket: Socket;
  readonly #reader: WebSocketReader;
  readonly #writer: BatchWriter;
  /** Makes a masking key, where we are the client. */
  readonly #makeKey: (() => Buffer) | undefined;
  readonly #rest: Buffer | undefined;
  readonly #stall: Stall;
  #isHeld = false;
  #isFull = false;

  constructor(
    owner: WebSocketLegOwner,
    { socket, rest }: Switched,
    makeKey: (() => Buffer) | undefined,
    stallTimeoutMs: number,
  ) {
    this.#owner = owner;
    this.#stall = new Stall(stallTimeoutMs);
    this.#socket = socket;
    this.#rest = rest;
    this.#makeKey = makeKey;
    // Either the peer is a client or we are.
    this.#reader = new WebSocketReader(this, makeKey === undefined);
    this.#writer = new BatchWriter(socket);
  }

  start(): void {
    const socket = this.#socket;
    socket.on("close", () => {
      this.isClosed = true;
      this.#owner.onClosed(this);
    });
    socket.on("end", () => {
      this.isEnded = true;
      this.#owner.onEnd(this);
    });
    socket.on("drain", () => this.#owner.onDrain(this));
    socket.on("data", (bytes: Buffer) => this.#onBytes(bytes));
    if (this.#rest !== undefined) this.#onBytes(this.#rest);
    this.#steer();
  }

  /** Nothing follows a close frame (RFC 6455 section 5.5.1): what comes after one is dropped. */
  send(opcode: Opcode, payload: Buffer, isFinal = true): void {
    if (this.closeSent) return;
    if (opcode === opcodes.close) this.closeSent = true;
    const [head, content] = writeFrame(opcode, payload, { isFinal, key: this.#makeKey?.() });
    this.#writer.bytes(head);
    this.#writer.bytes(content);
  }

  /** When to ask again whether it stalls, in milliseconds. */
  get lookMs(): number {
    return this.#stall.lookMs;
  }

  /** Its peer takes nothing of what waits for it. */
  stalls(now: number): boolean {
    return this.#stall.lastsOn(this.#socket, now);
  }

  /** Writes what was sent. False: wait for `onDrain`. */
  flush(): boolean {
    return this.#writer.flush();
  }

  /** Ends our direction behind what was sent. */
  end(): void {
    this.#writer.end();
  }

  /** Says that it is over. What still comes is read past, so that no reset overtakes the close frame. */
  close(code: number, reason?: string): void {
    this.send(opcodes.close, closePayload(code, reason));
    this.end();
    this.#isFull = false;
    this.release();
  }

  /** Stops and restarts reading frames: something has to be looked up first. */
  hold(): void {
    this.#isHeld = true;
    this.#reader.hold();
  }

  release(): void {
    this.#isHeld = false;
    this.#reader.release();
    this.#steer();
  }

  /** The other side is full, or can take more. */
  throttle(isFull: boolean): void {
    this.#isFull = isFull;
    this.#steer();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // ---- FrameHandler

  onMessagePart(kind: MessageKind, content: Buffer, ends: boolean): void {
    this.#owner.onPart(this, kind, content, ends);
  }

  onControl(opcode: ControlOpcode, payload: Buffer): void {
    if (opcode === opcodes.close) this.closeReceived = true;
    this.#owner.onControl(this, opcode, payload);
  }

  onFault(code: number, detail: string): void {
    this.#owner.onFault(this, code, detail);
  }

  // ---- inside

  #onBytes(bytes: Buffer): void {
    this.#reader.push(bytes);
    this.#owner.onTurn(this);
  }

  #steer(): void {
    if (this.#isHeld || this.#isFull) this.#socket.pause();
    else this.#socket.resume();
  }
}
