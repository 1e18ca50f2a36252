// Upstream connections, kept alive per sandbox and authority: no sandbox ever uses a connection that another one opened.
//
// A client's protocol is the one that is wanted upstream: what HTTP/2 can say (both ways at once, trailers, resets) gets
// through as it is, on one connection, and HTTP/1.1 stays what it was. Where a destination does not speak it, the other one
// serves.

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { KeyswapError } from "../core/errors.ts";
import type { Timed } from "./deadlines.ts";
import type { Dialler } from "./dial.ts";
import { DialQueue } from "./dial-queue.ts";
import { Http1Upstream, type Http1UpstreamOwner } from "./http1-upstream.ts";
import { Http2Upstream, type Http2UpstreamOptions, type Http2UpstreamOwner } from "./http2-upstream.ts";
import type { Route } from "./route.ts";
import type { UpstreamStream } from "./upstream.ts";

export interface UpstreamPoolOptions extends Http2UpstreamOptions {
  readonly dialler: Pick<Dialler, "connectTls" | "connectTcp">;
  /** How many are kept for longer than `spareMs`. */
  readonly maxIdlePerAuthority: number;
  /** Authorities that a sandbox may be connected to before an unused connection goes for each new one. */
  readonly maxAuthoritiesPerSandbox: number;
  /** Connections of one sandbox, in use or kept. */
  readonly maxPerSandbox: number;
  readonly idleMs: number;
}

type Protocol = "http/1.1" | "h2";

/**
 * What is kept beyond `maxIdlePerAuthority` goes after this time in milliseconds, not at once: of many requests that run at
 * the same time, many connections are free for a moment, and the next requests would have to dial all over again.
 */
const spareMs = 5_000;

/** What one sandbox has open, to whatever authorities: a walk through names or ports must not use up all descriptors. */
class Tenant {
  readonly sandboxId: string;
  /** Open, or being dialled. */
  connections = 0;
  readonly origins = new Set<Origin>();

  constructor(sandboxId: string) {
    this.sandboxId = sandboxId;
  }

  /** Gives up the connection that was free for longest, but not one to `spared`; false where there is none. */
  evict(spared?: Origin): boolean {
    let oldest: Origin | undefined;
    for (const origin of this.origins) {
      if (origin !== spared && origin.freeSince < (oldest?.freeSince ?? Number.POSITIVE_INFINITY)) oldest = origin;
    }
    return oldest?.evict() ?? false;
  }
}

/** The connections of one sandbox to one authority. */
class Origin implements Http1UpstreamOwner, Http2UpstreamOwner {
  readonly key: string;
  readonly tenant: Tenant;
  /** Free ones, the last one freed at the end, from where they are taken. */
  readonly idle: Http1Upstream[] = [];
  readonly all = new Set<Http1Upstream | Http2Upstream>();
  /** Those of HTTP/2 that take requests. */
  readonly shared: Http2Upstream[] = [];
  /** A dial for HTTP/2 that others wait for: it tells what the destination speaks, or why it cannot be reached. */
  dialling: Promise<unknown> | undefined;
  /** Requests that wait for a connection, and dials. */
  waiting = 0;
  /** What it speaks, where that is not what it was asked for. */
  only: Protocol | undefined;
  readonly dials = new DialQueue<Http1Upstream>((connection) => this.onFree(connection));
  readonly #pool: UpstreamPool;

  constructor(pool: UpstreamPool, key: string, tenant: Tenant) {
    this.#pool = pool;
    this.key = key;
    this.tenant = tenant;
    tenant.origins.add(this);
  }

  /** What a request goes out as now. */
  choose(wanted: Protocol): Protocol {
    return this.only ?? wanted;
  }

  /** A place on a connection of HTTP/2. */
  lend(): UpstreamStream | undefined {
    for (const connection of this.shared) {
      const stream = connection.lend();
      if (stream !== undefined) return stream;
    }
    return undefined;
  }

  /** Set while a connection of HTTP/2 does not say yet how many places it has, see Http2Upstream. */
  get opening(): Promise<boolean> | undefined {
    return this.shared.find(({ opening }) => opening !== undefined)?.opening;
  }

  /** Since when the connection is free that was free for longest; Infinity: none is. */
  get freeSince(): number {
    return Math.min(
      this.idle[0]?.freeSince ?? Number.POSITIVE_INFINITY,
      ...this.shared.map(({ freeSince }) => freeSince),
    );
  }

  /** Closes that one. */
  evict(): boolean {
    const { freeSince } = this;
    if (freeSince === Number.POSITIVE_INFINITY) return false;
    if (this.idle[0]?.freeSince === freeSince) this.idle.shift()?.destroy();
    else this.shared.find((connection) => connection.freeSince === freeSince)?.close();
    return true;
  }

  onFree(connection: Http1Upstream): void {
    this.#pool.keep(this, connection);
  }

  onClosing(connection: Http2Upstream): void {
    const at = this.shared.indexOf(connection);
    if (at >= 0) this.shared.splice(at, 1);
  }

  onHttp1Required(): void {
    this.only = "http/1.1";
  }

