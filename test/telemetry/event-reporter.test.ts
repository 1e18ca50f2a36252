import { afterEach, describe, expect, it, vi } from "vitest";
import type { AuditEvent } from "../../src/core/audit.ts";
import type { TrafficReport } from "../../src/core/traffic.ts";
import { EventReporter, type EventReporterOptions, type ReportOutcome } from "../../src/telemetry/event-reporter.ts";

const tunnel = (id: number, authority = "a.test:443"): AuditEvent => ({
  time: "2026-11-23T09:00:00.000Z",
  id: String(id),
  sandbox: "s",
  way: "connect",
  authority,
  type: "tunnel",
  reason: "host-not-granted",
  sentBytes: 1,
  receivedBytes: 2,
  durationMs: 3,
});

let reporter: EventReporter;
afterEach(() => reporter.close());

/** A reporter towards an API that answers as `answer` says. */
function start(answer: (attempt: number) => ReportOutcome, options: Partial<EventReporterOptions> = {}) {
  const reports: TrafficReport[] = [];
  const messages: string[] = [];
  let attempts = 0;
  reporter = new EventReporter({
    proxy: "p1",
    send: async (text) => {
      const outcome = answer(attempts++);
      if (outcome === "accepted") reports.push(JSON.parse(text));
      return outcome;
    },
    log: (message) => messages.push(message),
    flushMs: 1,
    retryMs: 1,
    ...options,
  });
  return { reports, messages, attempts: () => attempts };
}

describe("the reporter of events", () => {
  it("sends what it was given as one report, counted", async () => {
    const { reports } = start(() => "accepted", { flushMs: 20 });
    for (let id = 0; id < 3; id++) reporter.record(tunnel(id));
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    expect(reports[0]).toMatchObject({ proxy: "p1", unsampled: 0, lost: 0 });
    expect(reports[0]?.counts).toMatchObject([{ sandbox: "s", authority: "a.test:443", events: 3, tunnelled: 3 }]);
    expect(reports[0]?.events.map(({ id }) => id)).toEqual(["0", "1", "2"]);
  });

  it("keeps a report that could not be sent, and counts what comes meanwhile", async () => {
    let up = false;
    const { reports, messages, attempts } = start(() => (up ? "accepted" : "unreachable"));
    reporter.record(tunnel(0));
    await vi.waitFor(() => expect(attempts()).toBeGreaterThan(1));
    for (let id = 1; id <= 20_000; id++) reporter.record(tunnel(id));
    up = true;
    await vi.waitFor(() => expect(reports).toHaveLength(2));
    expect(reports[0]?.events.map(({ id }) => id)).toEqual(["0"]);
    expect(reports[1]).toMatchObject({ unsampled: 19_900, lost: 0, counts: [{ events: 20_000 }] });
    expect(messages).toEqual([
      "the Secret API does not take reports of traffic now: unreachable",
      "traffic is reported to the Secret API again",
    ]);
  });

  it("does not repeat a report that was refused, and says with the next how much was in it", async () => {
    const { reports, attempts } = start((attempt) => (attempt === 0 ? "refused" : "accepted"));
    reporter.record(tunnel(0));
    await vi.waitFor(() => expect(attempts()).toBe(1));
    reporter.record(tunnel(1));
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    expect(reports[0]?.events.map(({ id }) => id)).toEqual(["1"]);
    expect(reports[0]?.lost).toBe(1);
  });

  it("leaves an API alone that takes no reports", async () => {
    const { attempts, messages } = start(() => "absent");
    reporter.record(tunnel(0));
    await vi.waitFor(() => expect(messages).toEqual(["the Secret API takes no reports of traffic"]));
    for (let id = 0; id < 100; id++) reporter.record(tunnel(id));
    await reporter.close();
    expect(attempts()).toBe(1);
  });

  it("counts what it does not send, and stays within what the API takes", async () => {
    const { reports } = start(() => "accepted", { flushMs: 50 });
    for (let id = 0; id < 5_000; id++) reporter.record(tunnel(id, `${"n".repeat(200)}${id % 700}.test:443`));
    await vi.waitFor(() => expect(reports).toHaveLength(1));
    const [report] = reports;
    expect(report!.events.length).toBeLessThanOrEqual(100);
    expect(report!.events.length + report!.unsampled).toBe(5_000);
    expect(report!.counts.reduce((sum, { events }) => sum + events, 0)).toBe(5_000);
    expect(JSON.stringify(report).length).toBeLessThan(512 * 1024);
  });

  it("sends what waits when it is closed", async () => {
    const { reports } = start(() => "accepted", { flushMs: 60_000 });
    reporter.record(tunnel(7));
    await reporter.close();
    expect(reports.flatMap(({ events }) => events.map(({ id }) => id))).toEqual(["7"]);
  });
});
