// A keyswap of one command's or program's own, in this process: for `run`, `doctor` and `createProxy`.

import type { Config } from "../config/settings.ts";
import type { AuditEvent } from "../core/audit.ts";
import type { SecretValue } from "../core/secret-value.ts";
import { createLogging } from "../telemetry/logger.ts";
import { ApiClient } from "./api-client.ts";
import { composeStart } from "./compose.ts";
import { DataFolder } from "./data-folder.ts";

export interface PrivateKeyswap extends AsyncDisposable {
  /** `host:port` of the proxy port. */
  readonly proxy: string;
  /** With `/api`. */
  readonly apiUrl: string;
  readonly apiKey: SecretValue;
  readonly client: ApiClient;
  /** Lets exchanges end for `graceMs` at most, then closes everything; disposing gives them no time. */
  close(graceMs: number): Promise<void>;
}

export interface PrivateOptions {
  /** It has the data folder for itself, and other commands find it there. */
  readonly shared?: boolean;
  /** Told of each audit event. */
  readonly observe?: (event: AuditEvent) => void;
  /** Told of the part that ended by itself; it is logged if absent. */
  readonly onFailed?: (error: unknown) => void;
}

/** Starts proxy and Secret API. Throws CliError where something cannot be opened. */
export async function openPrivateKeyswap(config: Config, options: PrivateOptions = {}): Promise<PrivateKeyswap> {
  const { shared = false, observe, onFailed } = options;
  await using stack = new AsyncDisposableStack();
  const logging = createLogging({ level: config.logLevel });
  stack.defer(() => logging.flush());
  const service = await composeStart(config, logging.logger, { shared, observe });
  let grace = 0;
  stack.defer(() => service.close(grace));
  service.failed.catch(
    onFailed ?? ((error: unknown) => logging.logger.error({ err: error }, "the private keyswap failed")),
  );
  // composeStart has opened both, and made the key where there was none.
  const [proxy, apiUrl] = [service.addresses.proxy!, service.addresses.api!];
  const apiKey = config.apiKey ?? DataFolder.open(config.dataDir).openKey("api-key");
  const client = new ApiClient({ url: apiUrl, key: apiKey });
  stack.defer(() => client.close());
  const owned = stack.move();
  const close = (graceMs: number): Promise<void> => {
    grace = graceMs;
    return owned.disposeAsync();
  };
  return { proxy, apiUrl, apiKey, client, close, [Symbol.asyncDispose]: () => close(0) };
}
