// A file that is complete before it has its name, and never takes the place of another.

import { randomBytes } from "node:crypto";
import { linkSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CliError } from "./cli-error.ts";
import { codeOf } from "./errno.ts";

/**
 * Writes a new file with mode 0600. Throws the system's error: EEXIST where something stands there already. Linked, not
 * renamed: of two who write at once, the first wins.
 */
export function writeNewFile(path: string, content: string): void {
  const draft = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  try {
    writeFileSync(draft, content, { mode: 0o600, flag: "wx", flush: true });
    linkSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** As `writeNewFile`, for a file that the user named. Throws CliError. */
export function writeOutputFile(path: string, content: string): void {
  try {
    writeNewFile(path, content);
  } catch (error) {
    const code = codeOf(error);
    const problem = code === "EEXIST" ? "exists already and is not overwritten" : `cannot be written (${code})`;
    throw new CliError(1, `${path} ${problem}`, { cause: error });
  }
}
