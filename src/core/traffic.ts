// What proxies tell the Secret API about traffic, batch by batch, for people to look at: counts of everything and a
// sample of the events themselves.
//
//   audit event ─► TrafficCounter: per sandbox and authority, complete
//               └► EventSample: at most so many, those that want attention first
//
// Invariants: what is not shown is counted: `unsampled` events are in the counts, `lost` ones are not; neither counter nor
// sample grows with the number of events, so that most of them are garbage as soon as they were counted.

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

export class TrafficCounter {
  readonly #tallies = new Map<string, Tally>();
  /** Events come in runs: the last one's names and tally are at hand. */
  #last:
    | { readonly sandbox: string | undefined; readonly authority: string | undefined; readonly tally: Tally }
    | undefined;

  add(event: AuditEvent): void {
    const tally = this.#tallyFor(event);
    tally.events += 1;
    const outcome = outcomeOf(event);
    if (outcome === "refused") tally.refused += 1;
    else if (outcome === "failed") tally.failed += 1;
    if (event.type === "tunnel") tally.tunnelled += 1;
    if (event.type !== "exchange") return;
    if (event.substituted.length > 0) tally.substituted += 1;
    if (event.notSubstituted.length > 0) tally.withheld += 1;
    if (event.scrubbed.length > 0) tally.scrubbed += 1;
    for (const { secret } of event.substituted) {
      if (tally.secrets.length < MAX_SECRETS && !tally.secrets.includes(secret)) tally.secrets.push(secret);
    }
  }

  /** What was counted since the last time. */
  take(): readonly TrafficCount[] {
    const counts = [...this.#tallies.values()];
    this.#tallies.clear();
    this.#last = undefined;
    return counts;
  }

  #tallyFor(event: AuditEvent): Tally {
    const last = this.#last;
    const { sandbox, authority } = event;
    if (last !== undefined && last.sandbox === sandbox && last.authority === authority) return last.tally;
    const tally = tallyFor(this.#tallies, event);
    this.#last = { sandbox, authority, tally };
    return tally;
  }
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
export class EventSample {
  readonly #max: number;
  #seen = 0;
  #urgent: EvenSample;
  #calm: EvenSample;

  constructor(max: number) {
    this.#max = max;
    this.#urgent = new EvenSample(max);
    this.#calm = new EvenSample(max);
  }

  /** How many there were since the last `take`. */
  get seen(): number {
    return this.#seen;
  }

  offer(event: AuditEvent): void {
    this.#seen += 1;
    (wantsAttention(event) ? this.#urgent : this.#calm).offer(this.#seen, event);
  }

  take(): readonly AuditEvent[] {
    const [urgent, calm] = [this.#urgent.kept, this.#calm.kept];
    const room = Math.min(urgent.length, Math.max(Math.floor(this.#max / 2), this.#max - calm.length));
    const chosen = [...evenly(urgent, room), ...evenly(calm, this.#max - room)];
    this.#urgent = new EvenSample(this.#max);
    this.#calm = new EvenSample(this.#max);
    this.#seen = 0;
    return chosen.sort((a, b) => a.at - b.at).map(({ event }) => event);
  }
}

interface Kept {
  readonly at: number;
  readonly event: AuditEvent;
}

/** Keeps every n-th, and doubles n when it has twice as many as are wanted. */
class EvenSample {
  kept: Kept[] = [];
  readonly #max: number;
  #offered = 0;
  #stride = 1;

  constructor(max: number) {
    this.#max = max;
  }

  offer(at: number, event: AuditEvent): void {
    const isChosen = this.#offered % this.#stride === 0;
    this.#offered += 1;
    if (!isChosen) return;
    this.kept.push({ at, event });
    if (this.kept.length < 2 * this.#max) return;
    this.kept = this.kept.filter((_, index) => index % 2 === 0);
    this.#stride *= 2;
  }
}

function wantsAttention(event: AuditEvent): boolean {
  const outcome = outcomeOf(event);
  return outcome === "withheld" || outcome === "refused" || outcome === "failed";
}

function evenly(kept: readonly Kept[], count: number): readonly Kept[] {
  if (kept.length <= count) return kept;
  return Array.from({ length: count }, (_, at) => kept[Math.floor((at * kept.length) / count)]!);
}
