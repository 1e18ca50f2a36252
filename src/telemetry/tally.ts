// Numbers behind the metrics that come from audit events: plain increments on the hot path, read when somebody scrapes.

import type { AuditEvent, ExchangeEvent } from "../core/audit.ts";
import type { AuditSink } from "../core/ports.ts";

/** Label values, in the order of the metric's labels, with their count. */
export interface LabelledEntries {
  entries(): Iterable<readonly [values: readonly string[], count: number]>;
}

/** One count. */
export interface Cell {
  count: number;
}

/** Counts by label values. Values are from closed sets and hold no blank. */
export class LabelledCount implements LabelledEntries {
  readonly #cells = new Map<string, Cell>();

  /** `values`: separated by blanks, in the order of the metric's labels. */
  add(values: string, by = 1): void {
    this.cell(values).count += by;
  }

  /** To be counted up without looking it up again. */
  cell(values: string): Cell {
    let cell = this.#cells.get(values);
    if (cell === undefined) {
      cell = { count: 0 };
      this.#cells.set(values, cell);
    }
    return cell;
  }

  *entries(): Generator<readonly [values: readonly string[], count: number]> {
    for (const [values, { count }] of this.#cells) yield [values.split(" "), count];
  }
}

/** Told of durations, in seconds. */
export interface DurationSink {
  firstByte(seconds: number): void;
  exchange(seconds: number): void;
}

/** Passes every event on and counts it. */
export class AuditTally implements AuditSink {
  /** protocol, status class, outcome (`ok` or an error code). */
  readonly exchanges = new LabelledCount();
  /** surface */
  readonly substitutions = new LabelledCount();
  /** reason */
  readonly notSubstituted = new LabelledCount();
  /** error code */
  readonly refusals = new LabelledCount();
  /** reason, outcome */
  readonly tunnels = new LabelledCount();
  /** What went through tunnels and bodies: kind, direction. */
  readonly bytes = new LabelledCount();
  /** Values taken out of answers, counted once per answer and secret. */
  scrubs = 0;
  readonly #next: AuditSink;
  readonly #durations: DurationSink;
  #last: (Pick<ExchangeEvent, "protocol" | "status" | "error"> & { readonly cell: Cell }) | undefined;

  constructor(next: AuditSink, durations: DurationSink) {
    this.#next = next;
    this.#durations = durations;
  }

  record(event: AuditEvent): void {
    this.#next.record(event);
    switch (event.type) {
      case "exchange":
        this.#exchange(event);
        break;
      case "tunnel":
        this.tunnels.add(`${event.reason} ${event.error ?? "ok"}`);
        this.bytes.add("tunnel sent", event.sentBytes);
        this.bytes.add("tunnel received", event.receivedBytes);
        break;
      case "refusal":
        this.refusals.add(event.error);
        break;
      default:
        event satisfies never;
    }
  }

  #exchange(event: ExchangeEvent): void {
    const { firstByteMs } = event;
    this.#cellOf(event).count += 1;
    if (event.requestBytes > 0) this.bytes.add("body sent", event.requestBytes);
    if (event.responseBytes > 0) this.bytes.add("body received", event.responseBytes);
    for (const { surface } of event.substituted) this.substitutions.add(surface);
    for (const { reason } of event.notSubstituted) this.notSubstituted.add(reason);
    this.scrubs += event.scrubbed.length;
    if (firstByteMs !== undefined) this.#durations.firstByte(firstByteMs / 1000);
    this.#durations.exchange(event.durationMs / 1000);
  }

  /** Most exchanges end as the one before did. */
  #cellOf({ protocol, status, error }: ExchangeEvent): Cell {
    const last = this.#last;
    if (last !== undefined && last.protocol === protocol && last.status === status && last.error === error) {
      return last.cell;
    }
    const statusClass = status === undefined ? "none" : `${Math.floor(status / 100)}xx`;
    const cell = this.exchanges.cell(`${protocol} ${statusClass} ${error ?? "ok"}`);
    this.#last = { protocol, status, error, cell };
    return cell;
  }
}
