// Making folders on the user's machine. Imports little: launch.ts is read before everything else.

import { existsSync, mkdirSync, mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CliError } from "./cli-error.ts";
import { codeOf } from "./errno.ts";

/**
 * Makes the folder and those above it that are missing, for their owner alone. Node's own recursive mkdir says ENOENT for
 * a read-only file system and goes on for ever below /proc. Throws what the system says.
 */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  for (let at = path; !existsSync(at) && at !== dirname(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) {
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      // Somebody else made it first, or it is there and cannot be seen; the next step tells.
      if (codeOf(error) !== "EEXIST") throw error;
    }
  }
  if (!statSync(path).isDirectory()) mkdirSync(path);
}

/** A new folder for files of one command's time; the caller removes it. Throws CliError where it cannot be made. */
export function makeTemporaryFolder(prefix: string): string {
  try {
    return mkdtempSync(join(tmpdir(), prefix));
  } catch (error) {
    throw new CliError(2, `a temporary folder cannot be made in ${tmpdir()} (${codeOf(error)})`, {
      hint: "Set TMPDIR to a folder that can be written.",
      cause: error,
    });
  }
}
