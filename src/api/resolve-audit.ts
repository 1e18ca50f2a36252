// Audit of resolves. They are reads and come often, so they are written in batches, off the answer's path.

import type { FastifyBaseLogger } from "fastify";
import type { Clock } from "../core/ports.ts";
import type { AuditEntry, AuditStore, EgressRecord } from "../core/store.ts";
import type { Caller } from "./caller.ts";

const FLUSH_MS = 1_000;
const MAX_PENDING = 10_000;
const MAX_BATCH = 500;

export class ResolveAudit {
  readonly #store: AuditStore;
  readonly #clock: Clock;
  readonly #logger: Pick<FastifyBaseLogger, "warn">;
  #pending: AuditEntry[] = [];
  #dropped = 0;
  #failing = false;
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;

  constructor(store: AuditStore, clock: Clock, logger: Pick<FastifyBaseLogger, "warn">) {
    this.#store = store;
    this.#clock = clock;
    this.#logger = logger;
  }

  resolved(caller: Caller, record: EgressRecord): void {
    if (this.#pending.length >= MAX_PENDING) {
      this.#dropped++;
      return;
    }
    this.#pending.push({
      time: this.#clock(),
      organizationId: record.organizationId,
      actor: caller.actor,
      action: "sandbox.resolve",
      targetType: "sandbox",
      targetId: record.sandboxId,
      targetName: null,
      details: { version: record.version, secrets: record.grants.map((grant) => grant.name) },
    });
    this.#timer ??= setTimeout(() => void this.#flush(), FLUSH_MS).unref();
  }

  /** Writes what is pending; call it last, when no more requests come. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#flushing;
    await this.#flush();
  }

  #flush(): Promise<void> {
    this.#timer = undefined;
    this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  async #write(): Promise<void> {
    if (this.#dropped > 0) {
      this.#logger.warn({ dropped: this.#dropped }, "audit of resolves: entries were dropped");
      this.#dropped = 0;
    }
    while (this.#pending.length > 0) {
      const batch = this.#pending.slice(0, MAX_BATCH);
      try {
        await this.#store.record(batch);
        this.#failing = false;
      } catch {
        // Kept for the next flush; the bound above holds meanwhile. One line for each outage.
        if (!this.#failing) this.#logger.warn("audit of resolves: the store does not take entries now");
        this.#failing = true;
        this.#timer ??= setTimeout(() => void this.#flush(), FLUSH_MS).unref();
        return;
      }
      this.#pending.splice(0, batch.length);
    }
  }
}
