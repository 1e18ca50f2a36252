// The keyswap that a command's sandbox goes through: the one that is configured or runs on the data folder, else a private
// one.

import type { Config } from "../config/settings.ts";
import type { AuditEvent } from "../core/audit.ts";
import { findRunningApi } from "./api-access.ts";
import { ApiClient } from "./api-client.ts";
import { refuseInspection } from "./hardening.ts";

export interface Gateway extends AsyncDisposable {
  readonly client: ApiClient;
  /** A private one tells `observe` of every event; one that runs has its own audit. */
  readonly isPrivate: boolean;
}

/** The keyswap that is configured or runs here; else a private one, which ends with the command. */
export async function openGateway(config: Config, observe: (event: AuditEvent) => void): Promise<Gateway> {
  // Against the command, whose parent this process is. Without a word: the terminal is the command's.
  refuseInspection({ warn: () => {} });
  const running = await findRunningApi(config);
  if (running !== undefined) {
    const client = new ApiClient(running);
    return { client, isPrivate: false, [Symbol.asyncDispose]: async () => client.close() };
  }
  // The server's parts are loaded only here.
  const { openPrivateKeyswap } = await import("./private-keyswap.ts");
  const { client, close } = await openPrivateKeyswap(config, { observe });
  return { client, isPrivate: true, [Symbol.asyncDispose]: () => close(0) };
}
