// The keyswap that a command's sandbox goes through: the one that is configured or runs on the data folder, else a private
// one.

import type { Config } from "../config/settings.ts";
import type { AuditEvent } from "../core/audit.ts";
import { findRunningApi } from "./api-access.ts";
import { ApiClient } from "./api-client.ts";
import { composeStart } from "./compose.ts";
import { DataFolder } from "./data-folder.ts";

export interface Gateway extends AsyncDisposable {
  readonly client: ApiClient;
  /** A private one tells `observe` of every event; one that runs has its own audit. */
  readonly isPrivate: boolean;
}

/** The keyswap that is configured or runs here; else a private one, which ends with the command. */
export async function openGateway(config: Config, observe: (event: AuditEvent) => void): Promise<Gateway> {
  const running = await findRunningApi(config);
  if (running !== undefined) {
    const client = new ApiClient(running);
    return { client, isPrivate: false, [Symbol.asyncDispose]: async () => client.close() };
  }
  const { createLogging } = await import("../telemetry/logger.ts");
  const logging = createLogging({ level: config.logLevel });
  const service = await composeStart(config, logging.logger, { shared: false, observe });
  service.failed.catch((error: unknown) => logging.logger.error({ err: error }, "the private keyswap failed"));
  // composeStart has made the key where there was none, and has an API.
  const key = config.apiKey ?? DataFolder.open(config.dataDir).openKey("api-key");
  const client = new ApiClient({ url: service.addresses.api!, key });
  return {
    client,
    isPrivate: true,
    [Symbol.asyncDispose]: async () => {
      client.close();
      await service.close(0);
      await logging.flush();
    },
  };
}
