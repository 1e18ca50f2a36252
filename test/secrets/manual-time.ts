// Time that passes when a test says so.

import type { Timers } from "../../src/secrets/timers.ts";

interface Alarm {
  readonly at: number;
  readonly callback: () => void;
}

export class ManualTime implements Timers {
  now = 1_000_000;
  readonly #alarms = new Set<Alarm>();

  readonly clock = (): number => this.now;

  get pending(): number {
    return this.#alarms.size;
  }

  after(ms: number, callback: () => void): () => void {
    const alarm = { at: this.now + ms, callback };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Moves on and rings what is due, in order. */
  pass(ms: number): void {
    this.now += ms;
    const due = [...this.#alarms].filter((alarm) => alarm.at <= this.now).sort((a, b) => a.at - b.at);
    for (const alarm of due) {
      if (this.#alarms.delete(alarm)) alarm.callback();
    }
  }
}
