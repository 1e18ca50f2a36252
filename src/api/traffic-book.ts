// What proxies reported lately, in memory and bounded: the latest events, numbers per minute, and when secrets were
// last used. One TrafficBook for each organization; none survives a restart, and a replica knows what was
// reported to it. The audit log of each proxy is the record; this is for looking at.

import { LRUCache } from "lru-cache";
import type { AuditEvent } from "../core/audit.ts";
import { addTraffic, type MutableNumbers, noTraffic, type TrafficCount, type TrafficNumbers } from "../core/traffic.ts";

/** An event with its place in the book. */
export interface BookedEvent {
  /** Rises by one with every event of the organization. */
  readonly seq: number;
  readonly event: AuditEvent;
}

export interface HostTraffic extends TrafficNumbers {
  /** `host:port`; empty: beyond the bound on authorities, or none was named. */
  readonly authority: string;
}

export interface MinuteTraffic extends TrafficNumbers {
  /** Start of the minute, milliseconds since the epoch. */
  readonly time: number;
}

/** What came in at once: all of it counted, some of it as events. */
export interface Arrival {
  readonly items: readonly BookedEvent[];
  readonly numbers: TrafficNumbers;
}

export const KEPT_EVENTS = 5_000;
/** Bound on what the kept events of one organization weigh, as `bytesOf` estimates it: fewer are kept where they are heavy. */
export const KEPT_BYTES = 16 * 1024 * 1024;
/** How far both bounds are passed before what is beyond them goes, so that an addition is cheap on average. */
const SLACK = 1.2;
export const KEPT_MINUTES = 360;
const MAX_HOSTS_PER_MINUTE = 100;
const MAX_LAST_USED = 20_000;
const MAX_ORGANIZATIONS = 1_000;
const MINUTE_MS = 60_000;

interface KeptEvent extends BookedEvent {
  readonly bytes: number;
}

interface Minute {
  readonly time: number;
  readonly numbers: MutableNumbers;
  readonly hosts: Map<string, MutableNumbers>;
}

export class TrafficBook {
  #events: KeptEvent[] = [];
  #bytes = 0;
  #seq = 0;
  readonly #minutes = new Map<number, Minute>();
  readonly #listeners = new Set<(arrival: Arrival) => void>();
  readonly #secretUsed = new LRUCache<string, number>({ max: MAX_LAST_USED });

  add(now: number, counts: readonly TrafficCount[], events: readonly AuditEvent[]): void {
    const minute = this.#minuteAt(now);
    const numbers = noTraffic();
    for (const count of counts) {
      addTraffic(numbers, count);
      const authority = count.authority ?? "";
      const { hosts } = minute;
      const isListed = hosts.has(authority) || hosts.size < MAX_HOSTS_PER_MINUTE;
      addTraffic(numbersOf(hosts, isListed ? authority : ""), count);
      for (const secret of count.secrets) this.#secretUsed.set(secret, now);
    }
    addTraffic(minute.numbers, numbers);
    const items = events.map((event) => ({ seq: ++this.#seq, event, bytes: bytesOf(event) }));
    this.#events.push(...items);
    for (const { bytes } of items) this.#bytes += bytes;
    if (this.#events.length > KEPT_EVENTS * SLACK || this.#bytes > KEPT_BYTES * SLACK) this.#forgetOldest();
    for (const listener of [...this.#listeners]) listener({ items, numbers });
  }

  /** The latest events that match, newest first, of those before `before`. */
  latest(limit: number, before: number | undefined, matches: (event: AuditEvent) => boolean): readonly BookedEvent[] {
    const found: BookedEvent[] = [];
    const from = Math.max(0, this.#events.length - KEPT_EVENTS);
    for (let at = this.#events.length - 1; at >= from && found.length < limit; at--) {
      const item = this.#events[at]!;
      if ((before === undefined || item.seq < before) && matches(item.event)) found.push(item);
    }
    return found;
  }

  /** One entry for each of the last `minutes`, oldest first, also where nothing happened. */
  timeline(now: number, minutes: number): readonly MinuteTraffic[] {
    const last = startOfMinute(now);
    return Array.from({ length: minutes }, (_, at) => {
      const time = last - (minutes - 1 - at) * MINUTE_MS;
      return { ...(this.#minutes.get(time)?.numbers ?? noTraffic()), time };
    });
  }

  /** The busiest authorities of the last `minutes`. */
  topHosts(now: number, minutes: number, limit: number): readonly HostTraffic[] {
    const first = startOfMinute(now) - (minutes - 1) * MINUTE_MS;
    const sums = new Map<string, MutableNumbers>();
    for (const minute of this.#minutes.values()) {
      if (minute.time < first) continue;
      for (const [authority, numbers] of minute.hosts) {
        addTraffic(numbersOf(sums, authority), numbers);
      }
    }
    return [...sums]
      .map(([authority, numbers]) => ({ authority, ...numbers }))
      .sort((a, b) => b.events - a.events || (a.authority < b.authority ? -1 : 1))
      .slice(0, limit);
  }

  /** When a value of this secret last went out, as far as it was reported here; milliseconds since the epoch. */
  secretUsedAt(name: string): number | undefined {
    return this.#secretUsed.peek(name);
  }

  listen(listener: (arrival: Arrival) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #forgetOldest(): void {
    let from = Math.max(0, this.#events.length - KEPT_EVENTS);
    let bytes = this.#events.slice(from).reduce((sum, each) => sum + each.bytes, 0);
    for (; bytes > KEPT_BYTES; from++) bytes -= this.#events[from]!.bytes; // all of them weigh `bytes`
    this.#events = this.#events.slice(from);
    this.#bytes = bytes;
  }

  #minuteAt(now: number): Minute {
    const time = startOfMinute(now);
    let minute = this.#minutes.get(time);
    if (minute === undefined) {
      minute = { time, numbers: noTraffic(), hosts: new Map() };
      this.#minutes.set(time, minute);
      for (const old of this.#minutes.keys()) {
        if (old <= time - KEPT_MINUTES * MINUTE_MS) this.#minutes.delete(old);
      }
    }
    return minute;
  }
}

function numbersOf(map: Map<string, MutableNumbers>, key: string): MutableNumbers {
  const known = map.get(key);
  if (known !== undefined) return known;
  const numbers = noTraffic();
  map.set(key, numbers);
  return numbers;
}

/** About what a part of an event holds of memory: a character may take two bytes. */
function bytesOf(part: unknown): number {
  if (typeof part === "string") return 16 + 2 * part.length;
  if (typeof part !== "object" || part === null) return 8;
  return Object.values(part).reduce((sum: number, each) => sum + bytesOf(each), 32);
}

function startOfMinute(time: number): number {
  return time - (time % MINUTE_MS);
}

/** The books of all organizations that had traffic lately. */
export class TrafficBooks {
  /** Since when the books are kept. */
  readonly since: number;
  readonly #books = new LRUCache<string, TrafficBook>({ max: MAX_ORGANIZATIONS });

  constructor(since: number) {
    this.since = since;
  }

  of(organizationId: string): TrafficBook {
    let book = this.#books.get(organizationId);
    if (book === undefined) {
      book = new TrafficBook();
      this.#books.set(organizationId, book);
    }
    return book;
  }
}
