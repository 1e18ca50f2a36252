// `keyswap master-key …`: the keys that values are sealed under at rest. A key itself is never shown.

import type { Command } from "commander";
import { type ApiAccess, defineClientFlags, withApi } from "./api-access.ts";
import { expectList, expectObject, type JsonObject, textOf } from "./api-client.ts";
import { type Cli, newCommand } from "./command.ts";
import { DataFolder } from "./data-folder.ts";
import { lockDataFolder } from "./data-lock.ts";
import { printJson, printTable } from "./output.ts";

interface MasterKeyOptions {
  readonly json?: boolean;
}

const JSON_FLAG = ["--json", "print JSON"] as const;
/** Sealing a few hundred thousand values takes minutes; it goes on even if nobody waits. */
const ROTATE_TIMEOUT_MS = 3_600_000;

export function define(cli: Cli): Command {
  const masterKey = newCommand(cli, "master-key", "List and change the keys that values are sealed under at rest.");
  for (const command of [defineList(cli), defineRotate(cli)]) masterKey.addCommand(command);
  return masterKey;
}

function defineList(cli: Cli): Command {
  const command = newCommand(cli, "list", "List the master keys that the store needs").option(...JSON_FLAG);
  const flags = defineClientFlags(command);
  return command.action(({ json }: MasterKeyOptions) =>
    withApi(cli, flags, async ({ client }) => {
      const keys = expectList(await client.call("GET", "/master-keys"));
      if (json) return printJson(cli, keys);
      const rows = keys.map((key) => [
        textOf(key, "id"),
        textOf(key, "createdAt"),
        textOf(key, "values"),
        key.isCurrent === true ? "current" : "old",
      ]);
      return printTable(cli, ["ID", "SINCE", "VALUES", "STATE"], rows);
    }),
  );
}

function defineRotate(cli: Cli): Command {
  const command = newCommand(cli, "rotate", "Seal every value under a new master key, while keyswap runs", [
    "keyswap master-key rotate",
  ])
    .option(...JSON_FLAG)
    .addHelpText(
      "after",
      "\nWhere keyswap made the key itself, it makes a new one and keeps the old one in <data>/master-key.retired, for\n" +
        "backups taken under it. A configured key is changed by its operator: put the new one first into\n" +
        "KEYSWAP_MASTER_KEY, keep the old one behind it, restart every API, rotate, then take the old one out.\n",
    );
  const flags = defineClientFlags(command);
  return command.action(({ json }: MasterKeyOptions) =>
    withApi(cli, flags, async (api) => {
      const rotation = await rotate(api);
      if (json) return printJson(cli, rotation);
      cli.stdout.write(`${textOf(rotation, "resealed")} values sealed anew under ${textOf(rotation, "current")}\n`);
      const retired = Array.isArray(rotation.retired) ? rotation.retired.map(String) : [];
      if (retired.length > 0) cli.stdout.write(`no longer needed, but by older backups: ${retired.join(", ")}\n`);
      if (retired.length === 0 && rotation.resealed === 0 && api.config.masterKey !== undefined) {
        cli.stderr.write(
          "keyswap: note: the current key was in use already. To change it, put a new one first into KEYSWAP_MASTER_KEY.\n",
        );
      }
    }),
  );
}

async function rotate({ client, config, isPassing }: ApiAccess): Promise<JsonObject> {
  // A keyswap that starts in the middle would read the key's file too early.
  using _lock = isPassing ? lockDataFolder(DataFolder.open(config.dataDir)) : undefined;
  return expectObject(await client.call("POST", "/master-keys/rotate", undefined, ROTATE_TIMEOUT_MS));
}
