// How many wrong credentials one address may show. Beyond the bound none is looked up for it any more, so that guessing,
// and the store's work for it, are bounded; but a credential that was right from the same address before is looked up
// always, so that whoever guesses keeps none of their neighbours out: behind one NAT, or on one machine, where the proxies
// and a sandbox's code may be neighbours.
//
// What that leaves: beyond the bound a guess is still compared with the credentials that its own neighbours have shown.
// Made ones are 256 random bits. A call without any credential guesses nothing and is not counted, nor is a session's
// cookie: it is as long, and browsers show old ones after a restart.

import type { FastifyBaseLogger } from "fastify";
import { LRUCache } from "lru-cache";
import { Allowances, perMinute } from "../core/allowance.ts";
import { neighbourhoodOf } from "../core/authority/neighbourhood.ts";
import type { Clock } from "../core/ports.ts";
import { Problem } from "./problem.ts";

/** Credentials that were right, by address; beyond it the one that was not shown for longest is forgotten. */
const maxKnown = 10_000;
/** How often the log says of one address that it is at the bound. */
const warnEveryMs = 60_000;

export class LoginGuard {
  readonly #clock: Clock;
  readonly #logger: FastifyBaseLogger;
  readonly #wrong: Allowances;
  /** Until one more wrong credential may be shown. */
  readonly #retryAfterSeconds: number;
  readonly #known = new LRUCache<string, true>({ max: maxKnown });
  readonly #warnedAt = new LRUCache<string, number>({ max: 1_000 });

  /** `maxFailedLogins`: in a minute, for each address. */
  constructor(maxFailedLogins: number, clock: Clock, logger: FastifyBaseLogger) {
    this.#clock = clock;
    this.#logger = logger;
    this.#wrong = new Allowances(perMinute(maxFailedLogins, clock));
    this.#retryAfterSeconds = Math.ceil(60 / maxFailedLogins);
  }

  /** Runs `identify`, which throws a Problem of 401 for a wrong credential. Throws 429 where it was not to be tried. */
  async judge<T>(address: string, credentialHash: string, identify: () => Promise<T>): Promise<T> {
    const from = neighbourhoodOf(address);
    const known = `${from} ${credentialHash}`;
    // Taken before it is known to be wrong: many guesses at a time are no way around the bound.
    const wasKnown = this.#known.get(known) === true;
    if (!wasKnown && !this.#wrong.take(from)) throw this.#tooMany(from);
    try {
      const caller = await identify();
      if (!wasKnown) this.#wrong.giveBack(from);
      this.#known.set(known, true);
      return caller;
    } catch (error) {
      const isWrong = error instanceof Problem && error.status === 401;
      if (isWrong && wasKnown) {
        // Revoked since: from here on it is a guess like any other.
        this.#known.delete(known);
        this.#wrong.take(from);
      } else if (!isWrong && !wasKnown) this.#wrong.giveBack(from);
      throw error;
    }
  }

  #tooMany(from: string): Problem {
    const now = this.#clock();
    if (now - (this.#warnedAt.get(from) ?? Number.NEGATIVE_INFINITY) >= warnEveryMs) {
      this.#warnedAt.set(from, now);
      this.#logger.warn(
        { from },
        "too many wrong credentials: those that were not right from there before are refused",
      );
    }
    const seconds = this.#retryAfterSeconds;
    return new Problem(
      429,
      `Too many wrong credentials were shown from this address; check the key and try again in ${seconds} s`,
      { "retry-after": String(seconds) },
    );
  }
}
