// Tells the Secret API at intervals, and soon after grants were loaded, what this proxy holds and what is open; learns the fingerprint of
// the CA that sandboxes are told to trust. What it hears counts as a sign of life of the API.

import type { Clock, ConnectionCounts } from "../core/ports.ts";
import type { ProxyReport, SecretApiClient } from "./client.ts";
import type { GrantCache } from "./grant-cache.ts";
import { steadyClock, systemTimers, type Timers } from "./timers.ts";

export interface HeartbeatOptions {
  readonly client: Pick<SecretApiClient, "report">;
  readonly cache: Pick<GrantCache, "onChange" | "held" | "state">;
  /** Of this process, unique. */
  readonly id: string;
  /** For people. */
  readonly name: string;
  readonly caFingerprint: () => string;
  /** What is open now, of at most `max` sandboxes; without it the report is silent on it. */
  readonly connections?: (max: number) => ConnectionCounts;
  /** Must not jump, and be the cache's. */
  readonly clock?: Clock;
  readonly timers?: Timers;
}

export type HeartbeatState =
  | { readonly kind: "unknown" }
  /** The API has no such call: nothing is known of its CA. */
  | { readonly kind: "absent" }
  | { readonly kind: "heard" }
  | { readonly kind: "failed"; readonly reason: "unreachable" | "refused" | "malformed"; readonly detail: string };

const EVERY_MS = 10_000;
const SOON_MS = 250;
/** Where the API has no such call it may be replaced by one that has. */
const ABSENT_RETRY_MS = 60_000;
/** Bound on the sandboxes of one report: those that were used last. */
const MAX_SANDBOXES = 1_000;
/** Bound on the sandboxes whose connections are told one by one. */
const MAX_CONNECTED = 500;

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #unsubscribe: () => void;
  #state: HeartbeatState = { kind: "unknown" };
  #heardAt: number | undefined;
  #apiCaFingerprint: string | undefined;
  #cancel: () => void = () => {};
  #isSoon = false;
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#clock = options.clock ?? steadyClock;
    this.#timers = options.timers ?? systemTimers;
    this.#unsubscribe = options.cache.onChange(() => this.#soon());
    this.#sending = this.#beat();
  }

  get state(): HeartbeatState {
    return this.#state;
  }

  /** When the API last answered a report. */
  get heardAt(): number | undefined {
    return this.#heardAt;
  }

  /** Of the CA that sandboxes are told to trust, as the API last said it; undefined where it has none. */
  get apiCaFingerprint(): string | undefined {
    return this.#apiCaFingerprint;
  }

  /** Resolves when the first report has been answered or has failed. */
  async tried(): Promise<void> {
    if (this.#state.kind === "unknown") await this.#sending;
  }

  /** Says goodbye, so that nobody waits for this proxy. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe();
    this.#cancel();
    await this.#sending;
    if (this.#state.kind === "heard") await this.#options.client.report({ ...this.#report(), isLeaving: true });
  }

  #soon(): void {
    // After a failure the pace stays, and what is under way is followed by another.
    if (this.#isSoon || this.#closed || this.#state.kind !== "heard") return;
    this.#isSoon = true;
    this.#cancel();
    this.#wait(SOON_MS);
  }

  #wait(ms: number): void {
    this.#cancel = this.#timers.after(ms, () => {
      this.#isSoon = false;
      this.#sending = (this.#sending ?? Promise.resolve()).then(() => this.#beat());
    });
  }

  /** Never rejects. */
  async #beat(): Promise<void> {
    if (this.#closed) return;
    const answer = await this.#options.client.report(this.#report());
    switch (answer.kind) {
      case "answer":
        this.#state = { kind: "heard" };
        this.#heardAt = this.#clock();
        this.#apiCaFingerprint = answer.value.caFingerprint;
        break;
      case "absent":
        this.#state = { kind: "absent" };
        break;
      case "failed":
        this.#state = answer;
        break;
      case "not-modified":
        // Nothing conditional was asked.
        break;
      default:
        answer satisfies never;
    }
    if (this.#closed || this.#isSoon) return;
    this.#cancel();
    this.#wait(this.#state.kind === "absent" ? ABSENT_RETRY_MS : EVERY_MS);
  }

  #report(): ProxyReport {
    const { cache, id, name, caFingerprint, connections } = this.#options;
    const { stream, version, sandboxes } = cache.state;
    return {
      id,
      name,
      caFingerprint: caFingerprint(),
      heardVersion: stream === "live" ? (version ?? null) : null,
      grants: cache.held(MAX_SANDBOXES),
      isComplete: sandboxes <= MAX_SANDBOXES,
      ...(connections === undefined ? {} : { connections: connections(MAX_CONNECTED) }),
    };
  }
}
