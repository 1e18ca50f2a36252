// `keyswap restore`: puts a backup of the SQLite store in place, checked first as a whole and against the master keys.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { masterKeysOf } from "./api-options.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { DataFolder } from "./data-folder.ts";
import { lockDataFolder, takeStore } from "./data-lock.ts";
import { addSettingFlags } from "./setting-flags.ts";
import { startStep } from "./start-failure.ts";

interface RestoreOptions {
  readonly replace?: boolean;
}

export function define(cli: Cli): Command {
  const command = newCommand(
    cli,
    "restore",
    "Put a backup in the place of the SQLite store. No keyswap may run on it",
    [
      "keyswap restore /var/backups/keyswap-2026-11-23.db",
      "keyswap restore --replace keyswap.db --master-key-file old-master-key",
    ],
  )
    .argument("<file>", "what keyswap backup wrote")
    .option("--replace", "there is a store already: put it aside first, as keyswap.db.replaced-<time>")
    .addHelpText("after", "\nWhat was changed after the backup is lost. Proxies notice and fetch everything anew.\n");
  const flags = addSettingFlags(command, (key) => ["dataDir", "databaseUrl", "masterKey"].includes(key));
  return command.action(async (file: string, { replace = false }: RestoreOptions) => {
    const config = await loadConfig({ command: "client", flags, env: cli.env });
    if (config.databaseUrl !== undefined) {
      throw new CliError(2, "the store is PostgreSQL, which has tools of its own for this", {
        hint: "Use pg_restore, then restart the proxies: what they know may be newer than what was restored.",
      });
    }
    const folder = DataFolder.open(config.dataDir);
    const backup = resolve(file);
    if (!existsSync(backup)) throw new CliError(1, `there is no file ${backup}`);
    using _lock = lockDataFolder(folder);
    using _store = takeStore(folder);
    const path = folder.databasePath;
    if (existsSync(path) && !replace) {
      throw new CliError(1, `there is a store already: ${path}`, {
        hint: "Say --replace to put it aside. Nothing was changed.",
      });
    }
    const [{ restore }, { parseMasterKeys }] = await Promise.all([
      import("../store/backup.ts"),
      import("../store/envelope.ts"),
    ]);
    await startStep(`the backup ${backup}`, "KEYSWAP_DATA_DIR", async () => {
      const keys = parseMasterKeys(masterKeysOf(config) ?? folder.readMasterKeys());
      const aside = await restore(backup, path, keys, { replace });
      if (aside !== undefined) cli.stderr.write(`keyswap: note: the store that was there is ${aside} now\n`);
    });
    cli.stdout.write(`${path}\n`);
  });
}
