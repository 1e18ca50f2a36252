// The Secret API on its store, as one thing to open and close. Runs in a worker thread under `keyswap start`, else in the
// command's own.

import { readFileSync } from "node:fs";
import { createSecretApi } from "../api/server.ts";
import type { DeploymentRules } from "../core/explain.ts";
import { openStore } from "../store/open.ts";
import type { Logger, LogLevel } from "../telemetry/logger.ts";
import { type Address, formatAddress } from "./address.ts";
import { rotateMasterKeyFile } from "./master-key-file.ts";
import { startStep } from "./start-failure.ts";
import { readVersion } from "./version.ts";

/** Plain data: it crosses to the worker thread. */
export interface ApiServiceOptions {
  readonly databasePath: string;
  /** `postgres://…` instead of the file; may hold a password. */
  readonly databaseUrl: string | undefined;
  /** `id:base64,…` */
  readonly masterKeys: string;
  /** The file they are from, where keyswap made them itself and may change them. */
  readonly masterKeyFile: string | undefined;
  readonly auditRetentionMs: number;
  readonly apiKey: string;
  readonly proxyKey: string;
  /** Wrong credentials that one address may show in a minute. */
  readonly maxFailedLogins: number;
  /** Connections on which no right credential was shown yet. */
  readonly maxNewcomers: number;
  readonly listen: Address;
  /** Undefined: told later, once the proxy listens. */
  readonly proxyUrl: string | undefined;
  readonly caPath: string;
  /** How the proxy of this configuration decides. */
  readonly rules: DeploymentRules;
}

/** What a running API takes over from a new configuration. Plain data as well. */
export interface ApiReload {
  readonly rules: DeploymentRules;
  readonly logLevel: LogLevel;
}

export interface ApiService {
  /** With `/api`. */
  readonly url: string;
  setProxyUrl(url: string): void;
  reload(next: ApiReload): void;
  close(): Promise<void>;
}

/** Throws CliError. */
export async function openApiService(options: ApiServiceOptions, logger: Logger): Promise<ApiService> {
  let { proxyUrl, rules } = options;
  const { databasePath: path, databaseUrl, masterKeys } = options;
  const [where, variable] =
    databaseUrl === undefined ? [`the database ${path}`, "KEYSWAP_DATA_DIR"] : ["the database", "KEYSWAP_DATABASE_URL"];
  const store = await startStep(where, variable, () =>
    openStore(databaseUrl === undefined ? { path, masterKeys } : { databaseUrl, masterKeys }),
  );
  try {
    const api = await createSecretApi({
      store,
      apiKey: options.apiKey,
      proxyKey: options.proxyKey,
      proxyUrl: () => proxyUrl ?? "http://127.0.0.1",
      caCertificate: () => readCertificate(options.caPath),
      rules: () => rules,
      maxFailedLogins: options.maxFailedLogins,
      maxNewcomers: options.maxNewcomers,
      auditRetentionMs: options.auditRetentionMs,
      rotateMasterKey: oneAtATime(() =>
        options.masterKeyFile === undefined
          ? store.rotateMasterKey()
          : rotateMasterKeyFile(store, options.masterKeyFile),
      ),
      version: readVersion(),
      logger,
    });
    const { host, port } = options.listen;
    try {
      const { url } = await startStep(
        `the Secret API's port ${formatAddress(options.listen)}`,
        "KEYSWAP_API_LISTEN",
        () => api.listen(host, port),
      );
      return {
        url,
        setProxyUrl: (known) => {
          proxyUrl = known;
        },
        reload: (next) => {
          rules = next.rules;
          logger.level = next.logLevel;
        },
        close: async () => {
          await api.close();
          await store.close();
        },
      };
    } catch (error) {
      await api.close();
      throw error;
    }
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Who calls while it runs gets the outcome of the run that goes on. */
function oneAtATime<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    running ??= work().finally(() => {
      running = undefined;
    });
    return running;
  };
}

/** Read each time: the CA may be made, or put there, after the API has started. */
function readCertificate(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
