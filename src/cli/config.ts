// `keyswap config`: checks a configuration, shows what is in force, writes the file's JSON schema. Nothing is opened.

import { type Command, Option } from "commander";
import { type EffectiveConfig, loadEffectiveConfig } from "../config/load.ts";
import { plainName } from "../config/settings.ts";
import { type Cli, newCommand } from "./command.ts";
import { printJson, printTable } from "./output.ts";
import { addSettingFlags, type Flags } from "./setting-flags.ts";

export function define(cli: Cli): Command {
  return newCommand(cli, "config", "Check and show the configuration.", [
    "keyswap config check --config /etc/keyswap.yaml",
    "keyswap config show --for proxy",
    "keyswap config schema > keyswap.schema.json",
  ])
    .addCommand(defineCheck(cli))
    .addCommand(defineShow(cli))
    .addCommand(defineSchema(cli));
}

const services = ["start", "proxy", "api"] as const;

interface ConfigOptions {
  readonly for: (typeof services)[number];
  readonly json?: true;
}

function defineReading(cli: Cli, name: string, description: string, examples: readonly string[]) {
  const command = newCommand(cli, name, description, examples);
  command.addOption(new Option("--for <command>", "the command that it is for").choices(services).default("start"));
  const flags = addSettingFlags(command, () => true);
  const load = (options: ConfigOptions) => readConfig(cli, flags, options);
  return { command, load };
}

function readConfig(cli: Cli, flags: Flags, options: ConfigOptions): Promise<EffectiveConfig> {
  return loadEffectiveConfig({ command: options.for, flags, env: cli.env });
}

function defineCheck(cli: Cli): Command {
  const { command, load } = defineReading(cli, "check", "Tell everything that is wrong; exit code 2 if anything is.", [
    "keyswap config check --config keyswap.yaml --for proxy",
  ]);
  return command.action(async (options: ConfigOptions) => {
    const { settings } = await load(options);
    const given = settings.filter(({ givenAs }) => givenAs !== undefined).length;
    cli.stdout.write(
      `The configuration for keyswap ${options.for} is in order: ${given} settings, the rest by default.\n`,
    );
  });
}

function defineShow(cli: Cli): Command {
  const { command, load } = defineReading(
    cli,
    "show",
    "Show each setting and where it comes from; no secret is shown.",
    ["keyswap config show", "keyswap config show --for api --json"],
  );
  return command.option("--json", "for programs").action(async (options: ConfigOptions) => {
    const { settings } = await load(options);
    if (options.json === true) {
      const entries = settings.map(({ key, text, givenAs }) => [
        plainName(key),
        { value: text ?? null, from: givenAs ?? "default" },
      ]);
      printJson(cli, Object.fromEntries(entries));
      return;
    }
    const rows = settings.map(({ key, text, givenAs }) => [plainName(key), text ?? "–", givenAs ?? "default"]);
    printTable(cli, ["SETTING", "VALUE", "FROM"], rows);
  });
}

function defineSchema(cli: Cli): Command {
  const examples = ["keyswap config schema > keyswap.schema.json"];
  return newCommand(cli, "schema", "Write the configuration file's JSON schema, for editors.", examples).action(
    async () => {
      const { writeJsonSchema } = await import("../config/json-schema.ts");
      cli.stdout.write(`${JSON.stringify(writeJsonSchema(), undefined, 2)}\n`);
    },
  );
}
