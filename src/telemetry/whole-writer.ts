// Pieces of whole lines from several sides, written one after the other: the log and the audit of a process on its stderr,
// the audit of several workers in one file.
//
// Invariants: what was begun is written to its end before anything else is, also where a full pipe takes it in parts or a
// write fails in the middle; where the end cuts it, nothing follows.

import { write } from "node:fs";
import { promisify } from "node:util";

/** Takes bytes in order. Both methods reject with the system's error and may be called again. */
export interface PartWriter {
  /** Called between two pieces: the moment to rotate. */
  prepare(bytes: number): Promise<void>;
  /** Writes a first part of `bytes` (at least one byte) and says how long it was. */
  writeSome(bytes: Buffer): Promise<number>;
}

/** Pause after the writer was busy (a full pipe). */
const BUSY_MS = 20;
/** Pause after a write that failed in the middle. */
const RETRY_MS = 500;

export class WholeWriter {
  readonly #parts: PartWriter;
  #last: Promise<void> = Promise.resolve();
  #isAbandoned = false;
  /** Abandoned in the middle of a piece. */
  #isCut = false;

  constructor(parts: PartWriter) {
    this.#parts = parts;
  }

  /** `lines` are whole ones. Resolves when all of them were written; rejects with the system's error where none was. */
  write(lines: Buffer): Promise<void> {
    const written = this.#last.then(() => this.#write(lines));
    this.#last = written.catch(() => {});
    return written;
  }

  /** Resolves when what was given is written or has failed. */
  settled(): Promise<void> {
    return this.#last;
  }

  /** The last moment to write has passed: a reader that is still not there is not waited for, and what waits rejects. */
  abandon(): void {
    this.#isAbandoned = true;
  }

  async #write(lines: Buffer): Promise<void> {
    if (this.#isCut) throw new Error("writing ended in the middle of a line");
    await this.#parts.prepare(lines.length);
    let rest = lines;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(await this.#parts.writeSome(rest));
      } catch (error) {
        const isBegun = rest.length < lines.length;
        if (!isBegun && !isBusy(error)) throw error;
        if (!this.#isAbandoned) await new Promise((done) => setTimeout(done, isBusy(error) ? BUSY_MS : RETRY_MS));
        if (!this.#isAbandoned) continue;
        this.#isCut = isBegun;
        throw error;
      }
    }
  }
}

/** A pipe whose reader is slow: no fault, just later. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}

const writeToDescriptor = promisify(write);

/** A descriptor that somebody else owns. Written on the thread pool: a reader that stalls does not stall the process. */
export class DescriptorParts implements PartWriter {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async prepare(): Promise<void> {}

  async writeSome(bytes: Buffer): Promise<number> {
    return (await writeToDescriptor(this.#fd, bytes)).bytesWritten;
  }
}
