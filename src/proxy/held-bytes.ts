// How much of all bodies together may be held in memory to learn their new length. Where it is used up, bodies are
// streamed: what needs the length to stay goes on as it does beyond the bound on one body.

export class HeldBytes {
  readonly #max: number;
  #reserved = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Sets so many bytes aside; false where there are not as many. Whoever got them gives them back, once. */
  reserve(bytes: number): boolean {
    if (this.#reserved + bytes > this.#max) return false;
    this.#reserved += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#reserved -= bytes;
  }

  get reserved(): number {
    return this.#reserved;
  }
}
