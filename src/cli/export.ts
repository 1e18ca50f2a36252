// `keyswap export`: definitions of secrets without their values, as keyswap import reads them.

import type { Command } from "commander";
import { defineClientFlags, withApi } from "./api-access.ts";
import { textOf } from "./api-client.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { writeEnvDefinitions, writeYaml } from "./definitions.ts";
import { writeOutputFile } from "./new-file.ts";
import { listSecrets } from "./secret-list.ts";

interface ExportOptions {
  readonly format: string;
  readonly output?: string;
}

export function define(cli: Cli): Command {
  const command = newCommand(cli, "export", "Write the definitions of secrets, without their values", [
    "keyswap export > keyswap.yaml",
    "keyswap export OPENAI GITHUB --format env --output secrets.env",
  ])
    .argument("[names...]", "these secrets alone")
    .option("--format <yaml|env>", "env has names and hosts alone", "yaml")
    .option("--output <file>", "write there (never overwrites) instead of to stdout");
  const flags = defineClientFlags(command);
  return command.action(async (names: readonly string[], { format, output }: ExportOptions) => {
    if (format !== "yaml" && format !== "env") throw new CliError(2, "--format is yaml or env");
    await withApi(cli, flags, async ({ client }) => {
      const all = await listSecrets(client);
      const known = new Set(all.map((secret) => textOf(secret, "name")));
      const unknown = names.filter((name) => !known.has(name));
      if (unknown.length > 0) throw new CliError(1, `there is no secret named ${unknown.join(", ")}`);
      const wanted = names.length === 0 ? all : all.filter((secret) => names.includes(textOf(secret, "name")));
      const { text, omitted } =
        format === "env" ? writeEnvDefinitions(wanted) : { text: writeYaml(wanted), omitted: [] };
      if (omitted.length > 0) {
        cli.stderr.write(`keyswap: warning: no variables can be called ${omitted.join(", ")}; left out\n`);
      }
      if (output === undefined) cli.stdout.write(text);
      else writeOutputFile(output, text);
    });
  });
}
