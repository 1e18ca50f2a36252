// How often something may be done: so many times at once, and then so many each second.

import { LRUCache } from "lru-cache";
import type { Clock } from "../core/ports.ts";

export interface AllowanceOptions {
  /** So many at once. */
  readonly burst: number;
  /** Regained each second. */
  readonly perSecond: number;
  readonly clock: Clock;
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
  readonly #byKey = new LRUCache<string, Allowance>({ max: maxKeys });

  constructor(options: AllowanceOptions) {
    this.#options = options;
  }

  /** Uses one of `key`'s up; false where none is left. */
  take(key: string): boolean {
    let allowance = this.#byKey.get(key);
    if (allowance === undefined) {
      allowance = new Allowance(this.#options);
      this.#byKey.set(key, allowance);
    }
    return allowance.take();
  }

  isEmpty(key: string): boolean {
    return this.#byKey.get(key)?.isEmpty === true;
  }
}