  onGone(connection: Http1Upstream | Http2Upstream): void {
    this.all.delete(connection);
    if (connection instanceof Http1Upstream) {
      const at = this.idle.indexOf(connection);
      if (at >= 0) this.idle.splice(at, 1);
    }
    this.leave();
  }

  /** Nothing is kept for an authority that nobody is connected to. */
  leave(): void {
    if (this.all.size === 0 && this.waiting === 0) this.#pool.forget(this);
  }
}

export class UpstreamPool implements Timed {
  deadlineAt = 0;
  readonly #origins = new Map<string, Origin>();
  readonly #tenants = new Map<string, Tenant>();
  /** Of before `renew`: their connections serve what runs on them, and nothing else. */
  readonly #former = new Set<Origin>();
  readonly #options: UpstreamPoolOptions;
  #closed = false;
  #reused = 0;
  #dialled = 0;

  constructor(options: UpstreamPoolOptions) {
    this.#options = options;
    options.deadlines.add(this);
  }

  /** A free connection, or a free place on one, if there is any. */
  take(route: Route, wanted: Protocol): UpstreamStream | undefined {
    const origin = this.#origins.get(route.poolKey);
    if (origin === undefined) return undefined;
    const free = origin.choose(wanted) === "http/1.1" ? origin.idle.pop() : origin.lend();
    if (free !== undefined) this.#reused += 1;
    return free;
  }

  /**
   * A connection for a request that found none free: a new one, or, unless it has to be `fresh`, one that becomes free before
   * that is there. Rejects with a KeyswapError.
   */
  async connect(route: Route, wanted: Protocol, fresh: boolean, signal: AbortSignal): Promise<UpstreamStream> {
    const stream = await this.#connect(route, wanted, fresh, signal);
    if (stream instanceof Http1Upstream && stream.reused) this.#reused += 1;
    else this.#dialled += 1;
    return stream;
  }

  async #connect(route: Route, wanted: Protocol, fresh: boolean, signal: AbortSignal): Promise<UpstreamStream> {
    let origin = this.#origins.get(route.poolKey);
    if (origin === undefined) {
      origin = new Origin(this, route.poolKey, this.#tenantOf(route.sandboxId));
      this.#origins.set(route.poolKey, origin);
    }
    const protocol = origin.choose(wanted);
    origin.waiting += 1;
    try {
      if (route.authority.scheme === "http" || protocol !== "h2")
        return await this.#connectOwn(origin, route, fresh, signal);
      return await this.#connectShared(origin, route, signal);
    } finally {
      origin.waiting -= 1;
      origin.leave();
    }
  }

