// `keyswap audit`: what was done. Two sources: changes (who changed and resolved what; the Secret API's own trail) and
// exchanges (what went through the proxy; its audit file).

import type { Command } from "commander";
import { defineClientFlags } from "./api-access.ts";
import { listChanges } from "./audit-changes.ts";
import { listExchanges } from "./audit-exchanges.ts";
import { type AuditOptions, type AuditQuery, toQuery } from "./audit-query.ts";
import { type Cli, CliError, collect, newCommand } from "./command.ts";

export function define(cli: Cli): Command {
  const command = newCommand(cli, "audit", "Show what was done: changes at the Secret API, or exchanges of the proxy", [
    "keyswap audit",
    "keyswap audit --action secret.update --from 7d --json",
    "keyswap audit --of exchanges --secret OPENAI --outcome withheld",
    "keyswap audit --of exchanges --sandbox 6f1c4a52-6a0c-4f0e-9e0b-0d5d2f6f8d11 --follow",
  ])
    .option(
      "--of <source>",
      "changes: who changed and resolved what; exchanges: what went through the proxy",
      "changes",
    )
    .option("--limit <number>", "the latest so many", "50")
    .option("--from <time>", "not before: 2026-11-23T12:00:00Z, or so long ago: 15m, 2h, 7d")
    .option("--to <time>", "before, likewise")
    .option("--follow", "go on with what comes, until interrupted")
    .option("--json", "one JSON object per line")
    .option("--action <name>", "of changes: secret.create, sandbox.resolve, …; a wrong one lists them all")
    .option("--target <id>", "of changes: the id of the secret, sandbox or key")
    .option("--sandbox <id>", "of exchanges: this sandbox's; its name will do where the Secret API runs")
    .option("--secret <name>", "of exchanges: those in which this secret's placeholder or value was met")
    .option("--host <pattern>", "of exchanges: to this host: api.example.com, api.example.com:8443, *.example.com")
    .option(
      "--outcome <word>",
      "of exchanges: substituted, withheld, passed, tunnelled, refused, failed; may be repeated",
      collect,
    );
  const flags = defineClientFlags(command, ["audit"]);
  return command.action(async (options: AuditOptions) => {
    const query: AuditQuery = toQuery(options, Date.now());
    switch (query.of) {
      case "changes":
        return listChanges(cli, flags, query);
      case "exchanges":
        return listExchanges(cli, flags, query);
      default:
        throw new CliError(2, query satisfies never);
    }
  });
}
