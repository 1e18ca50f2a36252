// `keyswap key …`: API keys, each with its permissions. A key's text is shown once, when it is made.

import type { Command } from "commander";
import { defineClientFlags, withApi } from "./api-access.ts";
import { expectList, expectObject, type JsonObject, textOf } from "./api-client.ts";
import { type Cli, collect, newCommand } from "./command.ts";
import { printFields, printJson, printTable } from "./output.ts";

interface KeyOptions {
  readonly permission?: readonly string[];
  readonly sandbox?: string;
  readonly expiresAt?: string;
  readonly json?: boolean;
}

const JSON_FLAG = ["--json", "print JSON"] as const;

export function define(cli: Cli): Command {
  const key = newCommand(cli, "key", "Create, list and revoke API keys.");
  for (const command of [defineCreate(cli), defineList(cli), defineRevoke(cli)]) key.addCommand(command);
  return key;
}

function defineCreate(cli: Cli): Command {
  const command = newCommand(cli, "create", "Create an API key. It is shown this once", [
    "keyswap key create ci --permission manage:secrets --permission write:sandboxes",
    "keyswap key create gateway-2 --permission resolve:secrets",
    "keyswap key create sidecar --permission resolve:secrets --sandbox 6f1c4a52-6a0c-4f0e-9e0b-0d5d2f6f8d11",
  ])
    .argument("<name>", "by which it is listed and revoked")
    .requiredOption(
      "--permission <name>",
      "manage:secrets, write:sandboxes, delete:sandboxes, read:audit_logs, manage:api_keys, or, alone, resolve:secrets " +
        "(for a proxy); may be repeated",
      collect,
    )
    .option("--sandbox <id>", "with resolve:secrets: for this sandbox alone")
    .option("--expires-at <time>", "when it stops working: 2027-01-31T12:00:00Z")
    .option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action((name: string, { permission = [], sandbox, expiresAt, json }: KeyOptions) =>
    withApi(cli, flags, async ({ client }) => {
      const body = {
        name,
        permissions: [...permission],
        ...(sandbox === undefined ? {} : { sandboxId: sandbox }),
        ...(expiresAt === undefined ? {} : { expiresAt }),
      };
      const made = expectObject(await client.call("POST", "/api-keys", body));
      if (json) return printJson(cli, made);
      printFields(cli, [
        ["name", textOf(made, "name")],
        ["permissions", permissionsOf(made)],
        ["expires", textOf(made, "expiresAt") || "never"],
        ["key", textOf(made, "value")],
      ]);
      cli.stderr.write("keyswap: note: the key is shown this once; only its hash is kept.\n");
    }),
  );
}

function defineList(cli: Cli): Command {
  const command = newCommand(cli, "list", "List API keys; of each, its beginning is shown").option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action(({ json }: KeyOptions) =>
    withApi(cli, flags, async ({ client }) => {
      const keys = expectList(await client.call("GET", "/api-keys"));
      if (json) return printJson(cli, keys);
      const rows = keys.map((key) => [
        textOf(key, "name"),
        textOf(key, "value"),
        textOf(key, "lastUsedAt") || "never",
        textOf(key, "expiresAt") || "never",
        permissionsOf(key),
      ]);
      return printTable(cli, ["NAME", "KEY", "LAST USED", "EXPIRES", "PERMISSIONS"], rows);
    }),
  );
}

function defineRevoke(cli: Cli): Command {
  const command = newCommand(cli, "revoke", "Revoke an API key: it stops working at once").argument(
    "<name>",
    "its name",
  );
  const flags = defineClientFlags(command);
  return command.action((name: string) =>
    withApi(cli, flags, async ({ client }) => {
      await client.call("DELETE", `/api-keys/${encodeURIComponent(name)}`);
    }),
  );
}

function permissionsOf(key: JsonObject): string {
  const permissions = Array.isArray(key.permissions) ? key.permissions.map(String).join(", ") : "";
  const sandbox = textOf(key, "sandboxId");
  return sandbox === "" ? permissions : `${permissions} (sandbox ${sandbox})`;
}
