// The keyswap that a command's sandbox goes through: the one that is configured or runs on the data folder, else a private
// one.

import { type Config, FILE_SUFFIX, plainName } from "../config/settings.ts";
import type { AuditEvent } from "../core/audit.ts";
import { findRunningApi } from "./api-access.ts";
import { ApiClient } from "./api-client.ts";
import { CliError } from "./cli-error.ts";
import { refuseInspection } from "./hardening.ts";
import type { Flags } from "./setting-flags.ts";

export interface Gateway extends AsyncDisposable {
  readonly client: ApiClient;
  /** A private one tells `observe` of every event; one that runs has its own audit. */
  readonly isPrivate: boolean;
}

/** Flags that say which keyswap is meant; a file may say it, too. */
const findingFlags: ReadonlySet<string> = new Set([
  "config",
  plainName("dataDir"),
  plainName("secretApiUrl"),
  plainName("secretApiCa"),
  plainName("apiKey") + FILE_SUFFIX,
]);

/**
 * The keyswap that is configured or runs here; else a private one, which ends with the command. Throws CliError where
 * `flags` has a setting that the running one would not heed: it may be what keeps a value from going out.
 */
export async function openGateway(
  config: Config,
  flags: Flags,
  observe: (event: AuditEvent) => void,
): Promise<Gateway> {
  // Against the command, whose parent this process is. Without a word: the terminal is the command's.
  refuseInspection({ warn: () => {} });
  const running = await findRunningApi(config);
  if (running !== undefined) {
    refuseOthers(flags, config);
    const client = new ApiClient(running);
    return { client, isPrivate: false, [Symbol.asyncDispose]: async () => client.close() };
  }
  // The server's parts are loaded only here.
  const { openPrivateKeyswap } = await import("./private-keyswap.ts");
  const { client, close } = await openPrivateKeyswap(config, { observe });
  return { client, isPrivate: true, [Symbol.asyncDispose]: () => close(0) };
}

function refuseOthers(flags: Flags, { secretApiUrl }: Config): void {
  const others = [...flags.keys()].filter((plain) => !findingFlags.has(plain)).map((plain) => `--${plain}`);
  if (others.length === 0) return;
  const [found, wayOut] =
    secretApiUrl === undefined
      ? [
          "a keyswap runs already",
          "Set it there, or stop it, or give --data-dir a folder of its own, with secrets of its own.",
        ]
      : [`${plainName("secretApiUrl")} names a keyswap`, `Set it there, or leave ${plainName("secretApiUrl")} out.`];
  throw new CliError(2, `${found}, which has its own settings: ${others.join(", ")} would do nothing`, {
    hint: `${wayOut}\nNothing was run.`,
  });
}
