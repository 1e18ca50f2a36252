// `keyswap env`: variables that hold placeholders, for a `.env` file or a sandbox's settings.

import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { defineClientFlags, withApi } from "./api-access.ts";
import { textOf } from "./api-client.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { codeOf } from "./data-folder.ts";
import { writeVariables } from "./env-file.ts";
import { parseMount } from "./mount.ts";
import { printJson } from "./output.ts";
import { listSecrets } from "./secret-list.ts";

interface EnvOptions {
  readonly output?: string;
  readonly json?: boolean;
}

export function define(cli: Cli): Command {
  const command = newCommand(
    cli,
    "env",
    "Print variables that hold secrets' placeholders, or write them to a .env file",
    [
      "keyswap env OPENAI_API_KEY=OPENAI GITHUB_TOKEN=GITHUB",
      "keyswap env OPENAI_API_KEY=OPENAI --output .env && keyswap run --env-from .env -- npm start",
    ],
  )
    .argument("<env=name...>", "variables and the secrets whose placeholders they get")
    .option("-o, --output <file>", "write to this file: lines of these variables are replaced, others stay")
    .option("--json", "print JSON");
  const flags = defineClientFlags(command);
  return command.action((given: readonly string[], { output, json }: EnvOptions) => {
    const mounts = given.map(parseMount);
    return withApi(cli, flags, async ({ client }) => {
      const secrets = new Map((await listSecrets(client)).map((secret) => [textOf(secret, "name"), secret]));
      const missing = mounts.filter(({ secret }) => !secrets.has(secret)).map(({ secret }) => secret);
      if (missing.length > 0) {
        throw new CliError(1, `there is no secret named ${missing.join(", ")}`, {
          hint: `Store it first: keyswap secret create ${missing[0]} --host api.example.com --value-stdin`,
        });
      }
      const variables = Object.fromEntries(
        // Each was found just now.
        mounts.map(({ env, secret }) => [env, textOf(secrets.get(secret)!, "placeholder")]),
      );
      if (output !== undefined) replaceFile(output, variables);
      if (json) printJson(cli, variables);
      else if (output === undefined) cli.stdout.write(writeVariables("stdout", "", variables));
    });
  });
}

/** The file is whole at any time: the old one or the new. */
function replaceFile(path: string, variables: Readonly<Record<string, string>>): void {
  try {
    const isThere = existsSync(path);
    const text = writeVariables(path, isThere ? readFileSync(path, "utf8") : "", variables);
    // It may hold what is no placeholder: nobody gets more rights on it than before.
    writeFileSync(`${path}.new`, text, { mode: isThere ? statSync(path).mode & 0o777 : 0o600 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(1, `${path} cannot be written (${codeOf(error)})`, { cause: error });
  }
}
