// Rewriting WebSocket messages, one direction of a connection. A message up to the bound is gathered and rewritten whole, so
// that it is judged by what holds when it goes out, and goes out as one frame; a longer one goes on as fragments, as it
// comes (RFC 6455 section 5.4 lets intermediaries do so where no extension was agreed on).

import type { BodyTransform } from "../message.ts";
import type { MessageKind } from "../wire/websocket.ts";

/** Takes a frame's payload. `begins`, `ends`: of its message. */
export type SendFragment = (kind: MessageKind, payload: Buffer, begins: boolean, ends: boolean) => void;

/** `beginning`: the message, or more of it than the bound. */
export type MakeMessageTransform = (kind: MessageKind, beginning: Buffer) => BodyTransform;

const nothing = Buffer.alloc(0);

export class WebSocketMessages {
  readonly #makeTransform: MakeMessageTransform;
  readonly #maxHeldBytes: number;
  readonly #send: SendFragment;

  #kind: MessageKind = "text";
  #ends = false;
  /** What of a message has come: the beginning of `#room`, or a view as long as it came in one piece. */
  #held: Buffer = nothing;
  #room: Buffer | undefined;
  /** Of a message that goes on as fragments. */
  #streaming: BodyTransform | undefined;
  #begun = false;

  constructor(makeTransform: MakeMessageTransform, maxHeldBytes: number, send: SendFragment) {
    this.#makeTransform = makeTransform;
    this.#maxHeldBytes = maxHeldBytes;
    this.#send = send;
  }

  /**
   * A stretch of a message. May return the lookup key of a placeholder that is not known yet: have it looked up, then call
   * `resume`; nothing may be pushed before.
   */
  push(kind: MessageKind, content: Buffer, ends: boolean): string | undefined {
    this.#kind = kind;
    this.#ends = ends;
    if (this.#streaming !== undefined) return this.#stream(content);
    this.#hold(content);
    if (this.#held.length > this.#maxHeldBytes) {
      const held = this.#takeHeld();
      this.#streaming = this.#makeTransform(kind, held);
      return this.#stream(held);
    }
    return ends ? this.#rewriteWhole() : undefined;
  }

  resume(): string | undefined {
    return this.#streaming === undefined ? this.#rewriteWhole() : this.#stream(nothing);
  }

  /** Nothing has gone out yet, so a key that is looked up has all of it judged anew. */
  #rewriteWhole(): string | undefined {
    const pieces: Buffer[] = [];
    const emit = (bytes: Buffer): number => pieces.push(bytes);
    const transform = this.#makeTransform(this.#kind, this.#held);
    const key = transform.push(this.#held, emit) ?? transform.end(emit);
    if (key !== undefined) return key;
    this.#takeHeld();
    this.#send(this.#kind, join(pieces), true, true);
    return undefined;
  }

  #stream(content: Buffer): string | undefined {
    const pieces: Buffer[] = [];
    const emit = (bytes: Buffer): number => pieces.push(bytes);
    let key = this.#streaming?.push(content, emit);
    if (key === undefined && this.#ends) key = this.#streaming?.end(emit);
    const ends = this.#ends && key === undefined;
    if (pieces.length > 0 || ends) {
      const begins = !this.#begun;
      this.#begun = !ends;
      if (ends) this.#streaming = undefined;
      this.#send(this.#kind, join(pieces), begins, ends);
    }
    return key;
  }

  /** Pieces are copied together: many small ones would each keep the memory alive that they are views into. */
  #hold(content: Buffer): void {
    const before = this.#held.length;
    if (before === 0) {
      this.#held = content;
      return;
    }
    const length = before + content.length;
    if (this.#room === undefined || this.#room.length < length) {
      const room = Buffer.allocUnsafe(length * 2);
      room.set(this.#held);
      this.#room = room;
    }
    this.#room.set(content, before);
    this.#held = this.#room.subarray(0, length);
  }

  #takeHeld(): Buffer {
    const held = this.#held;
    this.#held = nothing;
    this.#room = undefined;
    return held;
  }
}

function join(pieces: readonly Buffer[]): Buffer {
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
}
