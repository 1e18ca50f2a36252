// What went through the proxy of this machine, from its audit file.

import { loadConfig } from "../config/load.ts";
import { variableName } from "../config/settings.ts";
import { describeEvent, hostOf, outcomeOf } from "../core/audit-words.ts";
import { type AuditLine, AuditTail, latestEvents } from "../telemetry/audit-reader.ts";
import type { ExchangesQuery } from "./audit-query.ts";
import { type Cli, CliError } from "./command.ts";
import { codeOf } from "./errno.ts";
import { isReaderGone, printJsonLine, printLine } from "./output.ts";
import type { Flags } from "./setting-flags.ts";

const FOLLOW_MS = 200;

export async function listExchanges(cli: Cli, flags: Flags, query: ExchangesQuery): Promise<void> {
  const { audit } = await loadConfig({ command: "client", flags, env: cli.env });
  if (audit.kind !== "file") {
    throw new CliError(2, `there is no audit file: ${variableName("audit")} is ${audit.kind}`);
  }
  const print = (line: AuditLine) => (query.json ? printJsonLine(cli, line) : printLine(cli, describe(line)));
  const isWanted = (line: AuditLine) => matches(line, query);
  // Opened before the past is read, which then ends where this begins.
  await using tail = query.follow ? await AuditTail.open(audit.path) : undefined;
  try {
    for (const line of await latestEvents(audit.path, query.limit, isWanted, tail?.position)) print(line);
  } catch (error) {
    const isMissing = codeOf(error) === "ENOENT";
    if (!isMissing || tail === undefined) throw unreadable(audit.path, codeOf(error));
  }
  while (tail !== undefined && !isReaderGone(cli)) {
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
    await tail.read((line) => {
      if (isWanted(line)) print(line);
    });
  }
}

function unreadable(path: string, code: string): CliError {
  const hint = "The proxy of this machine writes it; KEYSWAP_AUDIT or KEYSWAP_DATA_DIR says where.";
  return new CliError(1, `the audit file ${path} cannot be read (${code})`, { hint });
}

function matches(line: AuditLine, { from, to, sandbox, secret, host, outcomes }: ExchangesQuery): boolean {
  const time = Date.parse(line.time);
  if ((from !== undefined && time < from) || (to !== undefined && time >= to)) return false;
  // That events are missing concerns every question.
  if (line.type === "dropped") return true;
  if (sandbox !== undefined && line.sandbox !== sandbox) return false;
  if (host !== undefined && hostOf(line.authority) !== host) return false;
  if (secret !== undefined && !secretsOf(line).includes(secret)) return false;
  return outcomes.size === 0 || outcomes.has(outcomeOf(line));
}

function secretsOf(line: AuditLine): readonly (string | undefined)[] {
  if (line.type !== "exchange") return [];
  return [
    ...line.substituted.map((each) => each.secret),
    ...line.notSubstituted.map((each) => each.secret),
    ...line.scrubbed,
  ];
}

/** `2026-11-23T12:00:00.000Z  substituted  <sandbox>  POST api.openai.com:443/v1/chat 200  OPENAI was written into a header` */
function describe(line: AuditLine): string {
  if (line.type === "dropped") return `${line.time}  ${line.count} events were dropped here`;
  const target =
    line.type === "exchange" ? `${line.method} ${line.authority}${line.path} ${line.status ?? "-"}` : line.authority;
  return [
    line.time,
    outcomeOf(line).padEnd(11),
    line.sandbox ?? "-",
    target ?? "-",
    describeEvent(line).join("; "),
  ].join("  ");
}
