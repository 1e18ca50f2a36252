import { describe, expect, it } from "vitest";
import type { AuditEvent } from "../../src/core/audit.ts";
import { addTraffic, countTraffic, MAX_COUNTS, noTraffic, sampleEvents } from "../../src/core/traffic.ts";
import { exchangeEvent } from "../support/audit-events.ts";

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

  it("loses no event where there are too many authorities to name", () => {
    const events = Array.from({ length: 2 * MAX_COUNTS }, (_, at) => exchangeEvent({ authority: `h${at}.test:443` }));
    const counts = countTraffic(events);
    expect(counts).toHaveLength(MAX_COUNTS);
    const sum = noTraffic();
    for (const count of counts) addTraffic(sum, count);
    expect(sum.events).toBe(2 * MAX_COUNTS);
  });
});

describe("a sample of events", () => {
  it("is all of them where they fit", () => {
    const events = [exchangeEvent(), withheld];
    expect(sampleEvents(events, 2)).toBe(events);
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
