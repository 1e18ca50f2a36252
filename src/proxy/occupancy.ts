// Who holds how many connections: each sandbox up to its bound, so that none keeps the others out. (Those that have not
// said yet whose they are: Newcomers.)

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
