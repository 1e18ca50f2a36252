// One audit log for several processes: each worker forwards its batches, one process writes them.
//
//   AuditLog (worker) ─► AuditForwarder ─► IPC ─► AuditCollector ─► file or stderr
//
// Invariants: batches stay whole, but for the last one where the end cuts it; a worker is told that its batch was written only
// after it was.

import type { AuditWriter } from "./audit-file.ts";

/** A worker's end. `forward` resolves when the batch was written and rejects where nothing of it was. */
export class AuditForwarder implements AuditWriter {
  readonly #forward: (bytes: Buffer) => Promise<void>;

  constructor(forward: (bytes: Buffer) => Promise<void>) {
    this.#forward = forward;
  }

  async prepare(): Promise<void> {}

  async writeSome(bytes: Buffer): Promise<number> {
    await this.#forward(bytes);
    return bytes.length;
  }

  async close(): Promise<void> {}
}

/** Pause after a write that failed in the middle of a batch. */
const RETRY_MS = 500;
/** Whoever gave something has ended by then, after a longer wait of its own. */
const CLOSE_MS = 1_000;

export class AuditCollector {
  readonly #writer: AuditWriter;
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** The end came in the middle of a batch: nothing may follow half a line. */
  #isCut = false;

  constructor(writer: AuditWriter) {
    this.#writer = writer;
  }

  /** One batch after the other. Rejects where nothing of it was written: it may be given again. */
  write(bytes: Buffer): Promise<void> {
    const written = this.#last.then(() => this.#write(bytes));
    this.#last = written.catch(() => {});
    return written;
  }

  /** Waits for what was given, a second at most, and not for a writer that fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const tooLate = Promise.withResolvers<void>();
    const deadline = setTimeout(tooLate.resolve, CLOSE_MS);
    await Promise.race([this.#last, tooLate.promise]);
    clearTimeout(deadline);
    await this.#writer.close();
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#isCut) throw new Error("the audit log has ended");
    await this.#writer.prepare(bytes.length);
    let rest = bytes;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(await this.#writer.writeSome(rest));
      } catch (error) {
        // Half a line must be followed by its other half, not by another worker's.
        if (rest.length === bytes.length) throw error;
        this.#isCut = this.#isClosed;
        if (this.#isCut) throw error;
        await new Promise((done) => setTimeout(done, RETRY_MS));
      }
    }
  }
}
