// Writes wait here and share transactions, each in its own savepoint: one commit makes a whole batch durable, and none
// of it is answered before. Writes are one after another anyway (see `SqlWriter`), so sharing costs nothing and spares
// most of the syncs.

import { Rollback, type SqlWriter } from "./sql.ts";
import { StoreError } from "./store-error.ts";

const WRITES_PER_COMMIT = 64;
const MAX_QUEUED_WRITES = 10_000;

/** One transaction on a connection. */
export interface WriteSession {
  /** Opens the transaction; from here on no other writer comes in between. */
  begin(): Promise<void>;
  /** For savepoints and the commit. */
  exec(statement: string): Promise<void>;
  /** The statements of one write. */
  writer(): SqlWriter & { readonly version: number };
  /** Announces the version to other processes with the commit. */
  announce(version: number): Promise<void>;
  /** Whether the transaction is still there: some faults end it. */
  isOpen(): boolean;
  /** Gives the connection back; rolls back what is not committed. Never rejects. */
  end(): Promise<void>;
}

interface Job {
  readonly work: (tx: SqlWriter) => Promise<unknown>;
  readonly resolve: (outcome: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class WriteQueue {
  readonly #open: () => Promise<WriteSession>;
  /** Called after a commit that drew versions, with the last of them. */
  readonly #committed: (version: number) => void;
  readonly #queue: Job[] = [];
  #draining: Promise<void> | undefined;
  #closed = false;

  constructor(open: () => Promise<WriteSession>, committed: (version: number) => void) {
    this.#open = open;
    this.#committed = committed;
  }

  write<T>(work: (tx: SqlWriter) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new StoreError("unavailable", "The store is closed."));
    if (this.#queue.length >= MAX_QUEUED_WRITES)
      return Promise.reject(new StoreError("unavailable", "Too many writes are waiting."));
    return new Promise<T>((resolve, reject) => {
      // The job's outcome is the one its own work returned, so it is a T.
      this.#queue.push({ work, resolve: (outcome) => resolve(outcome as T), reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Takes no more writes; resolves when those that wait are done. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#draining;
  }

  async #drain(): Promise<void> {
    // Lets every request that is already here join the first commit.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) await this.#commit(this.#queue.splice(0, WRITES_PER_COMMIT));
    this.#draining = undefined;
  }

  async #commit(batch: readonly Job[]): Promise<void> {
    const settle: (() => void)[] = [];
    let version = 0;
    let session: WriteSession | undefined;
    try {
      session = await this.#open();
      await session.begin();
      for (const job of batch) {
        const done = await this.#attempt(session, job);
        version = Math.max(version, done.version);
        settle.push(done.tell);
      }
      if (version > 0) await session.announce(version);
      await session.exec("COMMIT");
    } catch (error) {
      for (const job of batch) job.reject(error);
      return;
    } finally {
      await session?.end();
    }
    // What an outcome says ("name taken") may rest on a neighbour's write, so none is told before the commit.
    for (const tell of settle) tell();
    if (version > 0) this.#committed(version);
  }

  /** Throws where the whole batch is lost. */
  async #attempt(session: WriteSession, job: Job): Promise<{ version: number; tell: () => void }> {
    await session.exec("SAVEPOINT job");
    const writer = session.writer();
    try {
      const outcome = await job.work(writer);
      await session.exec("RELEASE SAVEPOINT job");
      return { version: writer.version, tell: () => job.resolve(outcome) };
    } catch (error) {
      // A full disk or a lost connection is everybody's fault, and may have ended the transaction.
      if (!session.isOpen() || (error instanceof StoreError && isFatal(error))) throw error;
      await session.exec("ROLLBACK TO SAVEPOINT job");
      await session.exec("RELEASE SAVEPOINT job");
      return {
        version: 0,
        tell: error instanceof Rollback ? () => job.resolve(error.outcome) : () => job.reject(error),
      };
    }
  }
}

/** A missing key or a damaged row is one write's own fault; the rest is the database's. */
function isFatal(error: StoreError): boolean {
  return error.code !== "master-key" && error.code !== "corrupt";
}
