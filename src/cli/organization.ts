// `keyswap organization …`: organizations and their quotas. Only the bootstrap key manages them.

import type { Command } from "commander";
import { defineClientFlags, withApi } from "./api-access.ts";
import { expectList, expectObject, type JsonObject, textOf } from "./api-client.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { printFields, printJson, printTable } from "./output.ts";

interface OrganizationOptions {
  readonly name?: string;
  readonly secretQuota?: Quota;
  readonly maxSecretsPerSandbox?: Quota;
  readonly json?: boolean;
}

/** The API's null is `none` here: commander takes a null for nothing. */
type Quota = number | "none";

const JSON_FLAG = ["--json", "print JSON"] as const;

export function define(cli: Cli): Command {
  const organization = newCommand(cli, "organization", "Create, list and change organizations and their quotas.");
  for (const command of [defineCreate(cli), defineList(cli), defineUpdate(cli)]) organization.addCommand(command);
  return organization;
}

function defineCreate(cli: Cli): Command {
  const command = newCommand(cli, "create", "Create an organization", [
    "keyswap organization create team-a --secret-quota 500",
    "keyswap key create team-a --organization <id> --permission manage:secrets --permission manage:api_keys",
  ]).argument("<name>", "unique");
  addQuotas(command);
  const flags = defineClientFlags(command);
  return command.action((name: string, options: OrganizationOptions) =>
    withApi(cli, flags, async ({ client }) => {
      show(cli, expectObject(await client.call("POST", "/organizations", { name, ...quotasOf(options) })), options);
    }),
  );
}

function defineUpdate(cli: Cli): Command {
  const command = newCommand(cli, "update", "Rename an organization or change its quotas", [
    "keyswap organization update <id> --secret-quota none --max-secrets-per-sandbox 20",
  ])
    .argument("<id>", "its id")
    .option("--name <name>", "a new name");
  addQuotas(command);
  const flags = defineClientFlags(command);
  return command.action((id: string, options: OrganizationOptions) => {
    const patch = { ...(options.name === undefined ? {} : { name: options.name }), ...quotasOf(options) };
    if (Object.keys(patch).length === 0) throw new CliError(2, "nothing to change was named");
    return withApi(cli, flags, async ({ client }) => {
      show(cli, expectObject(await client.call("PATCH", `/organizations/${encodeURIComponent(id)}`, patch)), options);
    });
  });
}

function defineList(cli: Cli): Command {
  const command = newCommand(cli, "list", "List organizations").option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action((options: OrganizationOptions) =>
    withApi(cli, flags, async ({ client }) => {
      const found = expectList(await client.call("GET", "/organizations"));
      if (options.json) return printJson(cli, found);
      const rows = found.map((each) => [
        textOf(each, "id"),
        quotaText(each, "secretQuota"),
        quotaText(each, "maxSecretsPerSandbox"),
        textOf(each, "name") + (each.isDefault === true ? " (default)" : ""),
      ]);
      return printTable(cli, ["ID", "SECRETS", "PER SANDBOX", "NAME"], rows);
    }),
  );
}

function addQuotas(command: Command): Command {
  return command
    .option("--secret-quota <number>", "most secrets it may hold; none: no bound", parseQuota)
    .option("--max-secrets-per-sandbox <number>", "most secrets one sandbox may mount; none: no bound", parseQuota)
    .option(...JSON_FLAG);
}

function parseQuota(text: string): Quota {
  if (text === "none") return text;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new CliError(2, "a quota is a whole number, or none");
}

function quotasOf({ secretQuota, maxSecretsPerSandbox }: OrganizationOptions): JsonObject {
  return {
    ...(secretQuota === undefined ? {} : { secretQuota: bound(secretQuota) }),
    ...(maxSecretsPerSandbox === undefined ? {} : { maxSecretsPerSandbox: bound(maxSecretsPerSandbox) }),
  };
}

function bound(quota: Quota): number | null {
  return quota === "none" ? null : quota;
}

function show(cli: Cli, found: JsonObject, { json }: OrganizationOptions): void {
  if (json) {
    printJson(cli, found);
    return;
  }
  printFields(cli, [
    ["id", textOf(found, "id")],
    ["name", textOf(found, "name")],
    ["secrets", quotaText(found, "secretQuota")],
    ["per sandbox", quotaText(found, "maxSecretsPerSandbox")],
  ]);
}

function quotaText(found: JsonObject, field: string): string {
  return textOf(found, field) || "no bound";
}
