import { describe, expect, it } from "vitest";
import type { AuditEvent } from "../../src/core/audit.ts";
import { addTraffic, EventSample, MAX_COUNTS, noTraffic, TrafficCounter } from "../../src/core/traffic.ts";
import { countTraffic, exchangeEvent } from "../support/audit-events.ts";

const withheld = exchangeEvent({ notSubstituted: [{ reason: "unknown-placeholder" }] });

describe("counting traffic", () => {
  it("adds up by sandbox and authority, and names the secrets that were written", () => {
    const written = exchangeEvent({ substituted: [{ secret: "A", surface: "header" }], scrubbed: ["A"] });
    const both = exchangeEvent({
      substituted: [{ secret: "B", surface: "body" }],
      notSubstituted: withheld.notSubstituted,
    });
    const refusal: AuditEvent = {
      time: written.time,
      id: "2",
      sandbox: undefined,
      way: "connect",
      authority: undefined,
      type: "refusal",
      error: "proxy-auth-required",
    };
    const counts = countTraffic([written, written, both, exchangeEvent({ error: "upstream-closed" }), refusal]);
    expect(counts).toEqual([
      {
        ...noTraffic(),
        sandbox: "s",
        authority: "a.test:443",
        events: 4,
        substituted: 3,
        withheld: 1,
        failed: 1,
        scrubbed: 2,
        secrets: ["A", "B"],
      },
      { ...noTraffic(), sandbox: undefined, authority: undefined, events: 1, refused: 1, secrets: [] },
    ]);
  });

  it("keeps apart what comes in turns, and begins anew once it was taken", () => {
    const counter = new TrafficCounter();
    const places = [{ sandbox: "s" }, { sandbox: "t" }, { sandbox: "s", authority: "b.test:443" }];
    for (let turn = 0; turn < 30; turn++) counter.add(exchangeEvent(places[turn % 3]!));
    expect(counter.take().map(({ events }) => events)).toEqual([10, 10, 10]);
    counter.add(exchangeEvent(places[2]!));
    expect(counter.take().map(({ sandbox, authority, events }) => [sandbox, authority, events])).toEqual([
      ["s", "b.test:443", 1],
    ]);
  });

  it("loses no event where there are too many authorities to name", () => {
    const events = Array.from({ length: 2 * MAX_COUNTS }, (_, at) => exchangeEvent({ authority: `h${at}.test:443` }));
    const counts = countTraffic(events);
    expect(counts).toHaveLength(MAX_COUNTS);
    const sum = noTraffic();
    for (const count of counts) addTraffic(sum, count);
    expect(sum.events).toBe(2 * MAX_COUNTS);
  });
});

function sampleEvents(events: readonly AuditEvent[], max: number): readonly AuditEvent[] {
  const sample = new EventSample(max);
  for (const event of events) sample.offer(event);
  expect(sample.seen).toBe(events.length);
  const taken = sample.take();
  expect([sample.seen, sample.take()]).toEqual([0, []]);
  return taken;
}

describe("a sample of events", () => {
  it("is all of them where they fit", () => {
    const events = [exchangeEvent(), withheld];
    expect(sampleEvents(events, 2)).toEqual(events);
  });

  it("is even, however many there were", () => {
    const events = Array.from({ length: 12_345 }, (_, at) => exchangeEvent({ id: String(at) }));
    const ids = sampleEvents(events, 50).map(({ id }) => Number(id));
    expect(ids).toHaveLength(50);
    const gaps = ids.slice(1).map((id, at) => id - ids[at]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2 * Math.min(...gaps));
    expect(ids.at(-1)).toBeGreaterThan(12_345 - 2 * Math.max(...gaps));
  });

  it("keeps their order and takes those first that want attention", () => {
    const events = Array.from({ length: 1_000 }, (_, at) =>
      at % 100 === 7 ? withheld : exchangeEvent({ id: String(at) }),
    );
    const sample = sampleEvents(events, 50);
    expect(sample).toHaveLength(50);
    expect(sample.filter((event) => event === withheld)).toHaveLength(10);
    const ids = sample.filter((event) => event !== withheld).map(({ id }) => Number(id));
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(new Set(ids).size).toBe(40);
  });

  it("leaves room for the others where all want attention", () => {
    const events = Array.from({ length: 1_000 }, (_, at) => (at < 900 ? withheld : exchangeEvent()));
    const sample = sampleEvents(events, 100);
    expect([sample.length, sample.filter((event) => event === withheld).length]).toEqual([100, 50]);
  });
});
