// What of the audit is asked for, checked.

import { type Outcome, outcomes } from "../core/audit-words.ts";
import { type EgressPattern, parseEgressPattern } from "../core/authority/policy.ts";
import { type ChangeAction, changeActions } from "../core/change-actions.ts";
import { CliError } from "./command.ts";

/** As commander gives them. */
export interface AuditOptions {
  readonly of: string;
  readonly limit: string;
  readonly from?: string;
  readonly to?: string;
  readonly follow?: boolean;
  readonly json?: boolean;
  readonly action?: string;
  readonly target?: string;
  readonly sandbox?: string;
  readonly secret?: string;
  readonly host?: string;
  readonly outcome?: readonly string[];
}

interface Common {
  readonly limit: number;
  /** Milliseconds since the epoch. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly follow: boolean;
  readonly json: boolean;
}

export interface ChangesQuery extends Common {
  readonly of: "changes";
  readonly action: ChangeAction | undefined;
  readonly target: string | undefined;
}

export interface ExchangesQuery extends Common {
  readonly of: "exchanges";
  /** An id or a name. */
  readonly sandbox: string | undefined;
  readonly secret: string | undefined;
  readonly host: EgressPattern | undefined;
  /** Empty: any. */
  readonly outcomes: ReadonlySet<Outcome>;
}

export type AuditQuery = ChangesQuery | ExchangesQuery;

const MAX_LIMIT = 100_000;
const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Throws CliError. */
export function toQuery(options: AuditOptions, now: number): AuditQuery {
  const { of, action, target, sandbox, secret, host, outcome = [] } = options;
  const limit = Number(options.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new CliError(2, `--limit is a whole number from 1 to ${MAX_LIMIT}`);
  }
  const { follow = false, json = false } = options;
  const common = {
    limit,
    from: timeOf("--from", options.from, now),
    to: timeOf("--to", options.to, now),
    follow,
    json,
  };
  if (follow && common.to !== undefined) throw new CliError(2, "--follow goes on and on; leave --to out");
  switch (of) {
    case "changes":
      refuseOthers("exchanges", { sandbox, secret, host, outcome: outcome[0] });
      return { of, ...common, action: actionOf(action), target };
    case "exchanges":
      refuseOthers("changes", { action, target });
      return { of, ...common, sandbox, secret, host: hostOf(host), outcomes: new Set(outcome.map(outcomeOf)) };
    default:
      throw new CliError(2, "--of is changes or exchanges");
  }
}

function refuseOthers(of: string, given: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) throw new CliError(2, `--${name} is a filter of --of ${of}`);
  }
}

function actionOf(word: string | undefined): ChangeAction | undefined {
  const found = changeActions.find((each) => each === word);
  if (found === undefined && word !== undefined)
    throw new CliError(2, `--action is one of ${changeActions.join(", ")}`);
  return found;
}

/** As on an egress list: `host`, `*.host`, `*`, each with a port or without. */
function hostOf(text: string | undefined): EgressPattern | undefined {
  if (text === undefined) return undefined;
  const result = parseEgressPattern(text);
  if (result.kind === "pattern") return result.pattern;
  throw new CliError(2, `--host: ${result.detail}`);
}

function outcomeOf(word: string): Outcome {
  const found = outcomes.find((each) => each === word);
  if (found === undefined) throw new CliError(2, `--outcome is one of ${outcomes.join(", ")}`);
  return found;
}

function timeOf(flag: string, text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const span = unitsMs[unit ?? ""];
  if (count !== undefined && span !== undefined) return now - Number(count) * span;
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new CliError(2, `${flag} is a time such as 2026-11-23T12:00:00Z, or so long ago: 15m, 2h, 7d`);
}
