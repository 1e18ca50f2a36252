// `keyswap sandbox …`: who may go out through the proxy, and with which secrets.

import type { Command } from "commander";
import { defineClientFlags, withApi } from "./api-access.ts";
import { type ApiClient, expectList, expectObject, type JsonObject, textOf } from "./api-client.ts";
import { type Cli, CliError, collect, newCommand } from "./command.ts";
import { checkHosts } from "./host-argument.ts";
import { parseMount } from "./mount.ts";
import { printFields, printJson, printTable } from "./output.ts";

interface SandboxOptions {
  readonly name?: string;
  readonly secret?: readonly string[];
  readonly source?: readonly string[];
  readonly allow?: readonly string[];
  readonly onViolation?: string;
  readonly expiresAt?: string;
  readonly json?: boolean;
}

const JSON_FLAG = ["--json", "print JSON"] as const;

export function define(cli: Cli): Command {
  const sandbox = newCommand(cli, "sandbox", "Create, list, show and delete sandboxes; mount secrets.");
  for (const command of [defineCreate(cli), defineMount(cli), defineList(cli), defineGet(cli), defineDelete(cli)]) {
    sandbox.addCommand(command);
  }
  return sandbox;
}

function defineCreate(cli: Cli): Command {
  const command = newCommand(cli, "create", "Register a sandbox. Its proxy URL, with the token, is shown this once", [
    "keyswap sandbox create --secret OPENAI_API_KEY=OPENAI",
    "keyswap sandbox create --name ci --secret GITHUB_TOKEN=GITHUB --source 10.0.0.5/32 --json",
  ])
    .option("--name <name>", "a name instead of the id")
    .option("--secret <env=name>", "a secret and the variable that holds its placeholder; may be repeated", collect)
    .option("--source <cidr>", "a source address by which it is known on transparent ports; may be repeated", collect)
    .option("--allow <pattern>", "it may reach only this host; may be repeated", collect)
    .option("--on-violation <choice>", "pass or block")
    .option("--expires-at <time>", "when it ends by itself: 2027-01-31T12:00:00Z")
    .option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action((options: SandboxOptions) => {
    const body = createBody(options);
    return withApi(cli, flags, async ({ client, isPassing }) => {
      const created = expectObject(await client.call("POST", "/sandbox", body));
      if (isPassing) {
        cli.stderr.write("keyswap: note: no keyswap is running; its proxy URL holds once `keyswap start` runs.\n");
      }
      if (options.json) return printJson(cli, created);
      printFields(cli, [...fieldsOf(created), ["proxy URL", textOf(expectObject(created.egress), "proxyUrl")]]);
      cli.stderr.write("keyswap: note: the token in the proxy URL is shown this once; only its hash is kept.\n");
    });
  });
}

function createBody(options: SandboxOptions): JsonObject {
  const { name, secret = [], source, allow, onViolation, expiresAt } = options;
  return {
    ...(name === undefined ? {} : { name }),
    ...(secret.length === 0 ? {} : { secrets: secret.map(parseMount).map((mount) => ({ [mount.env]: mount.secret })) }),
    ...(source === undefined ? {} : { sources: [...source] }),
    ...(allow === undefined ? {} : { egressPolicy: { allow: checkHosts("--allow", allow), deny: [] } }),
    ...(onViolation === undefined ? {} : { onViolation }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

function defineMount(cli: Cli): Command {
  const command = newCommand(cli, "mount", "Replace the secrets that a sandbox mounts; none detaches all", [
    "keyswap sandbox mount ci GITHUB_TOKEN=GITHUB NPM_TOKEN=NPM",
  ])
    .argument("<sandbox>", "its id or name")
    .argument("[env=name...]", "variables and the secrets they stand for")
    .option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action((sandbox: string, mounts: readonly string[], options: SandboxOptions) => {
    const secrets = mounts.map(parseMount).map((mount) => ({ [mount.env]: mount.secret }));
    return withApi(cli, flags, async ({ client }) => {
      const answer = await client.call("PUT", `/sandbox/${encodeURIComponent(sandbox)}/secrets`, { secrets });
      if (options.json) return printJson(cli, expectObject(answer));
      return showSandbox(cli, expectObject(answer));
    });
  });
}

function defineGet(cli: Cli): Command {
  const command = newCommand(cli, "get", "Show a sandbox")
    .argument("<sandbox>", "its id or name")
    .option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action((sandbox: string, options: SandboxOptions) =>
    withApi(cli, flags, async ({ client }) => {
      const found = expectObject(await client.call("GET", `/sandbox/${encodeURIComponent(sandbox)}`));
      return options.json ? printJson(cli, found) : showSandbox(cli, found);
    }),
  );
}

function defineDelete(cli: Cli): Command {
  const command = newCommand(cli, "delete", "Delete a sandbox: its token stops working").argument(
    "<sandbox>",
    "its id or name",
  );
  const flags = defineClientFlags(command);
  return command.action((sandbox: string) =>
    withApi(cli, flags, async ({ client }) => {
      await client.call("DELETE", `/sandbox/${encodeURIComponent(sandbox)}`);
    }),
  );
}

function defineList(cli: Cli): Command {
  const command = newCommand(cli, "list", "List sandboxes").option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action((options: SandboxOptions) =>
    withApi(cli, flags, async ({ client }) => {
      const sandboxes = await listSandboxes(client);
      if (options.json) return printJson(cli, sandboxes);
      const rows = sandboxes.map((found) => [
        textOf(found, "id"),
        textOf(found, "name"),
        textOf(found, "expiresAt") || "never",
        mountsOf(found),
      ]);
      return printTable(cli, ["ID", "NAME", "EXPIRES", "SECRETS"], rows);
    }),
  );
}

const PAGE = 200;
const MAX_PAGES = 5_000;

async function listSandboxes(client: ApiClient): Promise<readonly JsonObject[]> {
  const sandboxes: JsonObject[] = [];
  let cursor = "";
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = expectObject(await client.call("GET", `/sandbox?limit=${PAGE}${cursor}`));
    sandboxes.push(...expectList(answer.items));
    const next = answer.nextCursor;
    if (typeof next !== "string" || next === "") return sandboxes;
    cursor = `&cursor=${encodeURIComponent(next)}`;
  }
  throw new CliError(1, "the list of sandboxes does not end");
}

function showSandbox(cli: Cli, found: JsonObject): void {
  printFields(cli, fieldsOf(found));
}

function fieldsOf(found: JsonObject): readonly (readonly [string, string])[] {
  return [
    ["id", textOf(found, "id")],
    ["name", textOf(found, "name")],
    ["secrets", mountsOf(found)],
    ["expires", textOf(found, "expiresAt") || "never"],
  ];
}

/** `OPENAI_API_KEY=OPENAI, …` */
function mountsOf(found: JsonObject): string {
  if (!Array.isArray(found.secrets)) return "";
  return expectList(found.secrets)
    .flatMap((entry) => Object.keys(entry).map((env) => `${env}=${textOf(entry, env)}`))
    .join(", ");
}
