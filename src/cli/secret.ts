// `keyswap secret …`: secrets through the Secret API, running or opened on the data folder for the command's time.

import type { Command } from "commander";
import type { SecretValue } from "../core/secret-value.ts";
import { shortValueWarning } from "../core/substitution/scrub-bounds.ts";
import { type ApiAccess, defineClientFlags, withApi } from "./api-access.ts";
import { type ApiClient, expectObject, type JsonObject, textOf } from "./api-client.ts";
import { type Cli, CliError, collect, newCommand } from "./command.ts";
import { checkHosts } from "./host-argument.ts";
import { printFields, printJson, printTable } from "./output.ts";
import { readValue, type ValueOptions, valueHelp } from "./secret-input.ts";
import { listSecrets } from "./secret-list.ts";

interface SecretOptions extends ValueOptions {
  readonly host?: readonly string[];
  readonly location?: readonly string[];
  readonly onViolation?: string;
  readonly description?: string;
  readonly unrestricted?: boolean;
  readonly json?: boolean;
}

const JSON_FLAG = ["--json", "print JSON"] as const;

export function define(cli: Cli): Command {
  const secret = newCommand(cli, "secret", "Create, list, show, change and delete secrets. Values are never shown.");
  secret.addCommand(defineCreate(cli));
  secret.addCommand(defineUpdate(cli));
  secret.addCommand(
    defineOne(cli, "get", "Show a secret (not its value)", async (_api, found, options) => show(cli, found, options)),
  );
  secret.addCommand(
    defineOne(
      cli,
      "delete",
      "Delete a secret; sandboxes that mount it keep a placeholder that no longer works",
      async (api, found) => {
        await api.client.call("DELETE", `/secret/${encodeURIComponent(textOf(found, "id"))}`);
      },
    ),
  );
  secret.addCommand(defineList(cli));
  return secret;
}

function defineCreate(cli: Cli): Command {
  const command = newCommand(cli, "create", "Create a secret", [
    "keyswap secret create OPENAI --host api.openai.com --value-stdin < key.txt",
    "keyswap secret create GITHUB --host '*.github.com' --value-file token.txt",
  ]).argument("<name>", "its name: letters, digits, hyphens and underscores");
  addSharedOptions(command).option("--unrestricted", "let the value go to every host: no --host is meant");
  const flags = defineClientFlags(command);
  return command.action(async (name: string, options: SecretOptions) => {
    const { unrestricted = false } = options;
    const host = checkHosts("--host", options.host ?? []);
    if (host.length === 0 && !unrestricted) {
      throw new CliError(2, "a secret without --host could be sent to every host", {
        hint: "Name the hosts it is meant for (--host api.example.com), or say --unrestricted.",
      });
    }
    if (host.length > 0 && unrestricted) throw new CliError(2, "give --host or --unrestricted, not both");
    const value = await readValue(cli, name, options);
    if (value === undefined) throw new CliError(2, "give the value with --value-stdin or --value-file");
    await withApi(cli, flags, async (api) => {
      const body = { name, value: value.reveal().toString("utf8"), hosts: host, ...sharedFields(options) };
      await show(cli, expectObject(await api.client.call("POST", "/secret", body)), options);
      warnOfShort(cli, value);
    });
  });
}

function warnOfShort(cli: Cli, value: SecretValue | undefined): void {
  const warning = value === undefined ? undefined : shortValueWarning(value.byteLength);
  if (warning !== undefined) cli.stderr.write(`keyswap: warning: ${warning}\n`);
}

function defineUpdate(cli: Cli): Command {
  const command = newCommand(
    cli,
    "update",
    "Change a secret; what is not named stays. The placeholder stays when the value changes",
    [
      "keyswap secret update OPENAI --value-stdin < new-key.txt",
      "keyswap secret update OPENAI --host api.openai.com --host eu.api.openai.com",
    ],
  ).argument("<name>", "its name or id");
  addSharedOptions(command).option("--unrestricted", "let the value go to every host");
  const flags = defineClientFlags(command);
  return command.action(async (name: string, options: SecretOptions) => {
    const { unrestricted = false } = options;
    const host = options.host === undefined ? undefined : checkHosts("--host", options.host);
    if (host !== undefined && unrestricted) throw new CliError(2, "give --host or --unrestricted, not both");
    const value = await readValue(cli, name, options);
    const body = {
      ...(value === undefined ? {} : { value: value.reveal().toString("utf8") }),
      ...(host === undefined ? {} : { hosts: host }),
      ...(unrestricted ? { hosts: [] } : {}),
      ...sharedFields(options),
    };
    if (Object.keys(body).length === 0) throw new CliError(2, "nothing to change was named");
    await withApi(cli, flags, async (api) => {
      const found = await findSecret(api.client, name);
      // Said to the API as well, which does not take an empty list for a wish to widen.
      const path = `/secret/${encodeURIComponent(textOf(found, "id"))}${unrestricted ? "?unrestricted=true" : ""}`;
      await show(cli, expectObject(await api.client.call("PATCH", path, body)), options);
      warnOfShort(cli, value);
    });
  });
}

