// A reported event as it is shown, and the filters by which people look for it.

import { z } from "zod";
import type { AuditEvent } from "../core/audit.ts";
import { describeEvent, outcomeOf } from "../core/audit-words.ts";
import { queryText } from "./paging.ts";
import type { BookedEvent } from "./traffic-book.ts";

export const trafficNumbers = z.object({
  events: z.number(),
  substituted: z.number(),
  withheld: z.number(),
  refused: z.number(),
  failed: z.number(),
  tunnelled: z.number(),
  scrubbed: z.number(),
});

const outcome = z.enum(["substituted", "withheld", "passed", "tunnelled", "refused", "failed"]);

export const trafficItem = z
  .object({
    seq: z.number(),
    outcome,
    decisions: z.array(z.string()).meta({ description: "What was decided, in words." }),
    event: z.looseObject({ type: z.string(), time: z.string(), id: z.string() }).meta({
      description: "The audit event, as proxies write it to their logs.",
    }),
  })
  .meta({ title: "TrafficItem" });

/** Fields of a query, for all routes about traffic. */
export const trafficFilter = {
  sandbox: queryText.optional(),
  host: queryText.optional(),
  secret: queryText.optional(),
  outcome: outcome.optional(),
};

export interface TrafficFilter {
  /** Its id. */
  readonly sandbox?: string | undefined;
  /** Part of the authority. */
  readonly host?: string | undefined;
  /** Name of a secret that was written, left alone or scrubbed. */
  readonly secret?: string | undefined;
  readonly outcome?: z.output<typeof outcome> | undefined;
}

/** An empty text is no filter: forms send it for a field that was left empty. */
export function matcherOf(filter: TrafficFilter): (event: AuditEvent) => boolean {
  const host = filter.host?.toLowerCase() ?? "";
  const { sandbox = "", secret = "", outcome } = filter;
  return (event) =>
    (sandbox === "" || event.sandbox === sandbox) &&
    (host === "" || event.authority?.includes(host) === true) &&
    (secret === "" || names(event, secret)) &&
    (outcome === undefined || outcomeOf(event) === outcome);
}

function names(event: AuditEvent, secret: string): boolean {
  if (event.type !== "exchange") return false;
  return (
    event.substituted.some((entry) => entry.secret === secret) ||
    event.notSubstituted.some((entry) => entry.secret === secret) ||
    event.scrubbed.includes(secret)
  );
}

export function presentEvent({ seq, event }: BookedEvent): z.input<typeof trafficItem> {
  return { seq, outcome: outcomeOf(event), decisions: [...describeEvent(event)], event: { ...event } };
}
