// What differs between two configurations, and which of it a running keyswap can take over.

import { SecretValue } from "../core/secret-value.ts";
import type { EffectiveConfig } from "./load.ts";
import { type Config, type SettingKey, settingKeys, settingOf } from "./settings.ts";

export interface ConfigChanges {
  /** Take effect on a reload. */
  readonly reloading: readonly SettingKey[];
  /** Take effect with the next start. */
  readonly restarting: readonly SettingKey[];
  /** The configuration before with what reloads taken from the one after. */
  readonly config: Config;
}

export function compareConfigs(before: EffectiveConfig, after: EffectiveConfig): ConfigChanges {
  const textsBefore = new Map(before.settings.map(({ key, text }) => [key, text]));
  const textsAfter = new Map(after.settings.map(({ key, text }) => [key, text]));
  const changed = settingKeys.filter(
    (key) => textsBefore.get(key) !== textsAfter.get(key) || !holdsSameSecret(before.config[key], after.config[key]),
  );
  const reloading = changed.filter((key) => settingOf(key).reloads === true);
  const taken = Object.fromEntries(reloading.map((key) => [key, after.config[key]]));
  return {
    reloading,
    restarting: changed.filter((key) => settingOf(key).reloads !== true),
    // Each key with its own setting's value.
    config: { ...before.config, ...taken } as Config,
  };
}

/** Confidential settings look alike as text. */
function holdsSameSecret(before: unknown, after: unknown): boolean {
  if (before instanceof SecretValue && after instanceof SecretValue) return before.equals(after);
  if (Array.isArray(before) && Array.isArray(after)) {
    return before.length === after.length && before.every((each, index) => holdsSameSecret(each, after[index]));
  }
  if (hasKey(before) && hasKey(after)) return before.id === after.id && before.key.equals(after.key);
  return true;
}

/** A master key. */
function hasKey(value: unknown): value is { readonly id: string; readonly key: SecretValue } {
  return typeof value === "object" && value !== null && "key" in value && value.key instanceof SecretValue;
}
