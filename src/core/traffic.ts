// What proxies tell the Secret API about traffic, batch by batch, for people to look at: counts of everything and a
// sample of the events themselves.
//
//   audit events of half a second ─► countTraffic: per sandbox and authority, complete
//                                 └► sampleEvents: at most so many, those that want attention first
//
// Invariant: what is not shown is counted. `unsampled` events are in the counts, `lost` ones are not.

import type { AuditEvent } from "./audit.ts";
import { outcomeOf } from "./audit-words.ts";

/** One proxy's report. */
export interface TrafficReport {
  /** The proxy's name for itself: unique for as long as it runs. */
  readonly proxy: string;
  readonly counts: readonly TrafficCount[];
  readonly events: readonly AuditEvent[];
  /** Events that are counted and not among `events`. */
  readonly unsampled: number;
  /** Events of which nothing is known but that they were. */
  readonly lost: number;
}

/** Numbers of events. One exchange may be in several of them, but is one event. */
export interface TrafficNumbers {
  readonly events: number;
  /** Exchanges in which a value was written. */
  readonly substituted: number;
  /** Exchanges with a placeholder that was left alone. */
  readonly withheld: number;
  readonly refused: number;
  readonly failed: number;
  readonly tunnelled: number;
  /** Exchanges whose answer held a value. */
  readonly scrubbed: number;
}

/** What happened between one sandbox and one authority. */
export interface TrafficCount extends TrafficNumbers {
  readonly sandbox: string | undefined;
  /** `host:port` */
  readonly authority: string | undefined;
  /** Names of the secrets that were written. */
  readonly secrets: readonly string[];
}

export type MutableNumbers = { -readonly [K in keyof TrafficNumbers]: number };

export function noTraffic(): MutableNumbers {
  return { events: 0, substituted: 0, withheld: 0, refused: 0, failed: 0, tunnelled: 0, scrubbed: 0 };
}

export function addTraffic(sum: MutableNumbers, more: TrafficNumbers): void {
  sum.events += more.events;
  sum.substituted += more.substituted;
  sum.withheld += more.withheld;
  sum.refused += more.refused;
  sum.failed += more.failed;
  sum.tunnelled += more.tunnelled;
  sum.scrubbed += more.scrubbed;
}

/** Bound on the counts of one report; authorities beyond it are counted together, without a name. */
export const MAX_COUNTS = 500;
const MAX_SECRETS = 50;

interface Tally extends MutableNumbers {
  sandbox: string | undefined;
  authority: string | undefined;
  secrets: string[];
}

export function countTraffic(events: readonly AuditEvent[]): readonly TrafficCount[] {
  const tallies = new Map<string, Tally>();
  for (const event of events) {
    const tally = tallyFor(tallies, event);
    tally.events += 1;
    const outcome = outcomeOf(event);
    if (outcome === "refused") tally.refused += 1;
    else if (outcome === "failed") tally.failed += 1;
    if (event.type === "tunnel") tally.tunnelled += 1;
    if (event.type !== "exchange") continue;
    if (event.substituted.length > 0) tally.substituted += 1;
    if (event.notSubstituted.length > 0) tally.withheld += 1;
    if (event.scrubbed.length > 0) tally.scrubbed += 1;
    for (const { secret } of event.substituted) {
      if (tally.secrets.length < MAX_SECRETS && !tally.secrets.includes(secret)) tally.secrets.push(secret);
    }
  }
  return [...tallies.values()];
}

function tallyFor(tallies: Map<string, Tally>, { sandbox, authority }: AuditEvent): Tally {
  const known = tallies.get(`${sandbox ?? ""} ${authority ?? ""}`);
  if (known !== undefined) return known;
  // Room for the nameless ones is kept: there is one for each sandbox at most, and those are bounded alike.
  const isFull = tallies.size >= MAX_COUNTS - 1;
  const place = { sandbox: isFull ? undefined : sandbox, authority: isFull ? undefined : authority };
  const key = `${place.sandbox ?? ""} ${place.authority ?? ""}`;
  let tally = tallies.get(key);
  if (tally === undefined) {
    tally = { ...noTraffic(), ...place, secrets: [] };
    tallies.set(key, tally);
  }
  return tally;
}

/** At most `max` events in their order: first those that want attention (half of the room), then evenly of the rest. */
export function sampleEvents(events: readonly AuditEvent[], max: number): readonly AuditEvent[] {
  if (events.length <= max) return events;
  const calm: number[] = [];
  const urgent: number[] = [];
  for (const [index, event] of events.entries()) (wantsAttention(event) ? urgent : calm).push(index);
  const room = Math.min(urgent.length, Math.max(Math.floor(max / 2), max - calm.length));
  const chosen = [...evenly(urgent, room), ...evenly(calm, max - room)];
  return chosen.sort((a, b) => a - b).map((index) => events[index]!);
}

function wantsAttention(event: AuditEvent): boolean {
  const outcome = outcomeOf(event);
  return outcome === "withheld" || outcome === "refused" || outcome === "failed";
}

function evenly(indices: readonly number[], count: number): readonly number[] {
  if (indices.length <= count) return indices;
  return Array.from({ length: count }, (_, at) => indices[Math.floor((at * indices.length) / count)]!);
}
