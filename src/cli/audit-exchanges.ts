// What went through the proxy of this machine, from its audit file.

import { loadConfig } from "../config/load.ts";
import { type Config, variableName } from "../config/settings.ts";
import { describeEvent, outcomeOf } from "../core/audit-words.ts";
import { parseAuthority } from "../core/authority/authority.ts";
import { type EgressPattern, egressPatternMatches } from "../core/authority/policy.ts";
import { type AuditLine, AuditTail, latestEvents } from "../telemetry/audit-reader.ts";
import { type ClientFlags, findRunningApi } from "./api-access.ts";
import { ApiClient, ApiError, expectObject, textOf } from "./api-client.ts";
import type { ExchangesQuery } from "./audit-query.ts";
import { type Cli, CliError } from "./command.ts";
import { codeOf } from "./errno.ts";
import { isReaderGone, printJsonLine, printLine } from "./output.ts";

const FOLLOW_MS = 200;

export async function listExchanges(cli: Cli, flags: ClientFlags, query: ExchangesQuery): Promise<void> {
  const config = await loadConfig({ command: "client", flags: flags.settings, env: cli.env });
  const { audit } = config;
  if (audit.kind !== "file") {
    throw new CliError(2, `there is no audit file: ${variableName("audit")} is ${audit.kind}`);
  }
  const print = (line: AuditLine) => (query.json ? printJsonLine(cli, line) : printLine(cli, describe(line)));
  const sandbox = query.sandbox === undefined ? undefined : await findSandbox(config, flags, query.sandbox);
  const isWanted = (line: AuditLine) => matches(line, query, sandbox?.ids);
  // Opened before the past is read, which then ends where this begins.
  await using tail = query.follow ? await AuditTail.open(audit.path) : undefined;
  try {
    const found = await latestEvents(audit.path, query.limit, isWanted, tail?.position);
    if (found.length === 0 && sandbox?.doubt !== undefined) cli.stderr.write(`keyswap: note: ${sandbox.doubt}\n`);
    for (const line of found) print(line);
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

interface WantedSandbox {
  readonly ids: ReadonlySet<string>;
  /** Why nothing may be found. */
  readonly doubt?: string;
}

/** By id, whether it still exists or not; by name where an API can be asked, for the audit file has ids alone. */
async function findSandbox(config: Config, flags: ClientFlags, wanted: string): Promise<WantedSandbox> {
  const quoted = JSON.stringify(wanted);
  try {
    const api = await findRunningApi(config);
    if (api !== undefined) {
      const client = new ApiClient({ ...api, organization: flags.organization() });
      try {
        const found = expectObject(await client.call("GET", `/sandbox/${encodeURIComponent(wanted)}`));
        return { ids: new Set([wanted, textOf(found, "id")]) };
      } finally {
        client.close();
      }
    }
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    if (error instanceof ApiError && error.status === 404) {
      const doubt = `there is no sandbox called ${quoted}, nor is any exchange of one with this id`;
      return { ids: new Set([wanted]), doubt };
    }
  }
  const doubt = `no exchange is of a sandbox with the id ${quoted}; no Secret API could be asked for names`;
  return { ids: new Set([wanted]), doubt };
}

function matches(
  line: AuditLine,
  { from, to, secret, host, outcomes }: ExchangesQuery,
  sandboxes: ReadonlySet<string> | undefined,
): boolean {
  const time = Date.parse(line.time);
  if ((from !== undefined && time < from) || (to !== undefined && time >= to)) return false;
  // That events are missing concerns every question.
  if (line.type === "dropped") return true;
  if (sandboxes !== undefined && (line.sandbox === undefined || !sandboxes.has(line.sandbox))) return false;
  if (host !== undefined && !goesTo(line.authority, host)) return false;
  if (secret !== undefined && !secretsOf(line).includes(secret)) return false;
  return outcomes.size === 0 || outcomes.has(outcomeOf(line));
}

/** The scheme says nothing here: an audit line's authority always has its port. */
function goesTo(text: string | undefined, host: EgressPattern): boolean {
  const parsed = text === undefined ? undefined : parseAuthority(text, "https");
  return parsed?.kind === "authority" && egressPatternMatches(host, parsed.authority);
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
