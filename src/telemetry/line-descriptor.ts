// A descriptor that several parts of a process write to, each of them whole lines: stderr, by the log and the audit.
//
// Invariants: what was begun is written to its end before anything else is, also where a full pipe takes it in parts; it is
// written on the thread pool, so that a reader that stalls does not stall the process.

import { write } from "node:fs";
import { promisify } from "node:util";

const writeToDescriptor = promisify(write);

/** Pause after the descriptor was busy (a full pipe), or failed in the middle. */
const RETRY_MS = 20;

export class LineDescriptor {
  readonly #fd: number;
  #last: Promise<void> = Promise.resolve();
  #isAbandoned = false;
  /** Abandoned in the middle of a line: nothing may follow. */
  #isCut = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** `lines` are whole ones. Resolves when all of them were written; rejects with the system's error where none was. */
  write(lines: Buffer): Promise<void> {
    const written = this.#last.then(() => this.#write(lines));
    this.#last = written.catch(() => {});
    return written;
  }

  /** The last moment to write has passed: a reader that is still not there is not waited for, and what waits rejects. */
  abandon(): void {
    this.#isAbandoned = true;
  }

  async #write(lines: Buffer): Promise<void> {
    if (this.#isCut) throw new Error("the descriptor was abandoned in the middle of a line");
    let rest = lines;
    while (rest.length > 0) {
      try {
        rest = rest.subarray((await writeToDescriptor(this.#fd, rest)).bytesWritten);
      } catch (error) {
        const isBegun = rest.length < lines.length;
        this.#isCut = isBegun && this.#isAbandoned;
        if (this.#isAbandoned || !(isBegun || isBusy(error))) throw error;
        await new Promise((done) => setTimeout(done, RETRY_MS));
      }
    }
  }
}

/** A pipe whose reader is slow: no fault, just later. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}
