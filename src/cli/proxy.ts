// `keyswap proxy`: the proxy alone, one of any number.

import type { Command } from "commander";
import { loadEffectiveConfig } from "../config/load.ts";
import { type Cli, newCommand } from "./command.ts";
import { composeProxy } from "./compose.ts";
import { serve } from "./serve.ts";
import { addSettingFlags } from "./setting-flags.ts";

export function define(cli: Cli): Command {
  const command = newCommand(cli, "proxy", "Run the proxy alone, against a Secret API elsewhere.", [
    "keyswap proxy --secret-api-url http://127.0.0.1:8181/api --proxy-key-file /run/secrets/proxy-key",
  ]);
  const flags = addSettingFlags(command, (_, { part }) => part !== "api");
  return command.action(async () => {
    const load = () => loadEffectiveConfig({ command: "proxy", flags, env: cli.env });
    cli.exitCode = await serve(cli, load, (config, logger) => composeProxy(config, logger));
  });
}