function defineList(cli: Cli): Command {
  const command = newCommand(cli, "list", "List secrets").option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action((options: SecretOptions) =>
    withApi(cli, flags, async ({ client }) => {
      const secrets = await listSecrets(client);
      if (options.json) return printJson(cli, secrets);
      const rows = secrets.map((found) => [textOf(found, "name"), hostsOf(found), textOf(found, "placeholder")]);
      return printTable(cli, ["NAME", "HOSTS", "PLACEHOLDER"], rows);
    }),
  );
}

/** A command about one secret that exists. */
function defineOne(
  cli: Cli,
  name: string,
  description: string,
  act: (api: ApiAccess, found: JsonObject, options: SecretOptions) => Promise<void>,
): Command {
  const command = newCommand(cli, name, description).argument("<name>", "its name or id");
  if (name === "get") command.option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action((wanted: string, options: SecretOptions) =>
    withApi(cli, flags, async (api) => act(api, await findSecret(api.client, wanted), options)),
  );
}

function addSharedOptions(command: Command): Command {
  return command
    .option(
      "--host <pattern>",
      "a host the value may go to: api.example.com, or *.example.com for it and all below; may be repeated",
      collect,
    )
    .option("--value-stdin", `read the value from stdin, or ask for it on a terminal. ${valueHelp}`)
    .option("--value-file <file>", "read the value from a file, likewise")
    .option(
      "--location <place>",
      "where in a request it may stand: header, header:x-api-key, query:key, body, …; may be repeated; default: where the deployment says",
      collect,
    )
    .option(
      "--on-violation <choice>",
      "pass: forward a placeholder that may not be substituted; block: refuse the request; default: as the sandbox or the deployment says",
    )
    .option("--description <text>", "what it is for")
    .option(...JSON_FLAG);
}

function sharedFields({ location, onViolation, description }: SecretOptions): JsonObject {
  return {
    ...(location === undefined ? {} : { locations: locationsOf(location) }),
    ...(onViolation === undefined ? {} : { onViolation: onViolation === DEFAULT ? null : onViolation }),
    ...(description === undefined ? {} : { description }),
  };
}

/** On a command line: back to what holds where a secret says nothing. */
const DEFAULT = "default";

function locationsOf(given: readonly string[]): readonly string[] | null {
  if (!given.includes(DEFAULT)) return given;
  if (given.length > 1)
    throw new CliError(2, "--location default stands alone: it means the places that the deployment allows");
  return null;
}

async function show(cli: Cli, found: JsonObject, options: SecretOptions): Promise<void> {
  if (options.json) return printJson(cli, found);
  const rows: [string, string][] = [
    ["name", textOf(found, "name")],
    ["id", textOf(found, "id")],
    ["hosts", hostsOf(found)],
    ["placeholder", textOf(found, "placeholder")],
  ];
  for (const field of ["locations", "onViolation", "description", "createdAt", "updatedAt"]) {
    const text = Array.isArray(found[field]) ? found[field].join(", ") : textOf(found, field);
    if (text !== "") rows.push([field, text]);
  }
  printFields(cli, rows);
  if (Array.isArray(found.warnings))
    for (const warning of found.warnings) cli.stderr.write(`keyswap: warning: ${warning}\n`);
}

function hostsOf(found: JsonObject): string {
  const hosts = Array.isArray(found.hosts) ? found.hosts.map(String) : [];
  return hosts.length === 0 ? "every host" : hosts.join(", ");
}

/** By name, else by id. The API's filter is a part of the name, so the exact one is picked here. */
async function findSecret(client: ApiClient, wanted: string): Promise<JsonObject> {
  const candidates = await listSecrets(client, wanted);
  const byName = candidates.find((secret) => secret.name === wanted);
  if (byName !== undefined) return byName;
  if (/^[0-9a-f-]{36}$/i.test(wanted)) return expectObject(await client.call("GET", `/secret/${wanted}`));
  throw new CliError(1, `there is no secret named ${JSON.stringify(wanted)}`, {
    hint: "keyswap secret list shows those there are.",
  });
}
