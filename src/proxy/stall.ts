// Whether a peer takes what waits for it. Looked at now and then, because what flows should not pay for being watched: a
// peer is called stalled only if something waited at every look, and not one piece of it was taken in between.

import type { Writable } from "node:stream";

/** How many looks fit into the bound: a stall is noticed by a quarter of the bound late. */
const looks = 4;

export class Stall {
  readonly #maxMs: number;
  /** At the last look at which something had been taken, or nothing waited. */
  #since = Number.POSITIVE_INFINITY;
  #taken = -1;

  /** `maxMs`: how long nothing may be taken of what waits. */
  constructor(maxMs: number) {
    this.#maxMs = maxMs;
  }

  /** Milliseconds between two looks. */
  get lookMs(): number {
    return this.#maxMs / looks;
  }

  /** Looks. `waits`: something is there for the peer; `taken`: how many bytes it took so far, in all. */
  lasts(now: number, waits: boolean, taken: number): boolean {
    if (!waits || taken !== this.#taken) {
      this.#taken = taken;
      this.#since = now;
      return false;
    }
    return now - this.#since >= this.#maxMs;
  }

  /** The same for a socket: what the kernel has not taken yet waits. `waits`: something does, were it only the end. */
  lastsOn(
    socket: Writable & { readonly bytesWritten: number },
    now: number,
    waits: boolean = socket.writableLength > 0,
  ): boolean {
    // Node counts what waits as written.
    return this.lasts(now, waits, socket.bytesWritten - socket.writableLength);
  }
}
