// How often something may be done: so many times at once, and then so many each second.

import type { Clock } from "./ports.ts";

export interface AllowanceOptions {
  /** So many at once. */
  readonly burst: number;
  /** Regained each second. */
  readonly perSecond: number;
  readonly clock: Clock;
}

/** So many in a minute, and as many at once. */
export function perMinute(count: number, clock: Clock): AllowanceOptions {
  return { burst: count, perSecond: count / 60, clock };
}

export class Allowance {
  readonly #options: AllowanceOptions;
  #left: number;
  #at: number;

  constructor(options: AllowanceOptions) {
    this.#options = options;
    this.#left = options.burst;
    this.#at = options.clock();
  }

  /** Uses one up; false where none is left. */
  take(): boolean {
    this.#regain();
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  /** One that was taken was not needed. */
  giveBack(): void {
    this.#left = Math.min(this.#options.burst, this.#left + 1);
  }

  get isEmpty(): boolean {
    this.#regain();
    return this.#left < 1;
  }

  #regain(): void {
    const { burst, perSecond, clock } = this.#options;
    const now = clock();
    // A clock that was set back gives nothing, and takes nothing away.
    this.#left = Math.min(burst, this.#left + (Math.max(0, now - this.#at) / 1000) * perSecond);
    this.#at = now;
  }
}

/** Beyond this many keys the one that was not used for longest starts anew. */
const maxKeys = 10_000;

/** One allowance for each sandbox, or each address. */
export class Allowances {
  readonly #options: AllowanceOptions;
  /** The one that was not used for longest is first. */
  readonly #byKey = new Map<string, Allowance>();

  constructor(options: AllowanceOptions) {
    this.#options = options;
  }

  /** Uses one of `key`'s up; false where none is left. */
  take(key: string): boolean {
    const allowance = this.#byKey.get(key) ?? new Allowance(this.#options);
    this.#byKey.delete(key);
    this.#byKey.set(key, allowance);
    if (this.#byKey.size > maxKeys) {
      const [oldest] = this.#byKey.keys();
      if (oldest !== undefined) this.#byKey.delete(oldest);
    }
    return allowance.take();
  }

  giveBack(key: string): void {
    this.#byKey.get(key)?.giveBack();
  }

  isEmpty(key: string): boolean {
    return this.#byKey.get(key)?.isEmpty === true;
  }
}
