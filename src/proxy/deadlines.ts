// Coarse deadlines for many connections: one timer for all, because a timer per exchange costs more than the exchange.

import type { Clock } from "../core/ports.ts";

/** Something that can run out of time. */
export interface Timed {
  /** Milliseconds since the epoch; Infinity while nothing is due. Read at every sweep. */
  readonly deadlineAt: number;
  onDeadline(): void;
}

const sweepMs = 500;

/** Deadlines are met up to half a second late. */
export class Deadlines {
  readonly #timed = new Set<Timed>();
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;
  /** How often deadlines were looked at: a coarse clock that costs nothing to read. */
  sweeps = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(timed: Timed): void {
    this.#timed.add(timed);
    this.#timer ??= setInterval(() => this.sweep(), sweepMs).unref();
  }

  delete(timed: Timed): void {
    this.#timed.delete(timed);
  }

  sweep(): void {
    this.sweeps += 1;
    const now = this.#clock();
    for (const timed of this.#timed) if (timed.deadlineAt <= now) timed.onDeadline();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#timed.clear();
  }
}
