// `keyswap doctor`: what on this machine would keep keyswap, or a program behind it, from working.
//
//   configuration, folders, CA, clock, ports, hosts (doctor-machine.ts) ─┐
//   a real request by each runtime (doctor-trial.ts) ────────────────────┴─► findings ─► 0, or 1 where one failed

import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { checkAuthority, checkDataFolder, checkHosts, checkService, type ServiceCheck } from "./doctor-machine.ts";
import { runtimes } from "./doctor-runtimes.ts";
import type { Finding } from "./finding.ts";
import { clean, printJson } from "./output.ts";
import { addSettingFlags, type Flags } from "./setting-flags.ts";

export function define(cli: Cli): Command {
  const names = runtimes.map(({ name }) => name);
  const command = newCommand(
    cli,
    "doctor",
    "Check this machine: configuration, CA, ports, hosts, and each runtime by a real request",
    ["keyswap doctor", "keyswap doctor git 'Python urllib'", "keyswap doctor --json"],
  )
    .argument("[runtimes...]", `only these runtimes: ${names.join(", ")}`)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nEach runtime that is found sends one request through a private keyswap to a host on this machine, set up as\n" +
        "`keyswap run` does it. The exit code is 1 where a check failed; what could not be reached is only noted.\n",
    );
  const flags = addSettingFlags(command, (_key, { part }) => part !== undefined);
  return command.action(async (wanted: readonly string[], options: { readonly json?: boolean }) => {
    const unknown = wanted.filter((name) => !names.includes(name));
    if (unknown.length > 0) {
      throw new CliError(2, `there is no runtime ${unknown.join(", ")}`, { hint: `Known are ${names.join(", ")}.` });
    }
    const findings: Finding[] = [];
    const tell = (finding: Finding) => {
      findings.push(finding);
      if (!options.json) print(cli, finding);
    };
    for (const finding of await checkMachine(cli, flags)) tell(finding);
    await tryRuntimes(cli, wanted, tell);
    const failed = findings.filter(({ state }) => state === "failed").length;
    if (options.json)
      printJson(
        cli,
        findings.map((finding) => ({ ...finding })),
      );
    else cli.stdout.write(failed === 0 ? "\nNothing is in the way.\n" : `\n${failed} of ${findings.length} failed.\n`);
    if (failed > 0) cli.exitCode = 1;
  });
}

const unchecked: ServiceCheck = {
  findings: [{ subject: "keyswap", state: "skipped", detail: "whether one runs is seen in the data folder" }],
  secrets: undefined,
};

async function checkMachine(cli: Cli, flags: Flags): Promise<readonly Finding[]> {
  try {
    const { secretApiUrl } = await loadConfig({ command: "client", flags, env: cli.env });
    // Where the Secret API is elsewhere, a proxy is what could run here.
    const command = secretApiUrl === undefined ? "start" : "proxy";
    const config = await loadConfig({ command, flags, env: cli.env });
    const dataFolder = checkDataFolder(config);
    const { findings, secrets } = dataFolder.state === "failed" ? unchecked : await checkService(config);
    return [
      { subject: "configuration", state: "ok", detail: "no fault" },
      dataFolder,
      ...checkAuthority(config, Date.now()),
      ...findings,
      ...(await checkHosts(config, secrets)),
    ];
  } catch (error) {
    // By its code: it lists every fault and what to do.
    if (!(error instanceof Error && "code" in error && error.code === "config-invalid")) throw error;
    return [{ subject: "configuration", state: "failed", detail: error.message, advice: "See docs/configuration.md." }];
  }
}

/** All of them where none is `wanted`. */
async function tryRuntimes(cli: Cli, wanted: readonly string[], tell: (finding: Finding) => void): Promise<void> {
  const { openTrial } = await import("./doctor-trial.ts");
  try {
    await using trial = await openTrial(cli.env);
    // One after the other: a machine that is busy with all of them says little about each.
    for (const runtime of runtimes.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
      tell(await trial.try(runtime));
    }
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const advice = error.hint === undefined ? {} : { advice: error.hint };
    tell({ subject: "runtimes", state: "failed", detail: error.message, ...advice });
  }
}

const marks = { ok: "ok", failed: "FAILED", note: "note", skipped: "-" } as const;

function print(cli: Cli, { subject, state, detail, advice }: Finding): void {
  const text = detail.split("\n").map(clean).join("\n        ");
  cli.stdout.write(`${marks[state].padEnd(6)}  ${subject.padEnd(22)}  ${text}\n`);
  if (advice !== undefined) cli.stdout.write(`${" ".repeat(8)}${clean(advice)}\n`);
}
