// Fetches what changed before anybody asks for it, a few at a time: a rotated secret may be mounted in thousands of
// sandboxes, and requests that wait must get through.

const concurrency = 8;

export class RefreshQueue {
  readonly #refetch: (sandboxId: string) => Promise<void>;
  /** In the order of arrival; a sandbox stands in it once. */
  readonly #waiting = new Set<string>();
  #running = 0;
  #closed = false;

  /** `refetch` never rejects. */
  constructor(refetch: (sandboxId: string) => Promise<void>) {
    this.#refetch = refetch;
  }

  add(sandboxId: string): void {
    if (this.#closed) return;
    this.#waiting.add(sandboxId);
    if (this.#running >= concurrency) return;
    this.#running++;
    void this.#work();
  }

  close(): void {
    this.#closed = true;
    this.#waiting.clear();
  }

  async #work(): Promise<void> {
    // Not in the caller's turn: what it marks must be marked before anything is fetched.
    await undefined;
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined) break;
      this.#waiting.delete(next);
      await this.#refetch(next);
    }
    this.#running--;
  }
}
