// Host patterns on a command line.

import { parseHostPattern } from "../core/authority/pattern.ts";
import { CliError } from "./command.ts";

/** The patterns as they were given. Throws CliError, which names the flag: the API's own refusal names a field of its body. */
export function checkHosts(flag: string, patterns: readonly string[]): readonly string[] {
  for (const pattern of patterns) {
    const result = parseHostPattern(pattern);
    // Not quoted: a URL may hold a password.
    if (result.kind === "invalid") throw new CliError(2, `${flag}: ${result.detail}`);
  }
  return patterns;
}
