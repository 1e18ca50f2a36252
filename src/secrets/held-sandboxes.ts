// Sandboxes whose grants somebody depends on without asking for them. Where changes are pushed this costs nothing; where
// they are polled, nobody else would look: a tunnel to a host that came to be granted would stay open for ever.

import type { Timers } from "./timers.ts";

/** However short the TTL is, a sandbox is not looked at more often. */
const shortestRoundMs = 1000;

export class HeldSandboxes {
  readonly #timers: Timers;
  readonly #roundMs: number;
  readonly #look: (sandboxId: string) => void;
  /** How many hold it. */
  readonly #holders = new Map<string, number>();
  #cancel: (() => void) | undefined;
  #closed = false;

  /** `look` is called for each held sandbox once per TTL and has to see to it that its answer is fresh. */
  constructor(timers: Timers, ttlMs: number, look: (sandboxId: string) => void) {
    this.#timers = timers;
    this.#roundMs = Math.max(ttlMs, shortestRoundMs);
    this.#look = look;
  }

  has(sandboxId: string): boolean {
    return this.#holders.has(sandboxId);
  }

  /** Returns the function that lets go; calling it again does nothing. */
  hold(sandboxId: string): () => void {
    this.#holders.set(sandboxId, (this.#holders.get(sandboxId) ?? 0) + 1);
    if (this.#cancel === undefined && !this.#closed) this.#schedule();
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const others = (this.#holders.get(sandboxId) ?? 1) - 1;
      if (others > 0) this.#holders.set(sandboxId, others);
      else this.#holders.delete(sandboxId);
    };
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#holders.clear();
  }

  #schedule(): void {
    this.#cancel = this.#timers.after(this.#roundMs, () => {
      this.#cancel = undefined;
      if (this.#holders.size === 0) return;
      for (const sandboxId of this.#holders.keys()) this.#look(sandboxId);
      this.#schedule();
    });
  }
}
