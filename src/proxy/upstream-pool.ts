// Upstream connections, kept alive per sandbox and authority: no sandbox ever uses a connection that another one opened.

import { type Authority, formatAuthority } from "../core/authority/authority.ts";
import type { Clock } from "../core/ports.ts";
import type { MessageLimits } from "../core/wire/message-reader.ts";
import type { Deadlines, Timed } from "./deadlines.ts";
import type { Dialler } from "./dial.ts";
import { Http1Upstream, type Http1UpstreamOwner } from "./http1-upstream.ts";

export interface UpstreamPoolOptions {
  readonly dialler: Pick<Dialler, "connectTls" | "connectTcp">;
  readonly message: MessageLimits;
  readonly maxIdlePerAuthority: number;
  readonly idleMs: number;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
}

/** The connections of one sandbox to one authority. */
class Origin implements Http1UpstreamOwner {
  readonly key: string;
  readonly sandboxId: string;
  readonly authority: Authority;
  /** Free ones; the last one freed is taken first. */
  readonly idle: Http1Upstream[] = [];
  readonly all = new Set<Http1Upstream>();
  readonly #pool: UpstreamPool;

  constructor(pool: UpstreamPool, key: string, sandboxId: string, authority: Authority) {
    this.#pool = pool;
    this.key = key;
    this.sandboxId = sandboxId;
    this.authority = authority;
  }

  onFree(connection: Http1Upstream): void {
    this.#pool.keep(this, connection);
  }

  onGone(connection: Http1Upstream): void {
    this.all.delete(connection);
    const at = this.idle.indexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
    if (this.all.size === 0) this.#pool.forget(this);
  }
}

export class UpstreamPool implements Timed {
  deadlineAt = 0;
  readonly #origins = new Map<string, Origin>();
  readonly #options: UpstreamPoolOptions;
  #closed = false;

  constructor(options: UpstreamPoolOptions) {
    this.#options = options;
    options.deadlines.add(this);
  }

  /**
   * A free connection at once, or a new one when it is made. `fresh` asks for a new one. Rejects with a KeyswapError.
   */
  acquire(
    sandboxId: string,
    authority: Authority,
    fresh: boolean,
    signal: AbortSignal | undefined,
  ): Http1Upstream | Promise<Http1Upstream> {
    const key = `${sandboxId}\n${authority.scheme}\n${formatAuthority(authority)}`;
    let origin = this.#origins.get(key);
    if (origin !== undefined && !fresh) {
      const connection = origin.idle.pop();
      if (connection !== undefined) return connection;
    }
    if (origin === undefined) {
      origin = new Origin(this, key, sandboxId, authority);
      this.#origins.set(key, origin);
    }
    return this.#connect(origin, signal);
  }

  /** How many connections are open; for metrics and tests. */
  get size(): number {
    let size = 0;
    for (const origin of this.#origins.values()) size += origin.all.size;
    return size;
  }

  keep(origin: Origin, connection: Http1Upstream): void {
    if (this.#closed || origin.idle.length >= this.#options.maxIdlePerAuthority) {
      connection.destroy();
      return;
    }
    connection.freeSince = this.#options.clock();
    origin.idle.push(connection);
  }

  forget(origin: Origin): void {
    if (this.#origins.get(origin.key) === origin) this.#origins.delete(origin.key);
  }

  /** Closes what has been free for too long. */
  onDeadline(): void {
    const before = this.#options.clock() - this.#options.idleMs;
    for (const origin of this.#origins.values()) {
      for (const connection of [...origin.idle]) if (connection.freeSince < before) connection.destroy();
    }
  }

  close(): void {
    this.#closed = true;
    this.#options.deadlines.delete(this);
    for (const origin of this.#origins.values()) for (const connection of [...origin.all]) connection.destroy();
  }

  async #connect(origin: Origin, signal: AbortSignal | undefined): Promise<Http1Upstream> {
    const { dialler, message } = this.#options;
    try {
      const socket =
        origin.authority.scheme === "https"
          ? await dialler.connectTls(origin.authority, origin.sandboxId, ["http/1.1"], signal)
          : await dialler.connectTcp(origin.authority, origin.sandboxId, signal);
      const connection = new Http1Upstream(socket, origin, message);
      origin.all.add(connection);
      this.#origins.set(origin.key, origin);
      return connection;
    } catch (error) {
      if (origin.all.size === 0) this.forget(origin);
      throw error;
    }
  }
}
