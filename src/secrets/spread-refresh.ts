// Fetches what is stale on every proxy at once, slowly: after a reset, or a change of a widely mounted secret, a thousand
// proxies that each asked for all they hold would be an attack on the API. Whoever is used meanwhile is fetched at once by
// that use; this is for the others, whose next request then need not wait.

import type { Timers } from "./timers.ts";

export interface SpreadRefreshOptions {
  /** False: nobody has to be asked, and the next one is looked at without a pause. */
  needsFetch(sandboxId: string): boolean;
  /** Never rejects. */
  refetch(sandboxId: string): Promise<void>;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
}

/** From one fetch's end to the next one's beginning, on average: up to four a second. */
export const meanPauseMs = 250;

export class SpreadRefresh {
  readonly #options: SpreadRefreshOptions;
  /** In the order of arrival; a sandbox stands in it once. */
  readonly #waiting = new Set<string>();
  #running = false;
  #cancel: () => void = () => undefined;
  #closed = false;

  constructor(options: SpreadRefreshOptions) {
    this.#options = options;
  }

  add(sandboxIds: Iterable<string>): void {
    if (this.#closed) return;
    for (const sandboxId of sandboxIds) this.#waiting.add(sandboxId);
    if (this.#running || this.#waiting.size === 0) return;
    this.#running = true;
    this.#pause();
  }

  close(): void {
    this.#closed = true;
    this.#waiting.clear();
    this.#cancel();
  }

  /** From none to twice the mean, so that proxies that were told at the same moment do not ask in step. */
  #pause(): void {
    const { timers, random } = this.#options;
    this.#cancel = timers.after(2 * meanPauseMs * random(), () => void this.#next());
  }

  async #next(): Promise<void> {
    for (const sandboxId of this.#waiting) {
      this.#waiting.delete(sandboxId);
      if (!this.#options.needsFetch(sandboxId)) continue;
      await this.#options.refetch(sandboxId);
      if (!this.#closed) this.#pause();
      return;
    }
    this.#running = false;
  }
}
