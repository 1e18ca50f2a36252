// The log: pino JSON on stderr. It names secrets and never holds a value; errors are cut down to what is safe to show.

import { type Logger, pino } from "pino";

export type { Logger } from "pino";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/** Lines that wait for a stalled reader of stderr, in bytes; what is beyond is dropped rather than held. */
const MAX_WAITING_BYTES = 1_048_576;

export interface Logging {
  readonly logger: Logger;
  /** Writes what waits. Call it last. */
  flush(): void;
}

/** `fd`: where to write, stderr if absent. */
export function createLogging(options: { level: LogLevel; fd?: number }): Logging {
  // Not synchronous: a reader of stderr that stalls must not stall the proxy.
  const destination = pino.destination({ dest: options.fd ?? 2, sync: false, maxLength: MAX_WAITING_BYTES });
  // A closed stderr leaves nowhere to complain to.
  destination.on("error", () => {});
  const logger = pino(
    {
      level: options.level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError, error: describeError },
    },
    destination,
  );
  return {
    logger,
    flush: () => {
      try {
        destination.flushSync();
      } catch {
        // As above: stderr is closed, or was never ready.
      }
    },
  };
}

interface ErrorDescription {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: ErrorDescription;
}

const MAX_CAUSES = 4;

/**
 * An error without the properties that libraries hang on it: sockets, requests and their headers, SQL with its
 * parameters, any of which may hold a value.
 */
export function describeError(error: unknown, depth = 0): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: "something that is no Error was thrown" };
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth >= MAX_CAUSES ? {} : { cause: describeError(error.cause, depth + 1) }),
  };
}
