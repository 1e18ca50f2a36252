// One answer of the Secret API and the rules by which it may be used:
//
//   fresh     confirmed within the TTL; or the change stream is live, and neither a change nor a gap has touched it
//   expired   fetched anew before it is used. If the API cannot be heard, it serves on, up to the bound on staleness
//   touched   a change named it, a gap may hide one, or the API was heard and could not be followed: never used again until
//             a fetch that began later has succeeded
//
// One fetch at a time. After a failure the next one waits, with backoff, and requests do not wait for it.

import type { Clock } from "../core/ports.ts";
import { backoffMs } from "./backoff.ts";
import type { Failure } from "./client.ts";
import type { Freshness } from "./freshness.ts";

export interface Unavailable {
  readonly kind: "unavailable";
  /** Safe to show. */
  readonly detail: string;
}

export type Fetched<A> =
  /** `lifeMs`: good for this long whatever the rules say, and not a moment more. */
  | { readonly kind: "new"; readonly answer: A; readonly etag: string | undefined; readonly lifeMs?: number }
  | { readonly kind: "same" }
  | Failure;

export interface CachedAnswerOptions<A> {
  readonly freshness: Freshness;
  readonly clock: Clock;
  /** Never rejects. Given the ETag of the answer that is held; only then may it say "same". */
  fetch(etag: string | undefined): Promise<Fetched<A>>;
  /** An answer was accepted in the place of another, or as the first. */
  replaced(answer: A): void;
  /** A fetch has ended, however. */
  settled(failure: Failure | undefined): void;
}

const firstRetryMs = 1000;
const maxRetryMs = 5000;
/** Fetches in a row that changes may overtake before the requests that wait are given up. */
const maxOvertaken = 8;
/** In the last part of the TTL a use starts a fetch in the background, so that busy answers never expire. */
const earlyPart = 0.2;

export class CachedAnswer<A extends object> {
  readonly #options: CachedAnswerOptions<A>;
  readonly #freshness: Freshness;
  #answer: A | undefined;
  #etag: string | undefined;
  /** When the fetch that confirmed it began, and in which epoch. */
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #epoch = -1;
  #confirmations = 0;
  #goodUntil = Number.POSITIVE_INFINITY;
  /** Counts what touches the answer, so that a fetch under way knows that it was overtaken. */
  #touches = 0;
  #touched = false;
  #flight: Promise<A | Unavailable> | undefined;
  #failures = 0;
  #retryAt = 0;
  #unavailable: Unavailable = { kind: "unavailable", detail: "not fetched yet" };

  constructor(options: CachedAnswerOptions<A>) {
    this.#options = options;
    this.#freshness = options.freshness;
  }

  /** How many fetches have confirmed or replaced the answer. */
  get confirmations(): number {
    return this.#confirmations;
  }

