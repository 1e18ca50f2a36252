// `keyswap api`: the Secret API alone.

import type { Command } from "commander";
import { loadEffectiveConfig } from "../config/load.ts";
import { type Cli, newCommand } from "./command.ts";
import { composeApi } from "./compose.ts";
import { serve } from "./serve.ts";
import { addSettingFlags } from "./setting-flags.ts";

export function define(cli: Cli): Command {
  const command = newCommand(cli, "api", "Run the Secret API alone.", [
    "keyswap api --api-listen 127.0.0.1:8181 --proxy-url http://proxy.internal:8080",
  ]);
  const flags = addSettingFlags(command, (_, { part }) => part !== "proxy");
  return command.action(async () => {
    const load = () => loadEffectiveConfig({ command: "api", flags, env: cli.env });
    cli.exitCode = await serve(cli, load, (config, logger) => composeApi(config, logger));
  });
}
