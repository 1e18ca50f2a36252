// What the Secret API needs, from the configuration and the data folder's keys.

import { join } from "node:path";
import type { Config } from "../config/settings.ts";
import type { DeploymentRules } from "../core/explain.ts";
import type { ApiReload, ApiServiceOptions } from "./api-service.ts";
import type { DataFolder } from "./data-folder.ts";

const DAY_MS = 86_400_000;

/** Keys that are neither configured nor in the folder are made there. Throws CliError where that cannot be. */
export function apiOptionsFor(config: Config, folder: DataFolder): ApiServiceOptions {
  const masterKeys = masterKeysOf(config);
  return {
    databasePath: folder.databasePath,
    databaseUrl: config.databaseUrl?.reveal().toString("utf8"),
    masterKeys: masterKeys ?? folder.openMasterKey(),
    masterKeyFile: masterKeys === undefined ? folder.pathOf("master-key") : undefined,
    auditRetentionMs: config.auditRetentionDays * DAY_MS,
    apiKey: (config.apiKey ?? folder.openKey("api-key")).reveal().toString("utf8"),
    proxyKey: (config.proxyKey ?? folder.openKey("proxy-key")).reveal().toString("utf8"),
    maxFailedLogins: config.maxFailedLogins,
    maxNewcomers: config.maxNewcomers,
    listen: config.apiListen,
    proxyUrl: config.proxyUrl,
    caPath: join(config.certsDir, "ca.pem"),
    rules: rulesOf(config),
  };
}

export function apiReloadFor(config: Config): ApiReload {
  return { rules: rulesOf(config), logLevel: config.logLevel };
}

function rulesOf(config: Config): DeploymentRules {
  return {
    egress: { allow: config.egressAllow, deny: config.egressDeny },
    defaults: { locations: config.surfaces, onViolation: config.onViolation },
    intercept: config.intercept,
    tunnelHosts: config.tunnelHosts,
    plainHttpHosts: config.plainHttpHosts,
    allowPrivate: config.allowPrivate,
    bufferBytes: config.bufferBytes,
  };
}

/** The configured keys as `id:base64,…`; undefined where keyswap keeps its own. */
export function masterKeysOf({ masterKey }: Pick<Config, "masterKey">): string | undefined {
  return masterKey?.map(({ id, key }) => `${id}:${key.reveal().toString("base64")}`).join(",");
}
