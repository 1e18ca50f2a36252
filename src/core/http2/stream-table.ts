// The streams of one connection by their numbers, and what is known of those that are not open (RFC 9113 section 5.1.1).

import type { Http2Stream } from "./stream.ts";

/** Streams that we gave up and that the other side may still be sending on. */
const maxForgotten = 1_000;

export class StreamTable {
  /** The youngest stream that the client opened. */
  last = 0;
  readonly #open = new Map<number, Http2Stream>();
  /** Requests that did not go out yet. */
  readonly #unopened = new Set<Http2Stream>();
  /** Of streams that we gave up, the youngest: what still comes for them is nobody's fault. */
  readonly #forgotten = new Set<number>();

  get size(): number {
    return this.#open.size + this.#unopened.size;
  }

  get(id: number): Http2Stream | undefined {
    return this.#open.get(id);
  }

  all(): Http2Stream[] {
    return [...this.#open.values(), ...this.#unopened];
  }

  /** A stream that the client opened. */
  add(stream: Http2Stream): void {
    this.last = stream.id;
    this.#open.set(stream.id, stream);
  }

  /** A request that waits for its number. */
  addUnopened(stream: Http2Stream): void {
    this.#unopened.add(stream);
  }

  /** Gives it the next number. */
  number(stream: Http2Stream): void {
    this.#unopened.delete(stream);
    stream.id = this.last === 0 ? 1 : this.last + 2;
    this.add(stream);
  }

  delete(stream: Http2Stream): void {
    this.#open.delete(stream.id);
    this.#unopened.delete(stream);
  }

  forget(id: number): void {
    const forgotten = this.#forgotten;
    forgotten.add(id);
    if (forgotten.size <= maxForgotten) return;
    for (const oldest of forgotten) {
      forgotten.delete(oldest);
      break;
    }
  }

  isForgotten(id: number): boolean {
    return this.#forgotten.has(id);
  }

  /** It was never opened. Nobody pushes: only a client's numbers, which are odd, are in use. */
  isIdle(id: number): boolean {
    return (id & 1) === 0 || id > this.last;
  }
}
