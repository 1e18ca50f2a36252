// The package's own version.

import { readFileSync } from "node:fs";

let version: string | undefined;

export function readVersion(): string {
  if (version === undefined) {
    // `src/cli` and `dist/cli` are equally deep.
    const content: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    const isPackage = typeof content === "object" && content !== null && "version" in content;
    version = isPackage ? String(content.version) : "unknown";
  }
  return version;
}
