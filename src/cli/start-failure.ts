// Why a service did not start, in words for its operator. Everything here ends the start with exit code 2 and changes
// nothing on disk. Plain data, since the API's worker thread has to send it.

import { CliError, type FailureCode } from "./cli-error.ts";

export interface StartFailure {
  readonly exitCode: FailureCode;
  readonly message: string;
  readonly hint?: string;
}

/** Codes of errors whose message was written for the operator: the CA's and the store's. */
const spokenErrors = new Set(["CertificateAuthorityError", "StoreError"]);

/** `subject`: what failed, such as `the proxy port 127.0.0.1:8080`; `variable`: the setting to change. */
export function describeStartFailure(error: unknown, subject: string, variable: string): StartFailure {
  if (error instanceof CliError) {
    const { exitCode, message, hint } = error;
    return hint === undefined ? { exitCode, message } : { exitCode, message, hint };
  }
  if (!(error instanceof Error)) return { exitCode: 1, message: `${subject} could not be started` };
  if (spokenErrors.has(error.name)) return { exitCode: 2, message: error.message };
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  switch (code) {
    case "EADDRINUSE":
      return {
        exitCode: 2,
        message: `${subject} is taken by another process`,
        hint: `End that process, or set ${variable} to another address; port 0 takes a free one.`,
      };
    case "EACCES":
    case "EPERM":
      return {
        exitCode: 2,
        message: `${subject}: permission denied`,
        hint: `Set ${variable} to what this user may use.`,
      };
    case "ENXIO":
      return {
        exitCode: 2,
        message: `${subject}: nobody reads the pipe`,
        hint: `Start its reader first, or set ${variable} to a file.`,
      };
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return { exitCode: 2, message: `${subject}: this machine has no such address`, hint: `Correct ${variable}.` };
    default:
      // A system call's errno is the surroundings' doing, all else is ours.
      return {
        exitCode: code !== undefined && /^E[A-Z0-9]+$/.test(code) ? 2 : 1,
        message: `${subject} could not be opened: ${code ?? error.message}`,
      };
  }
}

export function toCliError({ exitCode, message, hint }: StartFailure, cause?: unknown): CliError {
  return new CliError(exitCode, message, { cause, ...(hint === undefined ? {} : { hint }) });
}

/** Runs a step of the start; what it throws becomes a CliError. */
export async function startStep<T>(subject: string, variable: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw error instanceof CliError ? error : toCliError(describeStartFailure(error, subject, variable), error);
  }
}
