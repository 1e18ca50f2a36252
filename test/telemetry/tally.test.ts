import { expect, test } from "vitest";
import type { AuditEvent, ExchangeEvent } from "../../src/core/audit.ts";
import { AuditTally, type LabelledCount } from "../../src/telemetry/tally.ts";

const common = { time: "2026-01-01T00:00:00Z", id: "1", sandbox: "s", way: "connect", authority: "a:443" } as const;
const exchange: ExchangeEvent = {
  ...common,
  type: "exchange",
  protocol: "h2",
  method: "POST",
  path: "/",
  status: 201,
  error: undefined,
  requestBytes: 10,
  responseBytes: 20,
  firstByteMs: 5,
  durationMs: 9,
  substituted: [
    { secret: "A", surface: "header" },
    { secret: "A", surface: "body" },
  ],
  notSubstituted: [{ reason: "sink-header" }],
  scrubbed: ["A", "B"],
};

function tallyOf(events: readonly AuditEvent[]) {
  const passed: AuditEvent[] = [];
  const seconds: number[] = [];
  const tally = new AuditTally(
    { record: (event) => passed.push(event) },
    { firstByte: (value) => seconds.push(value), exchange: (value) => seconds.push(value) },
  );
  for (const event of events) tally.record(event);
  return { tally, passed, seconds };
}

const entriesOf = (count: LabelledCount) => [...count.entries()].map(([values, number]) => [...values, number]);

test("counts an exchange under what came of it, and passes it on", () => {
  const { tally, passed, seconds } = tallyOf([exchange, exchange]);
  expect(passed).toEqual([exchange, exchange]);
  expect(entriesOf(tally.exchanges)).toEqual([["h2", "2xx", "ok", 2]]);
  expect(entriesOf(tally.substitutions)).toEqual([
    ["header", 2],
    ["body", 2],
  ]);
  expect(entriesOf(tally.notSubstituted)).toEqual([["sink-header", 2]]);
  expect(entriesOf(tally.bytes)).toEqual([
    ["body", "sent", 20],
    ["body", "received", 40],
  ]);
  expect(tally.scrubs).toBe(4);
  expect(seconds).toEqual([0.005, 0.009, 0.005, 0.009]);
});

test("an exchange that got no answer is counted under its error", () => {
  const { tally, seconds } = tallyOf([
    { ...exchange, status: undefined, error: "client-closed", firstByteMs: undefined },
  ]);
  expect(entriesOf(tally.exchanges)).toEqual([["h2", "none", "client-closed", 1]]);
  expect(seconds).toEqual([0.009]);
});

test("keeps apart exchanges that end differently in turns", () => {
  const others = [{}, { status: 404 }, { error: "upstream-closed" }, { protocol: "http/1.1" }] as const;
  const { tally } = tallyOf(Array.from({ length: 40 }, (_, turn) => ({ ...exchange, ...others[turn % 4]! })));
  expect(entriesOf(tally.exchanges)).toEqual([
    ["h2", "2xx", "ok", 10],
    ["h2", "4xx", "ok", 10],
    ["h2", "2xx", "upstream-closed", 10],
    ["http/1.1", "2xx", "ok", 10],
  ]);
});

test("counts tunnels and refusals", () => {
  const { tally } = tallyOf([
    { ...common, type: "tunnel", reason: "host-not-granted", sentBytes: 1, receivedBytes: 2, durationMs: 3 },
    { ...common, type: "refusal", error: "egress-denied" },
  ]);
  expect(entriesOf(tally.tunnels)).toEqual([["host-not-granted", "ok", 1]]);
  expect(entriesOf(tally.bytes)).toEqual([
    ["tunnel", "sent", 1],
    ["tunnel", "received", 2],
  ]);
  expect(entriesOf(tally.refusals)).toEqual([["egress-denied", 1]]);
});
