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

/** Delay before the next try after so many failures in a row: doubled each time, up to `maxMs`, spread by up to half. */
export function backoffMs(failures: number, firstMs: number, maxMs: number, random: () => number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 20));
  return full * (0.5 + random() / 2);
}

/** What is logged: pino's shape. */
export interface SecretsLogger {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
}

export const silentLogger: SecretsLogger = { info() {}, warn() {} };
