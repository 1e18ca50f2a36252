// Folders for files of one command's time.

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CliError } from "./cli-error.ts";
import { codeOf } from "./errno.ts";

/** A new one; the caller removes it. Throws CliError where it cannot be made. */
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
