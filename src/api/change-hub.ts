// Follows the store's changes once and hands them to all streams, in order and without a gap.
//
// The store calls when the version rises; besides that the hub looks for itself once a second, so that a lost
// notification costs a second at most. While the store cannot be read nobody may believe to be current: the streams are
// ended, and proxies fall back on their own checks.

import type { FastifyBaseLogger } from "fastify";
import type { Change, ChangeLog } from "../core/store.ts";

const POLL_MS = 1_000;
const BATCH = 500;

export type HubEvent =
  | { readonly kind: "change"; readonly change: Change }
  /** Everything may have changed. */
  | { readonly kind: "reset"; readonly version: number }
  /** The hub has lost the store: end the stream. */
  | { readonly kind: "lost" };

export class ChangeHub {
  readonly #log: ChangeLog;
  readonly #logger: Pick<FastifyBaseLogger, "warn" | "info">;
  readonly #listeners = new Set<(event: HubEvent) => void>();
  #version = 0;
  #live = false;
  #wanted = false;
  #reading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #unsubscribe: () => void = () => undefined;

  constructor(log: ChangeLog, logger: Pick<FastifyBaseLogger, "warn" | "info">) {
    this.#log = log;
    this.#logger = logger;
  }

  /** The version up to which listeners have heard all changes; undefined while the store is lost. */
  get version(): number | undefined {
    return this.#live ? this.#version : undefined;
  }

  async start(): Promise<void> {
    this.#version = await this.#log.version();
    this.#live = true;
    this.#unsubscribe = this.#log.subscribe(() => this.#wake());
    this.#timer = setInterval(() => this.#wake(), POLL_MS).unref();
  }

  /** Resolves when everything that was committed before the call has been heard, or the store is lost. */
  async catchUp(): Promise<void> {
    // A reading that is under way may have begun before.
    await this.#reading;
    this.#wake();
    await this.#reading;
  }

  /** As `catchUp`; and what it brought has left this process. At once where nobody listens. */
  async tellStreams(): Promise<void> {
    if (this.#listeners.size === 0) return;
    await this.catchUp();
    // Node corks a stream's writes until the turn's end.
    await new Promise((resolve) => setImmediate(resolve));
  }

  listen(listener: (event: HubEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe();
    await this.#reading;
    this.#tell({ kind: "lost" });
    this.#listeners.clear();
  }

  #wake(): void {
    this.#wanted = true;
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
  }

  async #readAll(): Promise<void> {
    try {
      while (this.#wanted) {
        this.#wanted = false;
        await this.#read();
      }
      if (!this.#live) this.#logger.info({ version: this.#version }, "changes: following the store again");
      this.#live = true;
    } catch (error) {
      if (this.#live) this.#logger.warn({ err: error }, "changes: the store cannot be read");
      this.#live = false;
      this.#tell({ kind: "lost" });
    }
  }

  async #read(): Promise<void> {
    for (;;) {
      const answer = await this.#log.since(this.#version, BATCH);
      if (answer.kind === "too-old") {
        this.#version = answer.version;
        this.#tell({ kind: "reset", version: answer.version });
        return;
      }
      for (const change of answer.changes) {
        this.#version = change.version;
        this.#tell({ kind: "change", change });
      }
      if (answer.changes.length < BATCH) return;
    }
  }

  #tell(event: HubEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}
