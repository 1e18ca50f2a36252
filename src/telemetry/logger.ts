// The log: pino JSON on stderr. It names secrets and never holds a value; errors are cut down to what is safe to show.

import { type Logger, pino } from "pino";
import type { LogDestination } from "./log-destination.ts";
import { stderrLog } from "./stderr.ts";

export type { Logger } from "pino";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

export interface LoggingOptions {
  readonly level: LogLevel;
  readonly destination?: LogLines;
}

export interface Logging {
  readonly logger: Logger;
  /** Resolves when what waits was written, or cannot be. Call it last. */
  flush(): Promise<void>;
}

/** Where log lines go, each with its line feed. */
export type LogLines = Pick<LogDestination, "write" | "flush">;

/** `destination`: stderr if absent. */
export function createLogging({ level, destination = stderrLog }: LoggingOptions): Logging {
  const logger = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError, error: serializeError },
    },
    destination,
  );
  return { logger, flush: () => destination.flush() };
}

/** A text was chosen by whoever logs; everything else is cut down. */
function serializeError(error: unknown): ErrorDescription | string {
  return typeof error === "string" ? error : describeError(error);
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
