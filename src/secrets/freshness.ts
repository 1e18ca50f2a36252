// What decides how long an answer of the Secret API may be used, shared by all that is cached: the TTL, the bound on
// staleness, what the change stream tells, and whether the API can be heard at all.

import { backoffMs } from "./backoff.ts";

export interface FreshnessOptions {
  /** For how long an answer is good where nothing is pushed. */
  readonly ttlMs: number;
  /** For how long after its confirmation an answer may serve while the API cannot be heard. */
  readonly maxStaleMs: number;
  /** A change stream that was silent for longer is not believed. */
  readonly silenceMs: number;
  /** In [0, 1). */
  readonly random: () => number;
}

export class Freshness {
  ttlMs: number;
  maxStaleMs: number;
  readonly random: () => number;
  readonly breaker: Breaker;
  readonly #silenceMs: number;
  /** Counts the times at which anything may have changed unheard: answers of an earlier epoch are not used. */
  epoch = 0;
  /** Whether every change up to `heardAt` has been heard. */
  current = false;
  /** When the stream was last heard while current: answers of this epoch that no change has named were right then. */
  heardAt = Number.NEGATIVE_INFINITY;

  constructor(options: FreshnessOptions) {
    this.ttlMs = options.ttlMs;
    this.maxStaleMs = options.maxStaleMs;
    this.random = options.random;
    this.#silenceMs = options.silenceMs;
    this.breaker = new Breaker(options.random);
  }

  /** Whether changes are pushed to us now. Looks at the clock too: a process that was stopped has heard nothing. */
  isLive(now: number): boolean {
    return this.current && now - this.heardAt <= this.#silenceMs;
  }
}

const tripAfter = 3;
const firstPauseMs = 1000;
const maxPauseMs = 5000;

/**
 * Keeps a dead API from being asked once per sandbox: after three failures in a row, one call at a time may try, with
 * growing pauses, until something is heard.
 */
export class Breaker {
  readonly #random: () => number;
  #failures = 0;
  #openUntil = 0;
  #detail = "";

  constructor(random: () => number) {
    this.#random = random;
  }

  get open(): boolean {
    return this.#failures >= tripAfter;
  }

  /** Why it is open; safe to show. */
  get detail(): string {
    return this.#detail;
  }

  /** Whether a call may be made now; a caller that is told so while open is the one that tries. */
  admit(now: number): boolean {
    if (!this.open) return true;
    if (now < this.#openUntil) return false;
    this.#pause(now);
    return true;
  }

  /** The API was heard, whatever it said. */
  heard(): void {
    this.#failures = 0;
  }

  unheard(now: number, detail: string): void {
    this.#failures++;
    this.#detail = detail;
    if (this.open) this.#pause(now);
  }

  #pause(now: number): void {
    this.#openUntil = now + backoffMs(this.#failures - tripAfter + 1, firstPauseMs, maxPauseMs, this.#random);
  }
}
