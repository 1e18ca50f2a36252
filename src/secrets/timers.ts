// Time as it is passed in: real timers, or a test's.

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
