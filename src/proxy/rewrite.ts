// Drives a body through a transform of the core: input in, rewritten bytes out, a stop wherever a placeholder has to be
// looked up first. What arrives during a stop waits here; the feeder is told to hold back.

import type { BodyTransform } from "../core/message.ts";

export interface RewriteListener {
  onRewritten(bytes: Buffer): void;
  onRewriteEnd(): void;
  /** Nothing goes on until `resume`. */
  onUnknownKey(key: string): void;
  /** Feeding can go on after `push` answered false. */
  onRewriteDrain(): void;
  onRewriteFault(fault: RewriteFault): void;
}

/** The body is not what its Content-Encoding says, comes to more than the bound, or is no readable messages. */
export type RewriteFault = "malformed-coding" | "too-large" | "malformed-messages";

export interface Rewrite {
  /** Output comes in turns of its own, not within `push`: whoever writes it has to flush. */
  readonly ownTurns: boolean;
  /** False: hold back until `onRewriteDrain`. */
  push(content: Buffer): boolean;
  end(): void;
  /** After `onUnknownKey`: the key was looked up. */
  resume(): void;
  /** The receiver of the output cannot take more, and can again. Only rewrites with turns of their own need it. */
  hold(): void;
  release(): void;
  /** Frees what the rewrite holds; nothing more is heard. */
  destroy(): void;
}

const NOTHING = Buffer.alloc(0);

/** A rewrite of a body without content coding: synchronous. */
export class PlainRewrite implements Rewrite {
  readonly ownTurns = false;
  readonly #transform: BodyTransform;
  readonly #listener: RewriteListener;
  readonly #emit: (bytes: Buffer) => void;
  #waiting: Buffer[] | undefined;
  #ending = false;
  #destroyed = false;

  constructor(transform: BodyTransform, listener: RewriteListener) {
    this.#transform = transform;
    this.#listener = listener;
    this.#emit = (bytes) => listener.onRewritten(bytes);
  }

  push(content: Buffer): boolean {
    if (this.#destroyed) return true;
    if (this.#waiting !== undefined) {
      this.#waiting.push(content);
      return false;
    }
    const key = this.#transform.push(content, this.#emit);
    if (key === undefined) return true;
    this.#stop(key);
    // A lookup that was answered at once has resumed already.
    return this.#waiting === undefined;
  }

  end(): void {
    if (this.#destroyed) return;
    this.#ending = true;
    if (this.#waiting !== undefined) return;
    const key = this.#transform.end(this.#emit);
    if (key === undefined) this.#listener.onRewriteEnd();
    else this.#stop(key);
  }

  resume(): void {
    if (this.#destroyed || this.#waiting === undefined) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting.unshift(NOTHING);
    for (let at = 0; at < waiting.length; at++) {
      const key = this.#transform.push(waiting[at] ?? NOTHING, this.#emit);
      if (key === undefined) continue;
      this.#stop(key, waiting.slice(at + 1));
      return;
    }
    if (this.#ending) this.end();
    else this.#listener.onRewriteDrain();
  }

  hold(): void {
    // Output is bounded by the input of the same turn.
  }

  release(): void {
    // See hold.
  }

  destroy(): void {
    this.#destroyed = true;
    this.#waiting = undefined;
  }

  #stop(key: string, waiting: Buffer[] = []): void {
    this.#waiting = waiting;
    this.#listener.onUnknownKey(key);
  }
}
