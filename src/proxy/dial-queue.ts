// Requests that wait for a connection to one origin, and the dials that are under way for them.
//
// Invariant: there are at least as many dials as requests that wait, and none is begun while there are more. So no request
// waits for nothing, and never is more opened than ran at the same time.

interface Waiting<T> {
  resolve(connection: T): void;
  reject(error: unknown): void;
}

export class DialQueue<T> {
  /** The one that came first first. */
  readonly #waiting = new Set<Waiting<T>>();
  readonly #dials = new Set<AbortController>();
  readonly #onSpare: (connection: T) => void;

  /** `onSpare` gets what was dialled and nobody waits for any more. */
  constructor(onSpare: (connection: T) => void) {
    this.#onSpare = onSpare;
  }

  /**
   * The next connection that is given or dialled. Rejects with what a dial rejects with, for one request each, and with the
   * signal's reason.
   */
  async wait(dial: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiting = { resolve, reject };
    const leave = (): void => this.#leave(waiting, signal.reason);
    signal.addEventListener("abort", leave);
    this.#waiting.add(waiting);
    if (this.#dials.size < this.#waiting.size) void this.#dial(dial);
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  /** A connection for the request that has waited longest; false where none waits. */
  give(connection: T): boolean {
    const first = this.#takeFirst();
    first?.resolve(connection);
    return first !== undefined;
  }

  async #dial(dial: (signal: AbortSignal) => Promise<T>): Promise<void> {
    const abandon = new AbortController();
    this.#dials.add(abandon);
    try {
      const connection = await dial(abandon.signal);
      this.#dials.delete(abandon);
      if (!this.give(connection)) this.#onSpare(connection);
    } catch (error) {
      this.#dials.delete(abandon);
      if (this.#dials.size < this.#waiting.size) this.#takeFirst()?.reject(error);
    }
  }

  #takeFirst(): Waiting<T> | undefined {
    const [first] = this.#waiting;
    if (first !== undefined) this.#waiting.delete(first);
    return first;
  }

  /** Its dial goes with it, or another one that was begun after. */
  #leave(waiting: Waiting<T>, reason: unknown): void {
    if (!this.#waiting.delete(waiting)) return;
    waiting.reject(reason);
    const last = [...this.#dials].at(-1);
    if (last === undefined || this.#dials.size <= this.#waiting.size) return;
    // Not when it has ended: until then it would pass for one that brings something.
    this.#dials.delete(last);
    last.abort(reason);
  }
}
