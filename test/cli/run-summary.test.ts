import { expect, test } from "vitest";
import { RunSummary } from "../../src/cli/run-summary.ts";
import type { AuditEvent, ExchangeEvent } from "../../src/core/audit.ts";
import { commonFields, exchangeEvent } from "../support/audit-events.ts";

const exchange = (host: string, changes: Partial<ExchangeEvent> = {}): ExchangeEvent =>
  exchangeEvent({ authority: `${host}:443`, ...changes });

function summaryOf(events: readonly AuditEvent[]): readonly string[] {
  const summary = new RunSummary();
  for (const event of events) summary.add(event);
  return summary.lines();
}

test("nothing was sent", () => {
  expect(summaryOf([])).toEqual(["0 exchanges, 0 tunnels, substituted: nothing"]);
});

test("what went out, what did not and why, each sentence once", () => {
  const written = exchange("api.example", { substituted: [{ secret: "API", surface: "header" }], scrubbed: ["API"] });
  const withheld = exchange("evil.example", { notSubstituted: [{ secret: "API", reason: "host-not-allowed" }] });
  const refused: AuditEvent = { ...commonFields, type: "refusal", authority: "10.0.0.1:443", error: "address-private" };
  const [first, ...sentences] = summaryOf([written, written, withheld, withheld, refused]);
  expect(first).toBe("4 exchanges, 0 tunnels, substituted: API 2 times, scrubbed: API 2 times");
  expect(sentences).toEqual([
    "not substituted: host evil.example is not on API's list (2 times)",
    expect.stringMatching(/^10\.0\.0\.1: refused: /),
  ]);
});

test("what would fill the terminal is counted", () => {
  const events = Array.from({ length: 14 }, (_, index) =>
    exchange(`h${index}.example`, { notSubstituted: [{ secret: "API", reason: "host-not-allowed" }] }),
  );
  const lines = summaryOf(events);
  expect(lines).toHaveLength(12);
  expect(lines.at(-1)).toBe("and 4 more: see the audit log");
});
