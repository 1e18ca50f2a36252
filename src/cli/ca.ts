// `keyswap ca`: prints the certificate that sandboxes have to trust; its subcommands are about the CA as a whole.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { defineRotate, defineShow } from "./ca-rotate.ts";
import { defineInstall, defineUninstall } from "./ca-store.ts";
import { defineExport, defineImport } from "./ca-transfer.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { codeOf } from "./data-folder.ts";
import { addSettingFlags } from "./setting-flags.ts";

export function define(cli: Cli): Command {
  const command = newCommand(cli, "ca", "Print the CA's certificate (PEM), which sandboxes have to trust", [
    "keyswap ca > keyswap-ca.pem",
    "keyswap ca --path",
    "keyswap ca show",
    "keyswap ca rotate",
    "sudo keyswap ca install --certs-dir ~/.keyswap/certs",
    "keyswap ca export | ssh gateway-2 keyswap ca import",
  ])
    .option("--path", "print the file's path instead")
    // What stands after a subcommand is the subcommand's.
    .enablePositionalOptions();
  for (const subcommand of [
    defineShow(cli),
    defineRotate(cli),
    defineExport(cli),
    defineImport(cli),
    defineInstall(cli),
    defineUninstall(cli),
  ])
    command.addCommand(subcommand);
  const flags = addSettingFlags(command, (key) => key === "certsDir");
  return command.action(async (options: { readonly path?: boolean }) => {
    const { certsDir } = await loadConfig({ command: "client", flags, env: cli.env });
    const path = join(certsDir, "ca.pem");
    let pem: string;
    try {
      pem = readFileSync(path, "utf8");
    } catch (error) {
      throw new CliError(1, `${path} cannot be read (${codeOf(error)})`, {
        hint: "The CA is made by the first keyswap start; KEYSWAP_CERTS_DIR says where.",
      });
    }
    cli.stdout.write(options.path ? `${path}\n` : pem);
  });
}
