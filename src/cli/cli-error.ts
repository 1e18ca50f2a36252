// How a command fails. Apart from command.ts, since the threads and processes of a service have no use for commander.

/** 1: it did not work. 2: wrong usage or configuration. */
export type FailureCode = 1 | 2;

/** Ends a command with a message for its user. The message never holds a value. */
export class CliError extends Error {
  readonly exitCode: FailureCode;
  /** What to do next. */
  readonly hint: string | undefined;

  constructor(exitCode: FailureCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "CliError";
    this.exitCode = exitCode;
    this.hint = options.hint;
  }
}
