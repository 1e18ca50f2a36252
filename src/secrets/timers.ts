// Time as it is passed in: real timers, or a test's.

// The global of this name asks each time who it is.
import { performance } from "node:perf_hooks";
import type { Clock } from "../core/ports.ts";

const { timeOrigin } = performance;
/**
 * Starts as the clock on the wall and does not jump with it: deadlines must neither all be over nor all be far away when
 * somebody sets the time. Its moments compare with its own alone.
 */
export const steadyClock: Clock = () => Math.floor(timeOrigin + performance.now());

export interface Timers {
  /** Calls back once. Returns the function that calls it off. */
  after(ms: number, callback: () => void): () => void;
}

/** None of these keeps the process alive: listeners do that. */
export const systemTimers: Timers = {
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
