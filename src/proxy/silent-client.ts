// What became of a client that said nothing at first, while its destination was dialled ahead.

export class SilentClient {
  readonly #abandoned = new AbortController();
  #spoken: Buffer | undefined;
  #then: ((bytes: Buffer) => void) | undefined;

  get signal(): AbortSignal {
    return this.#abandoned.signal;
  }

  /** It spoke TLS or HTTP in the end: it was merely slow, and what was dialled ahead is not wanted. */
  get isAbandoned(): boolean {
    return this.#abandoned.signal.aborted;
  }

  /** It spoke something else. */
  get spoken(): Buffer | undefined {
    return this.#spoken;
  }

  abandon(): void {
    this.#abandoned.abort();
  }

  speak(bytes: Buffer): void {
    this.#spoken = bytes;
    this.#then?.(bytes);
  }

  onAbandoned(then: () => void): void {
    this.#abandoned.signal.addEventListener("abort", then);
  }

  onSpoken(then: (bytes: Buffer) => void): void {
    this.#then = then;
  }
}
