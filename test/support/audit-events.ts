// Audit events as tests need them: plain ones, in which a test names what it is about.

import type { AuditEvent, ExchangeEvent } from "../../src/core/audit.ts";
import { type TrafficCount, TrafficCounter } from "../../src/core/traffic.ts";

/** What events of every type have in common. */
export const commonFields = { time: "2026-11-23T09:00:00.000Z", id: "1", sandbox: "s", way: "connect" } as const;

/** An exchange that went through and carried nothing, but for `changes`. */
export function exchangeEvent(changes: Partial<ExchangeEvent> = {}): ExchangeEvent {
  return {
    ...commonFields,
    type: "exchange",
    authority: "a.test:443",
    protocol: "h2",
    method: "GET",
    path: "/",
    status: 200,
    error: undefined,
    requestBytes: 0,
    responseBytes: 0,
    firstByteMs: 1,
    durationMs: 1,
    substituted: [],
    notSubstituted: [],
    scrubbed: [],
    ...changes,
  };
}

/** What a proxy reports of events. */
export function countTraffic(events: readonly AuditEvent[]): readonly TrafficCount[] {
  const counter = new TrafficCounter();
  for (const event of events) counter.add(event);
  return counter.take();
}
