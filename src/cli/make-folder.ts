// Making folders on the user's machine. Imports little: launch.ts is read before everything else.

import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { codeOf } from "./errno.ts";

/**
 * Makes the folder and those above it that are missing, for their owner alone. Node's own recursive mkdir says ENOENT for
 * a read-only file system and goes on for ever below /proc. Throws what the system says.
 */
export function makeFolder(path: string): void {
  for (const folder of missingFolders(path)) {
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      // Somebody else made it first, or it is there and cannot be seen; the next step tells.
      if (codeOf(error) !== "EEXIST") throw error;
    }
  }
  if (!statSync(path).isDirectory()) mkdirSync(path);
}

/** Those on the way to `path` that are not there, it too; the uppermost comes first. */
export function missingFolders(path: string): readonly string[] {
  const missing: string[] = [];
  for (let at = path; !existsSync(at) && at !== dirname(at); at = dirname(at)) missing.unshift(at);
  return missing;
}