  /** The answer, where it may be used as it is. The hot path: no allocation. */
  fresh(now: number): A | undefined {
    if (this.#answer === undefined || this.#touched || this.#epoch !== this.#freshness.epoch) return undefined;
    if (now >= this.#goodUntil) return undefined;
    if (this.#freshness.isLive(now)) return this.#answer;
    const age = now - this.#rightAt();
    return age >= 0 && age < this.#freshness.ttlMs ? this.#answer : undefined;
  }

  /** Whether the answer was right less than this long ago. */
  isYounger(now: number, ms: number): boolean {
    const age = now - this.#rightAt();
    return age >= 0 && age < ms;
  }

  /** The answer by the rules above. Never rejects. */
  get(now: number): A | Unavailable | Promise<A | Unavailable> {
    const fresh = this.fresh(now);
    if (fresh !== undefined) {
      if (this.#isNearExpiry(now)) void this.#load(now);
      return fresh;
    }
    if (this.#flight === undefined && this.#isFailing() && now < this.#retryAt) return this.#fallback(now);
    const loaded = this.#load(now);
    // Once the API is known to be ill nobody waits for it who can do without.
    if (!this.#isFailing()) return loaded;
    const stale = this.#stale(now);
    return stale ?? loaded;
  }

  /** Fetches, whatever is cached; the fetch begins after the call. Never rejects. */
  async revalidate(): Promise<A | Unavailable> {
    await this.#flight;
    return this.#load(this.#options.clock());
  }

  /** As `revalidate`, but soon after a failure the API is left in peace. */
  confirm(now: number): A | Unavailable | Promise<A | Unavailable> {
    return this.#isFailing() && now < this.#retryAt ? this.#fallback(now) : this.revalidate();
  }

  /** From now on the answer is not used until it was fetched anew. */
  touch(): void {
    this.#touches++;
    this.#touched = true;
  }

  /** Replaces the answer by one that says the same for all that freshness is concerned. */
  amend(answer: A): void {
    this.#answer = answer;
  }

  #rightAt(): number {
    if (this.#epoch !== this.#freshness.epoch) return this.#confirmedAt;
    return Math.max(this.#confirmedAt, this.#freshness.heardAt);
  }

  #isFailing(): boolean {
    return this.#failures > 0 || this.#freshness.breaker.open;
  }

  #isNearExpiry(now: number): boolean {
    if (this.#flight !== undefined || this.#goodUntil !== Number.POSITIVE_INFINITY) return false;
    if (this.#freshness.isLive(now) || now < this.#retryAt) return false;
    return now - this.#rightAt() >= this.#freshness.ttlMs * (1 - earlyPart);
  }

  /** The answer, where it may serve although it could not be confirmed. */
  #stale(now: number): A | undefined {
    if (this.#answer === undefined || this.#touched || this.#epoch !== this.#freshness.epoch) return undefined;
    if (now >= this.#goodUntil) return undefined;
    return this.isYounger(now, this.#freshness.maxStaleMs) ? this.#answer : undefined;
  }

  #fallback(now: number): A | Unavailable {
    return this.#stale(now) ?? this.#unavailable;
  }

  #load(now: number): Promise<A | Unavailable> {
    if (this.#flight !== undefined) return this.#flight;
    if (!this.#freshness.breaker.admit(now)) {
      this.#unavailable = { kind: "unavailable", detail: this.#freshness.breaker.detail };
      return Promise.resolve(this.#fallback(now));
    }
    const flight = this.#fly().finally(() => {
      this.#flight = undefined;
    });
    this.#flight = flight;
    return flight;
  }

  async #fly(): Promise<A | Unavailable> {
    const { clock, fetch, settled } = this.#options;
    for (let round = 0; round < maxOvertaken; round++) {
      const beganAt = clock();
      const epoch = this.#freshness.epoch;
      const touches = this.#touches;
      const fetched = await fetch(this.#answer === undefined ? undefined : this.#etag).catch(unreadable);
      if (fetched.kind === "failed") {
        const answer = this.#fail(fetched);
        settled(fetched);
        return answer;
      }
      this.#freshness.breaker.heard();
      // Overtaken by a change: what came may be what was before it.
      if (touches !== this.#touches || epoch !== this.#freshness.epoch) continue;
      const answer = this.#accept(fetched, beganAt, epoch);
      settled(undefined);
      return answer;
    }
    const overtaken: Failure = {
      kind: "failed",
      reason: "unreachable",
      detail: "it changes faster than it can be fetched",
    };
    const answer = this.#fail(overtaken);
    settled(overtaken);
    return answer;
  }

  #accept(fetched: Exclude<Fetched<A>, Failure>, beganAt: number, epoch: number): A {
    this.#confirmations++;
    this.#confirmedAt = beganAt;
    this.#epoch = epoch;
    this.#touched = false;
    this.#failures = 0;
    this.#retryAt = 0;
    if (fetched.kind === "new") {
      this.#answer = fetched.answer;
      this.#etag = fetched.etag;
      this.#goodUntil = fetched.lifeMs === undefined ? Number.POSITIVE_INFINITY : beganAt + fetched.lifeMs;
      this.#options.replaced(fetched.answer);
    }
    // "same" is said of an answer that is held.
    return this.#answer as A;
  }

  #fail(failure: Failure): A | Unavailable {
    const now = this.#options.clock();
    this.#failures++;
    this.#retryAt = now + backoffMs(this.#failures, firstRetryMs, maxRetryMs, this.#freshness.random);
    this.#unavailable = { kind: "unavailable", detail: failure.detail };
    if (failure.reason === "unreachable") {
      this.#freshness.breaker.unheard(now, failure.detail);
    } else {
      // It was heard: what we hold is not what it says.
      this.#freshness.breaker.heard();
      this.touch();
    }
    return this.#fallback(now);
  }
}

/** A defect of ours; requests must not hang on it, and the process must not end by it. */
function unreadable(): Failure {
  return { kind: "failed", reason: "malformed", detail: "the answer could not be read" };
}
