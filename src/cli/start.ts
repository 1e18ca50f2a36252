// `keyswap start`: everything in one process.

import type { Command } from "commander";
import { loadEffectiveConfig } from "../config/load.ts";
import { type Cli, newCommand } from "./command.ts";
import { composeStart } from "./compose.ts";
import { serve } from "./serve.ts";
import { addSettingFlags } from "./setting-flags.ts";

export function define(cli: Cli): Command {
  const command = newCommand(cli, "start", "Run the Secret API and the proxy in one process.", [
    "keyswap start",
    "keyswap start --proxy-listen 127.0.0.1:0 --data-dir ./keyswap-data",
    "keyswap start --config /etc/keyswap.yaml",
  ]);
  const flags = addSettingFlags(command, () => true);
  return command.action(async () => {
    const load = () => loadEffectiveConfig({ command: "start", flags, env: cli.env });
    cli.exitCode = await serve(cli, load, (config, logger) => composeStart(config, logger, { shared: true }));
  });
}
