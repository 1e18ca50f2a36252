// A blind relay: bytes both ways, untouched, with half-close kept. One audit event when it ends. It may be quiet for as
// long as it likes, but a side that takes nothing of what waits for it ends it.

import type { Socket } from "node:net";
import type { TunnelEvent, Way } from "../core/audit.ts";
import type { Authority } from "../core/authority/authority.ts";
import { passedThrough } from "./dead-buffers.ts";
import type { Timed } from "./deadlines.ts";
import type { Services } from "./services.ts";
import { Stall } from "./stall.ts";

export interface TunnelRoute {
  readonly sandboxId: string;
  readonly way: Way;
  readonly authority: Authority;
  readonly reason: TunnelEvent["reason"];
}

/** A tunnel that would not be opened any more is closed once it is idle for this long, */
const idleBeforeCloseMs = 1_000;
/** and at the latest after this long. */
const closeAtLatestMs = 30_000;

const countPassed = (content: Buffer): void => passedThrough(content.length);

export class Tunnel implements Timed {
  readonly route: TunnelRoute;
  deadlineAt: number;
  readonly #services: Services;
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #startedAt: number;
  readonly #onClosed: (tunnel: Tunnel) => void;
  readonly #clientStall: Stall;
  readonly #upstreamStall: Stall;
  #error: "client-stalled" | "upstream-stalled" | undefined;
  #closeAtLatest = Number.POSITIVE_INFINITY;
  #movedBytes = 0;
  #open = 2;

  /** Takes both sockets over; `rest` is what the client sent already. */
  constructor(
    services: Services,
    route: TunnelRoute,
    client: Socket,
    upstream: Socket,
    rest: Buffer | undefined,
    onClosed: (tunnel: Tunnel) => void,
  ) {
    this.route = route;
    this.#services = services;
    this.#client = client;
    this.#upstream = upstream;
    this.#onClosed = onClosed;
    this.#startedAt = services.clock();
    const { stallTimeoutMs } = services.options.limits;
    this.#clientStall = new Stall(stallTimeoutMs);
    this.#upstreamStall = new Stall(stallTimeoutMs);
    this.deadlineAt = this.#startedAt + this.#clientStall.lookMs;
    const end = (): void => this.#onSocketClosed();
    client.on("close", end);
    upstream.on("close", end);
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
    // The client's socket is so from the start: a direction that ended leaves the other open.
    upstream.allowHalfOpen = true;
    if (rest !== undefined && rest.length > 0) upstream.write(rest);
    client.on("data", countPassed);
    upstream.on("data", countPassed);
    client.pipe(upstream);
    upstream.pipe(client);
    services.deadlines.add(this);
  }

  /** It would not be opened now: the host is granted, or denied. */
  retire(): void {
    if (this.#closeAtLatest !== Number.POSITIVE_INFINITY) return;
    this.#closeAtLatest = this.#services.clock() + closeAtLatestMs;
    this.deadlineAt = this.#services.clock() + idleBeforeCloseMs;
    this.#movedBytes = this.#total();
  }

  onDeadline(): void {
    const now = this.#services.clock();
    if (this.#clientStall.lastsOn(this.#client, now)) this.#error = "client-stalled";
    else if (this.#upstreamStall.lastsOn(this.#upstream, now)) this.#error = "upstream-stalled";
    if (this.#error !== undefined || this.#isRetired(now)) {
      this.destroy();
      return;
    }
    const isRetiring = this.#closeAtLatest !== Number.POSITIVE_INFINITY;
    const nextMs = isRetiring ? idleBeforeCloseMs : this.#clientStall.lookMs;
    this.deadlineAt = Math.min(now + nextMs, this.#closeAtLatest);
  }

  destroy(): void {
    this.#client.destroy();
    this.#upstream.destroy();
  }

  #isRetired(now: number): boolean {
    if (this.#closeAtLatest === Number.POSITIVE_INFINITY) return false;
    const moved = this.#total();
    if (moved === this.#movedBytes || now >= this.#closeAtLatest) return true;
    this.#movedBytes = moved;
    return false;
  }

  #total(): number {
    return this.#client.bytesRead + this.#upstream.bytesRead;
  }

  #onSocketClosed(): void {
    this.#open -= 1;
    if (this.#open > 0) {
      // A socket that closed without an error after both directions ended leaves the other to finish; else both go.
      if (this.#client.destroyed && !this.#client.readableEnded) this.#upstream.destroy();
      if (this.#upstream.destroyed && !this.#upstream.readableEnded) this.#client.destroy();
      return;
    }
    this.#services.deadlines.delete(this);
    const { sandboxId, way, authority, reason } = this.route;
    this.#services.parts.audit.record({
      type: "tunnel",
      time: this.#services.timeOf(this.#startedAt),
      id: this.#services.nextId(),
      sandbox: sandboxId,
      way,
      authority: this.#services.describe(authority),
      reason,
      ...(this.#error === undefined ? undefined : { error: this.#error }),
      sentBytes: this.#upstream.bytesWritten,
      receivedBytes: this.#upstream.bytesRead,
      durationMs: this.#services.clock() - this.#startedAt,
    });
    this.#onClosed(this);
  }
}
