// One audit log for several processes: each worker forwards its batches, one process writes them.
//
//   AuditLog (worker) ─► AuditForwarder ─► IPC ─► AuditCollector ─► file or stderr
//
// Invariants: batches stay whole; a worker is told that its batch was written only after it was.

import type { AuditWriter } from "./audit-file.ts";
import { settledWithin } from "./settled-within.ts";
import { WholeWriter } from "./whole-writer.ts";

/** For a worker, and for what others write to, too. `forward` resolves when the batch was written and rejects where nothing of it was. */
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

/** Whoever gave something has ended by then, after a longer wait of its own. */
const CLOSE_MS = 1_000;

export class AuditCollector {
  readonly #writer: AuditWriter;
  readonly #batches: WholeWriter;

  constructor(writer: AuditWriter) {
    this.#writer = writer;
    this.#batches = new WholeWriter(writer);
  }

  /** One batch after the other. Rejects where nothing of it was written: it may be given again. */
  write(bytes: Buffer): Promise<void> {
    return this.#batches.write(bytes);
  }

  /** Waits for what was given, a second at most. */
  async close(): Promise<void> {
    await settledWithin(this.#batches.settled(), CLOSE_MS);
    this.#batches.abandon();
    await this.#writer.close();
  }
}
