// Where the code that V8 has compiled is kept.

import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { makeFolder } from "./make-folder.ts";

/**
 * Beside the packages, else in the user's home: compiled code is run unseen, so it must not lie where anybody could have
 * put it, as in Node's own choice below /tmp. Undefined: neither can be written.
 */
export function compileCacheFolder(): string | undefined {
  const folders = [
    resolve(import.meta.dirname, "../../node_modules/.cache"),
    process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"),
  ];
  for (const folder of folders) {
    try {
      const path = join(folder, "keyswap");
      makeFolder(path);
      return path;
    } catch {
      // The next one.
    }
  }
  return undefined;
}