  /** How many connections are open; for metrics and tests. */
  get size(): number {
    let size = 0;
    for (const origin of this.#origins.values()) size += origin.all.size;
    for (const origin of this.#former) size += origin.all.size;
    return size;
  }

  /** Connections that are open and of these unused; how requests came by theirs since the start. */
  get counts(): { readonly open: number; readonly idle: number; readonly reused: number; readonly dialled: number } {
    let idle = 0;
    for (const origin of this.#origins.values()) idle += origin.idle.length;
    return { open: this.size, idle, reused: this.#reused, dialled: this.#dialled };
  }

  keep(origin: Origin, connection: Http1Upstream): void {
    if (this.#closed || this.#former.has(origin)) {
      connection.destroy();
      return;
    }
    connection.keep(this.#options.clock());
    if (!origin.dials.give(connection)) origin.idle.push(connection);
  }

  forget(origin: Origin): void {
    if (this.#origins.get(origin.key) === origin) this.#origins.delete(origin.key);
    this.#former.delete(origin);
    origin.tenant.origins.delete(origin);
    this.#leave(origin.tenant);
  }

  /** From now on only new connections are lent. */
  renew(): void {
    for (const origin of [...this.#origins.values()]) {
      this.#former.add(origin);
      for (const connection of [...origin.idle]) connection.destroy();
      for (const connection of [...origin.shared]) connection.close();
    }
    this.#origins.clear();
  }

  /** Closes what has been free for too long. */
  onDeadline(): void {
    const now = this.#options.clock();
    const before = now - this.#options.idleMs;
    for (const origin of this.#former) for (const connection of [...origin.shared]) connection.close();
    for (const origin of this.#origins.values()) {
      const spare = origin.idle.length - this.#options.maxIdlePerAuthority;
      for (const [at, connection] of [...origin.idle].entries()) {
        if (connection.freeSince < (at < spare ? now - spareMs : before)) connection.destroy();
      }
      for (const connection of [...origin.shared]) if (connection.freeSince < before) connection.close();
    }
  }

  close(): void {
    this.#closed = true;
    this.#options.deadlines.delete(this);
    const origins = [...this.#origins.values(), ...this.#former];
    for (const origin of origins) for (const connection of [...origin.all]) connection.destroy();
  }

  #tenantOf(sandboxId: string): Tenant {
    let tenant = this.#tenants.get(sandboxId);
    if (tenant === undefined) {
      tenant = new Tenant(sandboxId);
      this.#tenants.set(sandboxId, tenant);
    }
    return tenant;
  }

  /** Nothing is kept for a sandbox that has nothing open. */
  #leave({ sandboxId, connections, origins }: Tenant): void {
    if (connections === 0 && origins.size === 0) this.#tenants.delete(sandboxId);
  }

  /** Dials where the sandbox may have one more; else something that is only kept has to go for it. */
  async #dial<S extends Socket>(origin: Origin, dial: () => Promise<S>): Promise<S> {
    const { tenant } = origin;
    const { maxAuthoritiesPerSandbox, maxPerSandbox } = this.#options;
    const isMade = tenant.origins.size > maxAuthoritiesPerSandbox && tenant.evict(origin);
    if (tenant.connections >= maxPerSandbox && !isMade && !tenant.evict()) {
      throw new KeyswapError("sandbox-overloaded", "connections to destinations");
    }
    tenant.connections += 1;
    const leave = (): void => {
      tenant.connections -= 1;
      this.#leave(tenant);
    };
    try {
      const socket = await dial();
      if (socket.closed) leave();
      else socket.once("close", leave);
      return socket;
    } catch (error) {
      leave();
      throw error;
    }
  }

  #dialTls(origin: Origin, route: Route, offered: readonly string[], signal: AbortSignal): Promise<TLSSocket> {
    const { authority, sandboxId } = route;
    const { dialler } = this.#options;
    return this.#dial(origin, () => dialler.connectTls(authority, sandboxId, offered, signal));
  }

  /** A connection of HTTP/1.1 for one request; to a destination that speaks HTTP/2 alone, that. */
  async #connectOwn(origin: Origin, route: Route, fresh: boolean, signal: AbortSignal): Promise<UpstreamStream> {
    const dial = (limit: AbortSignal): Promise<Http1Upstream> => this.#dialOwn(origin, route, limit);
    try {
      return await (fresh ? dial(signal) : origin.dials.wait(dial, signal));
    } catch (error) {
      if (!isAlpnRefusal(error)) throw error;
      origin.only = "h2";
      return this.#connectShared(origin, route, signal);
    }
  }

  async #dialOwn(origin: Origin, route: Route, signal: AbortSignal): Promise<Http1Upstream> {
    const { authority, sandboxId } = route;
    const { dialler, message } = this.#options;
    // Its request may be served and gone before.
    origin.waiting += 1;
    try {
      const socket =
        authority.scheme === "http"
          ? await this.#dial(origin, () => dialler.connectTcp(authority, sandboxId, signal))
          : await this.#dialTls(origin, route, ["http/1.1"], signal);
      return add(origin, new Http1Upstream(socket, origin, message));
    } finally {
      origin.waiting -= 1;
      origin.leave();
    }
  }

  /**
   * A place on a connection of HTTP/2: one dial at a time, for it serves all who wait, and none before the last connection has
   * said how many places it has.
   */
  async #connectShared(origin: Origin, route: Route, signal: AbortSignal): Promise<UpstreamStream> {
    for (;;) {
      const free = origin.lend();
      if (free !== undefined) return free;
      const { opening, dialling } = origin;
      if (opening !== undefined) {
        if (!(await opening)) throw new KeyswapError("upstream-closed");
      } else if (dialling !== undefined) {
        const failure = await dialling;
        if (failure !== undefined) throw failure;
      } else {
        const own = await this.#dialForAll(origin, signal, () => this.#dialShared(origin, route, signal));
        if (own !== undefined) return own;
      }
      signal.throwIfAborted();
      if (origin.only === "http/1.1") return origin.idle.pop() ?? this.#connectOwn(origin, route, false, signal);
    }
  }

  /** A dial that others wait for. */
  async #dialForAll<T>(origin: Origin, signal: AbortSignal, dial: () => Promise<T>): Promise<T> {
    const dialling = Promise.withResolvers<unknown>();
    origin.dialling = dialling.promise;
    let failure: unknown;
    try {
      return await dial();
    } catch (error) {
      // Given up because this request's client left: no matter of those who wait.
      if (!signal.aborted) failure = error;
      throw error;
    } finally {
      origin.dialling = undefined;
      dialling.resolve(failure);
    }
  }

  async #dialShared(origin: Origin, route: Route, signal: AbortSignal): Promise<UpstreamStream | undefined> {
    const { authority } = route;
    const offered = origin.only === "h2" ? ["h2"] : ["h2", "http/1.1"];
    const socket = await this.#dialTls(origin, route, offered, signal);
    if (socket.alpnProtocol !== "h2") {
      origin.only = "http/1.1";
      return add(origin, new Http1Upstream(socket, origin, this.#options.message));
    }
    const connection = add(origin, new Http2Upstream(socket, authority, origin, this.#options));
    origin.shared.push(connection);
    return connection.lend();
  }
}

function add<T extends Http1Upstream | Http2Upstream>(origin: Origin, connection: T): T {
  origin.all.add(connection);
  return connection;
}

/** The destination speaks none of the protocols that were offered (RFC 7301 section 3.2). */
function isAlpnRefusal(error: unknown): boolean {
  return error instanceof KeyswapError && error.detail?.endsWith("ALERT_NO_APPLICATION_PROTOCOL") === true;
}
