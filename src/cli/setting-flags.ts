// The flags of settings: made from the settings table, so that no command has a list of its own.

import { type Command, Option } from "commander";
import { FILE_SUFFIX, plainName, type Setting, type SettingKey, settingKeys, settingOf } from "../config/settings.ts";

export type Flags = ReadonlyMap<string, string | readonly string[]>;

/**
 * Adds the flags of these settings and `--config`; the map fills while the command line is parsed. `aliases` are further
 * names of flags.
 */
export function addSettingFlags(
  command: Command,
  isWanted: (key: SettingKey, setting: Setting) => boolean,
  aliases: Readonly<Record<string, string>> = {},
): Flags {
  const flags = new Map<string, string | readonly string[]>();
  command.optionsGroup("Settings (also KEYSWAP_… variables, and keys of a --config file):");
  const add = (plain: string, placeholder: string, description: string, spelled = plain) => {
    const option = new Option(`--${spelled} <${placeholder}>`, description).argParser((value: string) => {
      const before = flags.get(plain);
      flags.set(plain, before === undefined ? value : [before, value].flat());
      return value;
    });
    command.addOption(option);
  };
  add("config", "file", "configuration file, YAML or JSON");
  for (const key of settingKeys) {
    const setting = settingOf(key);
    if (!isWanted(key, setting)) continue;
    const plain = plainName(key);
    const description = describe(setting);
    // A key on a command line would be seen by every process of the machine.
    if (setting.confidential !== "key") add(plain, "value", description);
    if (setting.confidential !== undefined) add(plain + FILE_SUFFIX, "file", `the file that holds it: ${description}`);
  }
  for (const [alias, plain] of Object.entries(aliases)) add(plain, "value", `short for --${plain}`, alias);
  command.optionsGroup("Options:");
  return flags;
}

function describe({ description, fallback, fallbackText }: Setting): string {
  const text = description.replaceAll("`", "");
  const standard = fallbackText ?? (typeof fallback === "string" ? fallback : undefined);
  return standard === undefined ? text : `${text} (default: ${standard.replaceAll("`", "")})`;
}
