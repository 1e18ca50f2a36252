// How commands reach the Secret API: the one that KEYSWAP_SECRET_API_URL names, else the keyswap that runs on the data
// folder, else the data folder itself, on which the API is opened for the command's time.

import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import type { Config, SettingKey } from "../config/settings.ts";
import type { SecretValue } from "../core/secret-value.ts";
import { ApiClient } from "./api-client.ts";
import { type Cli, CliError } from "./command.ts";
import { DataFolder, type RunRecord } from "./data-folder.ts";
import { DataLock, shareStore } from "./data-lock.ts";
import { readSecretApiCa } from "./secret-api-ca.ts";
import { addSettingFlags, type Flags } from "./setting-flags.ts";

export interface ApiAccess {
  readonly client: ApiClient;
  readonly config: Config;
  /** Opened for this command alone: there is no proxy beside it. */
  readonly isPassing: boolean;
}

const clientSettings: readonly SettingKey[] = [
  "dataDir",
  "secretApiUrl",
  "secretApiCa",
  "apiKey",
  "masterKey",
  "certsDir",
  "proxyUrl",
];

/** What a command line says about how to reach the API; filled while it is parsed. */
export interface ClientFlags {
  readonly settings: Flags;
  /** Id; a flag and no setting, since what is meant differs from one command to the next. */
  readonly organization: () => string | undefined;
}

/**
 * The flags of the settings that a command needs to reach the API, and of those that it needs besides; `--api-url` is short
 * for `--secret-api-url`.
 */
export function defineClientFlags(command: Command, besides: readonly SettingKey[] = []): ClientFlags {
  const keys = [...clientSettings, ...besides];
  const settings = addSettingFlags(command, (key) => keys.includes(key), { "api-url": "secret-api-url" });
  let organization: string | undefined;
  command.option(
    "--organization <id>",
    "act in this organization instead of the default one (with the bootstrap key)",
    (id: string) => {
      organization = id;
    },
  );
  return { settings, organization: () => organization };
}

export async function withApi(
  cli: Cli,
  flags: ClientFlags,
  use: (api: ApiAccess) => void | Promise<void>,
): Promise<void> {
  const config = await loadConfig({ command: "client", flags: flags.settings, env: cli.env });
  const remote = await findRunningApi(config);
  const organization = flags.organization();
  if (remote !== undefined) {
    const client = new ApiClient({ ...remote, organization });
    try {
      await use({ client, config, isPassing: false });
    } finally {
      client.close();
    }
    return;
  }
  await withPassingApi(config, organization, use);
}

export interface RunningApi {
  readonly url: string;
  readonly key: SecretValue;
  /** PEM, trusted besides the usual roots. */
  readonly extraCa: string | undefined;
}

/** Undefined where none is configured and none runs on the data folder. */
export async function findRunningApi(config: Config): Promise<RunningApi | undefined> {
  const folder = DataFolder.open(config.dataDir);
  const key = () => {
    const found = config.apiKey ?? folder.readKey("api-key");
    if (found !== undefined) return found;
    throw new CliError(
      2,
      `there is no API key: KEYSWAP_API_KEY is not set and ${folder.pathOf("api-key")} does not exist`,
    );
  };
  const { secretApiUrl: url } = config;
  if (url !== undefined) return { url, key: key(), extraCa: readSecretApiCa(config) };
  const record = await findRunRecord(folder);
  return record === undefined ? undefined : { url: record.api, key: key(), extraCa: undefined };
}

const START_WAIT_MS = 10_000;
const POLL_MS = 50;

/** The lock, not the record, says whether one runs: a killed one leaves its record behind, never its lock. */
async function findRunRecord(folder: DataFolder): Promise<RunRecord | undefined> {
  for (let waitedMs = 0; waitedMs < START_WAIT_MS; waitedMs += POLL_MS) {
    {
      using lock = DataLock.tryAcquire(folder.path);
      if (lock !== undefined) return undefined;
    }
    const record = folder.readRunRecord();
    if (record !== undefined) return record;
    // It is starting or draining.
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new CliError(1, `a keyswap runs on ${folder.path} but does not become ready`);
}

async function withPassingApi(
  config: Config,
  organization: string | undefined,
  use: (api: ApiAccess) => void | Promise<void>,
): Promise<void> {
  // The server's parts are loaded only here.
  const [{ openApiService }, { apiOptionsFor }, { configuredProxyUrl }, { createLogging }] = await Promise.all([
    import("./api-service.ts"),
    import("./api-options.ts"),
    import("./compose.ts"),
    import("../telemetry/logger.ts"),
  ]);
  const logging = createLogging({ level: "error" });
  const folder = DataFolder.open(config.dataDir);
  using _store = shareStore(folder);
  const options = apiOptionsFor(config, folder);
  const listen = { host: "127.0.0.1", port: 0 };
  const service = await openApiService({ ...options, listen, proxyUrl: configuredProxyUrl(config) }, logging.logger);
  const key = config.apiKey ?? folder.openKey("api-key");
  const client = new ApiClient({ url: service.url, key, organization });
  try {
    await use({ client, config, isPassing: true });
  } finally {
    client.close();
    await service.close();
    await logging.flush();
  }
}
