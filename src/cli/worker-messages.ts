// What the control process and its workers say to each other, and a configuration as it crosses the channel between them: a pair of
// sockets that nobody else holds.

import { type Config, type SettingKey, settingKeys } from "../config/settings.ts";
import { SecretValue } from "../core/secret-value.ts";
import type { ProxyAddresses } from "../proxy/server.ts";
import type { Address } from "./address.ts";
import type { StartFailure } from "./start-failure.ts";

export type Question = "metrics" | "readiness" | "apply";

export type ToWorker =
  | {
      readonly type: "begin";
      /** From 1. */
      readonly index: number;
      readonly config: SentConfig;
      readonly apiUrl: string;
      readonly proxyKey: string;
      readonly listening: readonly Address[];
    }
  /** Further ports of this keyswap, which nobody may reach through it. */
  | { readonly type: "listening"; readonly addresses: readonly Address[] }
  | { readonly type: "ask"; readonly id: number; readonly question: Question }
  | { readonly type: "prepare"; readonly id: number; readonly config: SentConfig }
  | { readonly type: "audit-written"; readonly id: number; readonly problem: string | undefined }
  | { readonly type: "close"; readonly graceMs: number };

export type FromWorker =
  | { readonly type: "ready"; readonly addresses: ProxyAddresses & { readonly dns?: string } }
  | { readonly type: "failed"; readonly failure: StartFailure }
  | { readonly type: "answer"; readonly id: number; readonly value: unknown }
  | { readonly type: "answer-failed"; readonly id: number; readonly failure: StartFailure }
  | { readonly type: "audit"; readonly id: number; readonly bytes: Uint8Array }
  /** The last word: what it had counted. */
  | { readonly type: "bye"; readonly metrics: unknown };

/** A configuration whose secrets can be sent. */
export type SentConfig = Readonly<Partial<Record<SettingKey, unknown>>>;

interface SentSecret {
  readonly secretName: string;
  readonly secretBytes: Uint8Array;
}

/** The Secret API's own keys: no worker needs them. */
const keptBack: ReadonlySet<SettingKey> = new Set(["apiKey", "masterKey", "databaseUrl"]);

export function encodeConfig(config: Config): SentConfig {
  const sent = settingKeys.map((key) => {
    const value: unknown = keptBack.has(key) ? undefined : config[key];
    if (!(value instanceof SecretValue)) return [key, value] as const;
    return [key, { secretName: value.name, secretBytes: value.reveal() } satisfies SentSecret] as const;
  });
  return Object.fromEntries(sent);
}

export function decodeConfig(sent: SentConfig): Config {
  const values = settingKeys.map((key) => {
    const value = sent[key];
    return [key, isSentSecret(value) ? new SecretValue(value.secretName, value.secretBytes) : value] as const;
  });
  // What encodeConfig made of a Config.
  return Object.fromEntries(values) as Config;
}

function isSentSecret(value: unknown): value is SentSecret {
  return typeof value === "object" && value !== null && "secretBytes" in value;
}
