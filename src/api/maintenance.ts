// What has to happen without being asked: sandboxes expire, old changes and audit entries are forgotten. Every replica
// does it; the work is the same whoever comes first.

import type { FastifyBaseLogger } from "fastify";
import type { Clock } from "../core/ports.ts";
import type { Store } from "../core/store.ts";

const EXPIRY_MS = 500;
const PRUNE_MS = 60_000;
const EXPIRED_PER_WRITE = 100;
const KEPT_PROXIES_MS = 3_600_000;
/** A proxy that was away for longer than this many changes starts anew. */
export const KEPT_CHANGES = 10_000;
export const DEFAULT_AUDIT_RETENTION_MS = 90 * 24 * 3_600_000;

export class Maintenance {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #logger: Pick<FastifyBaseLogger, "warn">;
  readonly #auditRetentionMs: number;
  #prunedAt = 0;
  #failing = false;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(store: Store, clock: Clock, logger: Pick<FastifyBaseLogger, "warn">, auditRetentionMs: number) {
    this.#store = store;
    this.#clock = clock;
    this.#logger = logger;
    this.#auditRetentionMs = auditRetentionMs;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined;
      });
    }, EXPIRY_MS).unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      await this.#expire();
      this.#failing = false;
      const now = this.#clock();
      if (now - this.#prunedAt < PRUNE_MS) return;
      this.#prunedAt = now;
      await this.#store.changes.prune(KEPT_CHANGES);
      await this.#store.audit.prune(now - this.#auditRetentionMs);
      await this.#store.proxies.prune(now - KEPT_PROXIES_MS);
    } catch (error) {
      // The next turn tries again; requests meet the same fault and say so. One line for each outage.
      if (!this.#failing) this.#logger.warn({ err: error }, "maintenance of the store failed");
      this.#failing = true;
    }
  }

  async #expire(): Promise<void> {
    for (;;) {
      const next = await this.#store.sandboxes.nextExpiry();
      if (next === undefined || next > this.#clock()) return;
      if ((await this.#store.sandboxes.deleteExpired(this.#clock(), EXPIRED_PER_WRITE)) === 0) return;
    }
  }
}
