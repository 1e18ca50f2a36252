// Reports audit events to the Secret API, for the traffic that people look at. The audit log is the record; this is its
// view, and gives way first.
//
//   record ─► counts of all, a sample of the events ─► every second: send
//
// Invariants: `record` never throws, waits or formats; at most one report is under way; while the API cannot be reached
// the report is kept and tried again, and what comes meanwhile is counted; what was in a report that was refused is told
// as lost with the next one; an API that has no such route is left alone.

import type { AuditEvent } from "../core/audit.ts";
import type { AuditSink } from "../core/ports.ts";
import { EventSample, TrafficCounter } from "../core/traffic.ts";
import { settledWithin } from "./settled-within.ts";

/** `absent`: this API takes no reports. `refused`: it does not take them from us, or not this one. */
export type ReportOutcome = "accepted" | "absent" | "refused" | "unreachable";

export interface EventReporterOptions {
  /** The proxy's name for itself. */
  readonly proxy: string;
  /** Sends the JSON of a TrafficReport, with a deadline of its own. Never rejects. */
  readonly send: (report: string) => Promise<ReportOutcome>;
  /** Told when reports cease to be taken and when they are taken again. */
  readonly log: (message: string) => void;
  readonly flushMs?: number;
  /** First pause after a failure; it doubles up to 30 s. */
  readonly retryMs?: number;
}

const FLUSH_MS = 1_000;
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;
/** Pause after an answer by which the API does not know the route. */
const ABSENT_MS = 300_000;
/** The console's feed shows as many. */
const MAX_EVENTS = 100;
/** The API takes bodies of half a mebibyte. */
const MAX_EVENT_CHARS = 160_000;
const MAX_PATH = 512;
const CLOSE_MS = 1_000;

export class EventReporter implements AuditSink {
  readonly #options: EventReporterOptions;
  readonly #counter = new TrafficCounter();
  readonly #sample = new EventSample(MAX_EVENTS);
  #lost = 0;
  /** Made and not taken yet. */
  #report: { readonly text: string; readonly events: number } | undefined;
  #pauseMs = 0;
  #isAbsent = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(options: EventReporterOptions) {
    this.#options = options;
  }

  record(event: AuditEvent): void {
    if (this.#isClosed || this.#isAbsent) return;
    this.#counter.add(event);
    this.#sample.offer(event);
    if (this.#timer === undefined && this.#sending === undefined) this.#wait(this.#options.flushMs ?? FLUSH_MS);
  }

  /** Sends what waits, for a second at most. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await settledWithin(this.#finish(), CLOSE_MS);
  }

  async #finish(): Promise<void> {
    await this.#sending;
    // One try: where the API is away, the audit log has it all.
    if (this.#hasWork() && this.#pauseMs === 0) await this.#send();
  }

  #hasWork(): boolean {
    return this.#report !== undefined || this.#sample.seen > 0;
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#isAbsent = false;
      this.#sending = this.#send().finally(() => {
        this.#sending = undefined;
        if (this.#isClosed || !(this.#hasWork() || this.#isAbsent)) return;
        this.#wait(Math.max(this.#pauseMs, this.#options.flushMs ?? FLUSH_MS));
      });
    }, ms).unref();
  }

  async #send(): Promise<void> {
    this.#report ??= this.#makeReport();
    const outcome = await this.#options.send(this.#report.text);
    switch (outcome) {
      case "accepted":
        if (this.#pauseMs > 0) this.#options.log("traffic is reported to the Secret API again");
        this.#report = undefined;
        this.#pauseMs = 0;
        return;
      case "absent":
        if (this.#pauseMs !== ABSENT_MS) this.#options.log("the Secret API takes no reports of traffic");
        this.#report = undefined;
        this.#counter.take();
        this.#sample.take();
        this.#lost = 0;
        this.#isAbsent = true;
        this.#pauseMs = ABSENT_MS;
        return;
      case "refused":
      case "unreachable":
        if (this.#pauseMs === 0) this.#options.log(`the Secret API does not take reports of traffic now: ${outcome}`);
        // A report that is refused would be refused again.
        if (outcome === "refused") {
          this.#lost += this.#report.events;
          this.#report = undefined;
        }
        this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, this.#options.retryMs ?? RETRY_MS), MAX_RETRY_MS);
        return;
      default:
        outcome satisfies never;
    }
  }

  #makeReport(): { readonly text: string; readonly events: number } {
    const lost = this.#lost;
    this.#lost = 0;
    const { seen } = this.#sample;
    const events: string[] = [];
    let chars = 0;
    for (const event of this.#sample.take()) {
      const text = JSON.stringify(shortened(event));
      if (chars + text.length > MAX_EVENT_CHARS) break;
      chars += text.length;
      events.push(text);
    }
    const head = JSON.stringify({
      proxy: this.#options.proxy,
      counts: this.#counter.take(),
      unsampled: seen - events.length,
      lost,
    });
    return { text: `${head.slice(0, -1)},"events":[${events.join(",")}]}`, events: seen + lost };
  }
}

function shortened(event: AuditEvent): AuditEvent {
  if (event.type !== "exchange" || event.path.length <= MAX_PATH) return event;
  return { ...event, path: `${event.path.slice(0, MAX_PATH)}…` };
}
