// `keyswap run`: a command as a sandbox of the keyswap that runs, or of a private one for the command's time.
//
//   find or start a keyswap ─► register a sandbox ─► environment (proxy, trust, placeholders) ─► command ─► delete it

import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { type Cli, collect, newCommand } from "./command.ts";
import { readEnvFile } from "./env-file.ts";
import { openGateway } from "./gateway.ts";
import { openJavaPort } from "./java-port.ts";
import { parseMount } from "./mount.ts";
import { clean } from "./output.ts";
import { registerSandbox, type SandboxRules } from "./registered-sandbox.ts";
import { runChild } from "./run-child.ts";
import { RunSummary } from "./run-summary.ts";
import { sandboxEnvironment } from "./sandbox-environment.ts";
import { addSettingFlags, type Flags } from "./setting-flags.ts";
import { makeTrustBundle } from "./trust-bundle.ts";

interface RunOptions extends SandboxRules {
  readonly secret?: readonly string[];
  readonly envFrom?: readonly string[];
  readonly summary?: boolean;
}

export function define(cli: Cli): Command {
  const command = newCommand(
    cli,
    "run",
    "Run a command as a sandbox: it sees placeholders, the hosts see the secrets.",
    [
      "keyswap run --secret OPENAI_API_KEY=OPENAI -- python agent.py",
      "keyswap run --env-from .env -- npm start",
      "keyswap run --secret GITHUB_TOKEN=GITHUB --host '*.github.com' -- git push",
      "keyswap run --secret TOKEN=API -- sh -c 'curl -H \"Authorization: Bearer $TOKEN\" https://api.example.com/'",
    ],
  )
    .usage("[options] -- <command> [args...]")
    .argument("<command>", "what to run")
    .argument("[args...]", "its arguments")
    .passThroughOptions()
    .option("--secret <env=name>", "a secret and the variable that holds its placeholder; may be repeated", collect)
    // Not --env-file: Node takes that for its own, wherever it stands on the command line.
    .option("--env-from <file>", "variables of a .env file; placeholders are mounted; may be repeated", collect)
    .option("--host <pattern>", "the command may reach only this host; may be repeated", collect)
    .option("--on-violation <choice>", "pass or block, for this command")
    .option("--summary", "say on stderr at the end what was sent and what was not substituted (default on a terminal)")
    .option("--no-summary", "say nothing at the end")
    .addHelpText(
      "after",
      "\nUses the keyswap that runs on the data folder; where none runs, a private one for the command's time.\n" +
        "A running one has its own settings: flags that it would not heed are refused, and those of the environment and\n" +
        "of a --config file say only how it is found. --host and --on-violation hold with both.\n" +
        "The exit code is the command's own; 128 and the signal's number where a signal ended it.\n",
    );
  const flags = addSettingFlags(command, (key) => key !== "onViolation");
  return command.action(async (name: string, args: readonly string[], options: RunOptions) => {
    const summary = new RunSummary();
    const { isPrivate, sandboxId } = await runSandboxed(cli, { command: [name, ...args], options, flags, summary });
    // Only now has every connection ended and been counted.
    if (isPrivate && (options.summary ?? cli.stderr.isTTY)) for (const line of summary.lines()) say(cli, line);
    if (!isPrivate && options.summary) {
      say(
        cli,
        `no summary: the audit of the running keyswap has it (keyswap audit --of exchanges --sandbox ${sandboxId})`,
      );
    }
  });
}

interface SandboxedRun {
  readonly command: readonly [string, ...string[]];
  readonly options: RunOptions;
  readonly flags: Flags;
  readonly summary: RunSummary;
}

interface EndedRun {
  /** A private keyswap was started: its events are in the summary. */
  readonly isPrivate: boolean;
  readonly sandboxId: string;
}

/** Sets the exit code. */
async function runSandboxed(cli: Cli, { command, options, flags, summary }: SandboxedRun): Promise<EndedRun> {
  const [name, ...args] = command;
  const named = (options.secret ?? []).map(parseMount);
  const config = await loadConfig({ command: "run", flags, env: cli.env });
  await using gateway = await openGateway(config, flags, (event) => summary.add(event));
  const { client } = gateway;
  const files = await Promise.all((options.envFrom ?? []).map((path) => readEnvFile(path, client)));
  // The last one that names a variable counts: the command line before files.
  const mounts = new Map([...files.flatMap((file) => file.mounts), ...named].map((mount) => [mount.env, mount]));
  await using sandbox = await registerSandbox(client, [...mounts.values()], options);
  // What the caller's environment says goes before a file, as programs that read such files do it.
  const before = Object.assign({}, ...files.map((file) => file.variables), cli.env);
  using trust = makeTrustBundle(sandbox.caCertificate, before);
  const { proxyUrl, placeholders } = sandbox;
  await using java = await openJavaPort(proxyUrl);
  const { env: trustVariables, javaTrustStore } = trust;
  const env = { proxyUrl, placeholders, trust: trustVariables, javaTrustStore, javaPort: java?.port };
  cli.exitCode = await runChild(name, args, sandboxEnvironment(before, env));
  return { isPrivate: gateway.isPrivate, sandboxId: sandbox.id };
}

function say(cli: Cli, line: string): void {
  cli.stderr.write(`keyswap: ${clean(line)}\n`);
}
