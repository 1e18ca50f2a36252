// Upstream connections, kept alive per sandbox and authority: no sandbox ever uses a connection that another one opened.

import type { Clock } from "../core/ports.ts";
import type { MessageLimits } from "../core/wire/message-reader.ts";
import type { Deadlines, Timed } from "./deadlines.ts";
import type { Dialler } from "./dial.ts";
import { Http1Upstream, type Http1UpstreamOwner } from "./http1-upstream.ts";
import type { Route } from "./route.ts";

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
  /** Free ones; the last one freed is taken first. */
  readonly idle: Http1Upstream[] = [];
  readonly all = new Set<Http1Upstream>();
  readonly #pool: UpstreamPool;

  constructor(pool: UpstreamPool, key: string) {
    this.#pool = pool;
    this.key = key;
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

  /** A free connection, if there is one. */
  take(route: Route): Http1Upstream | undefined {
    return this.#origins.get(route.poolKey)?.idle.pop();
  }

  /** A new connection. Rejects with a KeyswapError. */
  async connect(route: Route, signal: AbortSignal): Promise<Http1Upstream> {
    const { dialler, message } = this.#options;
    const { authority, sandboxId } = route;
    const socket =
      authority.scheme === "https"
        ? await dialler.connectTls(authority, sandboxId, ["http/1.1"], signal)
        : await dialler.connectTcp(authority, sandboxId, signal);
    let origin = this.#origins.get(route.poolKey);
    if (origin === undefined) {
      origin = new Origin(this, route.poolKey);
      this.#origins.set(route.poolKey, origin);
    }
    const connection = new Http1Upstream(socket, origin, message);
    origin.all.add(connection);
    return connection;
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
}
