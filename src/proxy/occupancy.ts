// Who holds how many connections: each sandbox up to its bound, and those that have not said yet whose they are up to
// theirs, so that neither one sandbox nor a crowd of strangers keeps the others out.

import type { Duplex } from "node:stream";
import type { ConnectionCounts } from "../core/ports.ts";

export class Occupancy {
  readonly #maxPerSandbox: number;
  readonly #held = new Map<string, number>();

  constructor(maxPerSandbox: number) {
    this.#maxPerSandbox = maxPerSandbox;
  }

  /** Takes a place; false where the sandbox has as many as it may. Whoever got one gives it back, once. */
  take(sandboxId: string): boolean {
    const held = this.#held.get(sandboxId) ?? 0;
    if (held >= this.#maxPerSandbox) return false;
    this.#held.set(sandboxId, held + 1);
    return true;
  }

  release(sandboxId: string): void {
    const held = this.#held.get(sandboxId) ?? 0;
    if (held > 1) this.#held.set(sandboxId, held - 1);
    else this.#held.delete(sandboxId);
  }

  /** A place for as long as the socket is open. */
  takeFor(sandboxId: string, socket: Duplex): boolean {
    if (socket.destroyed || !this.take(sandboxId)) return false;
    socket.once("close", () => this.release(sandboxId));
    return true;
  }

  /** How many places of this sandbox are taken. */
  heldBy(sandboxId: string): number {
    return this.#held.get(sandboxId) ?? 0;
  }

  /** The places that are taken, by sandbox: at most `max` sandboxes, the busiest. */
  counts(max: number): ConnectionCounts {
    let listed = [...this.#held];
    let others = 0;
    if (listed.length > max) {
      listed.sort(([, a], [, b]) => b - a);
      for (const [, held] of listed.slice(max)) others += held;
      listed = listed.slice(0, max);
    }
    return { bySandbox: Object.fromEntries(listed), others };
  }
}

/**
 * Connections of which nobody knows yet whose they are: no whole request, a handshake that is half done. Where there are
 * too many, the oldest goes: it had the longest to speak, and a crowd that keeps silent pushes out only itself.
 */
export class Newcomers {
  readonly #max: number;
  /** In the order in which they came. */
  readonly #waiting = new Set<Duplex>();
  /** The TCP socket under a TLS one. */
  readonly #under = new WeakMap<Duplex, Duplex>();

  constructor(max: number) {
    this.#max = max;
  }

  add(socket: Duplex): void {
    this.#waiting.add(socket);
    socket.once("close", () => this.#waiting.delete(socket));
    if (this.#waiting.size <= this.#max) return;
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#waiting.delete(oldest);
    oldest.destroy();
  }

  /** `secure` is the same connection, opened up. */
  wrap(socket: Duplex, secure: Duplex): void {
    this.#under.set(secure, socket);
  }

  /** It is known whose this is. */
  settle(socket: Duplex): void {
    this.#waiting.delete(this.#under.get(socket) ?? socket);
  }

  get size(): number {
    return this.#waiting.size;
  }
}
