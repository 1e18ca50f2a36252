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

/** A coded body as it came, and what it is coded anew to, may come to so many times the bound on one body. */
const maxGrowth = 3;
const stepBytes = 64 * 1024;

/** What one body holds: beyond what was set aside for it at first, it reserves more as it grows. */
export class HeldBody {
  readonly #room: Pick<HeldBytes, "reserve">;
  readonly #maxBytes: number;
  #reservedBytes: number;
  #bytes = 0;

  /** `reservedBytes` of `room` are its own already. `bufferBytes`: the bound on one body. */
  constructor(room: Pick<HeldBytes, "reserve">, reservedBytes: number, bufferBytes: number) {
    this.#room = room;
    this.#reservedBytes = reservedBytes;
    this.#maxBytes = maxGrowth * bufferBytes;
  }

  /** Counts so many bytes more; false where they may not be held. */
  add(bytes: number): boolean {
    this.#bytes += bytes;
    if (this.#bytes > this.#maxBytes) return false;
    while (this.#bytes > this.#reservedBytes) {
      if (!this.#room.reserve(stepBytes)) return false;
      this.#reservedBytes += stepBytes;
    }
    return true;
  }
}
