// `keyswap backup`: a consistent copy of the SQLite store, whether or not a keyswap runs on the data folder.

import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { DataFolder } from "./data-folder.ts";
import { printJson } from "./output.ts";
import { addSettingFlags } from "./setting-flags.ts";
import { startStep } from "./start-failure.ts";

export function define(cli: Cli): Command {
  const command = newCommand(cli, "backup", "Copy the SQLite store into a new file, while keyswap runs or not", [
    "keyswap backup /var/backups/keyswap-$(date +%F).db",
  ])
    .argument("<file>", "the copy; never overwritten")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nValues in the copy are sealed: it is worth nothing without the master keys (<data>/master-key or\n" +
        "KEYSWAP_MASTER_KEY). Keep them, and keep them apart from it. keyswap restore puts it in place.\n",
    );
  const flags = addSettingFlags(command, (key) => key === "dataDir" || key === "databaseUrl");
  return command.action(async (file: string, { json }: { readonly json?: boolean }) => {
    const config = await loadConfig({ command: "client", flags, env: cli.env });
    if (config.databaseUrl !== undefined) {
      throw new CliError(2, "the store is PostgreSQL, which has tools of its own for this", {
        hint: "Use pg_dump or continuous archiving. Keep the master keys apart from the copy.",
      });
    }
    const { databasePath } = DataFolder.open(config.dataDir);
    const path = resolve(file);
    const { backUpFile } = await import("../store/backup.ts");
    await startStep(`the backup of ${databasePath}`, "KEYSWAP_DATA_DIR", () => backUpFile(databasePath, path));
    const bytes = statSync(path).size;
    if (json) return printJson(cli, { path, bytes });
    cli.stdout.write(`${path} (${bytes} bytes)\n`);
  });
}
