// Audit events in words, for people: what a console, a command line or an explanation says of a decision. Nothing here
// is more than the event holds; programs go by the codes.

import type { AuditEvent, ExchangeEvent, NotSubstituted, Substitution } from "./audit.ts";
import { type ErrorCode, errorTable } from "./errors.ts";
import type { Surface } from "./grants.ts";
import { notSubstitutedReasons } from "./reasons.ts";

/** What became of an exchange, a tunnel or a refusal, in one word: to filter by and to colour. */
export type Outcome = "substituted" | "withheld" | "passed" | "tunnelled" | "refused" | "failed";

export const outcomes: readonly Outcome[] = ["substituted", "withheld", "passed", "tunnelled", "refused", "failed"];

const surfaceWords: Readonly<Record<Surface, string>> = {
  header: "a header",
  basic: "Basic credentials",
  path: "the path",
  query: "the query",
  body: "the body",
  base64: "Base64 in the body",
};

/** Errors by which keyswap itself said no, and not the network, the destination or the client. */
const refusals: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "bad-request",
  "head-too-large",
  "body-too-large",
  "method-not-allowed",
  "bad-target",
  "authority-mismatch",
  "upgrade-unsupported",
  "not-http",
  "proxy-auth-required",
  "source-unknown",
  "grants-unavailable",
  "host-invalid",
  "egress-denied",
  "address-private",
  "address-own",
  "violation-blocked",
]);

/**
 * The outcome of an event. A refusal or failure goes before what was or was not substituted, and a placeholder that was
 * left alone before one that was not: what wants attention comes first.
 */
export function outcomeOf(event: AuditEvent): Outcome {
  if (event.type === "refusal") return refusals.has(event.error) ? "refused" : "failed";
  if (event.error !== undefined) return refusals.has(event.error) ? "refused" : "failed";
  if (event.type === "tunnel") return "tunnelled";
  if (event.notSubstituted.length > 0) return "withheld";
  return event.substituted.length > 0 ? "substituted" : "passed";
}

/** The decisions of an event, one sentence each: "not substituted: host api.evil.test is not on OPENAI's list". */
export function describeEvent(event: AuditEvent): readonly string[] {
  switch (event.type) {
    case "exchange":
      return describeExchange(event);
    case "tunnel":
      return [tunnelWords[event.reason], ...(event.error === undefined ? [] : [describeError(event.error, undefined)])];
    case "refusal":
      return [describeError(event.error, event.detail)];
    default:
      return event satisfies never;
  }
}

const tunnelWords = {
  "host-not-granted": "not opened up: no secret of this sandbox is for this host",
  "tunnel-listed": "not opened up: the operator lists this host as one to tunnel",
  "not-http": "relayed as it is: neither TLS nor HTTP, which the operator allows for this host",
} as const;

function describeExchange(event: ExchangeEvent): readonly string[] {
  const host = hostOf(event.authority);
  const sentences = [
    ...event.substituted.map(describeSubstitution),
    ...event.notSubstituted.map((entry) => `not substituted: ${describeNotSubstituted(entry, host)}`),
  ];
  if (event.scrubbed.length > 0) sentences.push(`scrubbed from the answer: ${event.scrubbed.join(", ")}`);
  if (event.error !== undefined) sentences.push(describeError(event.error, undefined));
  return sentences.length > 0 ? sentences : ["no placeholder in the request"];
}

/** "OPENAI was written into a header" */
export function describeSubstitution(entry: Substitution): string {
  return `${entry.secret} was written into ${surfaceWords[entry.surface]}`;
}

/** Why a placeholder was left alone, with the names at hand. `host`: without port; undefined where none was named. */
export function describeNotSubstituted(entry: NotSubstituted, host: string | undefined): string {
  const secret = entry.secret ?? "the placeholder";
  const place = entry.surface === undefined ? "this place" : surfaceWords[entry.surface];
  const destination = host === undefined ? "the destination" : `host ${host}`;
  switch (entry.reason) {
    case "host-not-allowed":
      return `${destination} is not on ${entry.secret === undefined ? "the secret" : secret}'s list`;
    case "host-not-granted":
      return `${destination} is on no list of this sandbox's secrets, so the connection was not opened up`;
    case "surface-not-allowed":
      return `${secret} may not be written into ${place}`;
    case "sink-header":
      return `${secret} stood in a header that is commonly echoed or forwarded`;
    case "plain-http":
      return `${destination} was not reached by TLS, and is not listed for plain HTTP`;
    case "unwritable-value":
      return `the value of ${secret} has bytes that cannot be written into ${place}`;
    default:
      return entry.secret === undefined
        ? notSubstitutedReasons[entry.reason]
        : `${secret}: ${notSubstitutedReasons[entry.reason]}`;
  }
}

/** "refused: …" or "failed: …" with the error table's words, which say what to do. */
export function describeError(code: ErrorCode, detail: string | undefined): string {
  const kind = refusals.has(code) ? "refused" : "failed";
  return `${kind}: ${errorTable[code].hint}${detail === undefined ? "" : ` (${detail})`}`;
}

/** The host of `host:port`; IPv6 keeps its brackets. */
export function hostOf(authority: string | undefined): string | undefined {
  return authority?.replace(/:\d+$/, "");
}
