// What proxies report and what people see of it.

import { createParser } from "eventsource-parser";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { KEPT_BYTES, KEPT_EVENTS, TrafficBook } from "../../src/api/traffic-book.ts";
import type { ExchangeEvent } from "../../src/core/audit.ts";
import type { TrafficReport } from "../../src/core/traffic.ts";
import { countTraffic } from "../support/audit-events.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
let sandbox: string;
beforeAll(async () => {
  api = await startSecretApi();
  sandbox = (await api.call("POST", "/sandbox", { name: "box" })).body.id;
});
afterAll(() => api.close());

let made = 0;
function exchange(more: Partial<ExchangeEvent> = {}): ExchangeEvent {
  made += 1;
  return {
    time: "2026-11-23T09:00:00.000Z",
    id: `id-${made}`,
    sandbox,
    way: "connect",
    authority: "api.good.test:443",
    type: "exchange",
    protocol: "h2",
    method: "GET",
    path: "/v1",
    status: 200,
    error: undefined,
    requestBytes: 0,
    responseBytes: 5,
    firstByteMs: 1.5,
    durationMs: 2,
    substituted: [],
    notSubstituted: [],
    scrubbed: [],
    ...more,
  };
}
const withheld = (more: Partial<ExchangeEvent> = {}) =>
  exchange({
    authority: "api.evil.test:443",
    notSubstituted: [{ secret: "OPENAI", surface: "header", reason: "host-not-allowed" }],
    ...more,
  });

function reportOf(events: readonly ExchangeEvent[]): TrafficReport {
  return { proxy: "p", counts: countTraffic(events), events, unsampled: 0, lost: 0 };
}
const report = (events: readonly ExchangeEvent[], key = api.proxyKey) =>
  api.call("POST", "/egress/events", reportOf(events), { key });

describe("reported traffic", () => {
  it("is listed newest first, with decisions in words", async () => {
    expect((await report([exchange(), withheld()])).status).toBe(204);
    const { body } = await api.call("GET", `/traffic?sandbox=${sandbox}&limit=2`);
    expect(body.items.map((item: { outcome: string }) => item.outcome)).toEqual(["withheld", "passed"]);
    expect(body.items[0]).toMatchObject({
      decisions: ["not substituted: host api.evil.test is not on OPENAI's list"],
      event: { method: "GET", path: "/v1", authority: "api.evil.test:443" },
    });
    const older = await api.call("GET", `/traffic?before=${body.items[0].seq}&limit=1`);
    expect(older.body.items[0].seq).toBe(body.items[1].seq);
  });

  it.each([
    ["host=EVIL", 1],
    ["secret=OPENAI", 1],
    ["outcome=withheld", 1],
    ["outcome=passed", 1],
    ["host=evil&outcome=passed", 0],
    ["sandbox=other", 0],
    ["sandbox=&host=&secret=", 2],
  ])("is found by %s", async (query, count) => {
    const other = await startSecretApi();
    const id = (await other.call("POST", "/sandbox", {})).body.id;
    const events = [exchange({ sandbox: id }), withheld({ sandbox: id })];
    await other.call("POST", "/egress/events", reportOf(events), { key: other.proxyKey });
    expect((await other.call("GET", `/traffic?${query}`)).body.items).toHaveLength(count);
    await other.close();
  });

  it("names the first 64 secrets that were taken out of an answer", async () => {
    const scrubbed = Array.from({ length: 1_000 }, (_, at) => `SECRET_${at}`);
    expect((await report([exchange({ scrubbed })])).status).toBe(204);
    const { body } = await api.call("GET", `/traffic?sandbox=${sandbox}&limit=1`);
    expect(body.items[0].event.scrubbed).toEqual(scrubbed.slice(0, 64));
  });

  it("is summed up by minute and host", async () => {
    const { body: before } = await api.call("GET", "/traffic/summary?minutes=5");
    await report([exchange({ authority: "busy.test:443", substituted: [{ secret: "A", surface: "header" }] })]);
    const { body } = await api.call("GET", "/traffic/summary?minutes=5");
    expect(body.minutes).toHaveLength(5);
    const sum = (minutes: readonly { substituted: number }[]) =>
      minutes.reduce((total, each) => total + each.substituted, 0);
    expect(sum(body.minutes) - sum(before.minutes)).toBe(1);
    expect(body.hosts).toContainEqual(expect.objectContaining({ authority: "busy.test:443", substituted: 1 }));
  });

  it("is seen by its own organization alone", async () => {
    const organization = await api.call("POST", "/organizations", { name: "other" });
    const headers = { "x-daytona-organization-id": organization.body.id };
    const theirs = await api.call("POST", "/sandbox", {}, { headers });
    await report([exchange({ sandbox: theirs.body.id, path: "/theirs" })]);
    const seen = await api.call("GET", "/traffic", undefined, { headers });
    expect(seen.body.items.map((item: { event: ExchangeEvent }) => item.event.path)).toEqual(["/theirs"]);
    expect((await api.call("GET", "/traffic?limit=200")).text).not.toContain("/theirs");
  });

  it("is taken only from those who resolve, and only of their own sandboxes", async () => {
    expect((await report([exchange()], api.apiKey)).status).toBe(403);
    const key = await api.call("POST", "/api-keys", {
      name: "sidecar",
      permissions: ["resolve:secrets"],
      sandboxId: sandbox,
    });
    const other = (await api.call("POST", "/sandbox", {})).body.id;
    const events = [exchange({ sandbox: other, path: "/forged" }), exchange({ path: "/own" })];
    expect((await report(events, key.body.value)).status).toBe(204);
    const { text } = await api.call("GET", "/traffic?limit=200");
    expect(text).toContain("/own");
    expect(text).not.toContain("/forged");
  });

  it("is checked strictly, and a refusal repeats nothing of it", async () => {
    for (const broken of [
      { ...exchange(), substituted: [{ secret: "A", surface: "everywhere" }] },
      { ...exchange(), type: "other" },
      { ...exchange(), path: "x".repeat(2_000) },
    ]) {
      const body = { ...reportOf([]), events: [broken] };
      const answer = await api.call("POST", "/egress/events", body, { key: api.proxyKey });
      expect(answer.status).toBe(400);
      expect(answer.text).not.toMatch(/everywhere|xxxx/);
    }
    const more = { ...exchange(), body: "what a field of the future holds" };
    await api.call("POST", "/egress/events", { ...reportOf([]), events: [more] }, { key: api.proxyKey });
    expect((await api.call("GET", "/traffic?limit=200")).text).not.toContain("future");
  });

  it("is for auditors and those who manage secrets", async () => {
    for (const [permission, status] of [
      ["read:audit_logs", 200],
      ["manage:secrets", 200],
      ["write:sandboxes", 403],
    ] as const) {
      const key = await api.call("POST", "/api-keys", { name: `t-${permission}`, permissions: [permission] });
      for (const path of ["/traffic", "/traffic/summary"]) {
        expect((await api.call("GET", path, undefined, { key: key.body.value })).status).toBe(status);
      }
    }
  });
});

interface Message {
  readonly items: readonly { readonly event: ExchangeEvent }[];
  readonly skipped: number;
  readonly numbers: { readonly events: number };
}

describe("the stream", () => {
  async function watch(query: string): Promise<{ messages: Message[]; events: string[]; stop: () => void }> {
    const abort = new AbortController();
    const headers = { authorization: `Bearer ${api.apiKey}` };
    const response = await fetch(`${api.url}/traffic/stream?${query}`, { headers, signal: abort.signal });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const [messages, events]: [Message[], string[]] = [[], []];
    const parser = createParser({
      onEvent: ({ event, data }) => {
        events.push(event ?? "");
        if (event === "traffic") messages.push(JSON.parse(data));
      },
    });
    void (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of response.body!) parser.feed(decoder.decode(chunk, { stream: true }));
    })().catch(() => {});
    await vi.waitFor(() => expect(events).toContain("hello"));
    return { messages, events, stop: () => abort.abort() };
  }

  it("brings what matches, and counts everything", async () => {
    const { messages, stop } = await watch("outcome=withheld");
    await report([exchange(), withheld({ path: "/streamed" })]);
    await vi.waitFor(() => expect(messages.length).toBeGreaterThan(0));
    expect(messages[0]?.items.map(({ event }) => event.path)).toEqual(["/streamed"]);
    expect(messages[0]).toMatchObject({ skipped: 0, numbers: { events: 2 } });
    stop();
  });

  it("samples openly", async () => {
    const { messages, stop } = await watch("host=busy-stream");
    for (let batch = 0; batch < 3; batch++) {
      await report(Array.from({ length: 500 }, () => exchange({ authority: "busy-stream.test:443" })));
    }
    const total = () => messages.reduce((sum, { items, skipped }) => sum + items.length + skipped, 0);
    await vi.waitFor(() => expect(total()).toBe(1_500));
    expect(messages.every(({ items }) => items.length <= 50)).toBe(true);
    expect(messages.reduce((sum, { numbers }) => sum + numbers.events, 0)).toBe(1_500);
    stop();
  });
});

describe("the book", () => {
  it("keeps a bounded number of events and knows when a secret was last used", () => {
    const book = new TrafficBook();
    for (let at = 0; at < 3 * KEPT_EVENTS; at += 500) {
      const events = Array.from({ length: 500 }, () => exchange({ substituted: [{ secret: "A", surface: "path" }] }));
      book.add(at, countTraffic(events), events);
    }
    const kept = book.latest(10 * KEPT_EVENTS, undefined, () => true);
    expect([kept.length, kept[0]?.seq]).toEqual([KEPT_EVENTS, 3 * KEPT_EVENTS]);
    expect([book.secretUsedAt("A"), book.secretUsedAt("B")]).toEqual([3 * KEPT_EVENTS - 500, undefined]);
  });

  it("keeps fewer of events that are heavy, and as many of those that come after them", () => {
    const book = new TrafficBook();
    const keep = (events: readonly ExchangeEvent[]) => {
      for (const event of events) book.add(0, [], [event]);
      return book.latest(10 * KEPT_EVENTS, undefined, () => true).map((item) => item.event as ExchangeEvent);
    };
    const names = (at: number) => Array.from({ length: 64 }, (_, n) => `${at} ${n} `.padEnd(256, "ł"));
    const heavy = keep(Array.from({ length: 1_000 }, (_, at) => exchange({ scrubbed: names(at) })));
    // The characters are of two bytes.
    const bytes = heavy.reduce((sum, { scrubbed }) => sum + 2 * scrubbed.join("").length, 0);
    expect(bytes).toBeGreaterThan(0.9 * KEPT_BYTES);
    expect(bytes).toBeLessThan(1.25 * KEPT_BYTES);
    expect(heavy[0]?.scrubbed[0]).toMatch(/^999 /);
    const light = keep(Array.from({ length: 2 * KEPT_EVENTS }, () => exchange({ path: `/${"p".repeat(200)}` })));
    expect(light).toHaveLength(KEPT_EVENTS);
    expect(light.every(({ scrubbed }) => scrubbed.length === 0)).toBe(true);
  });

  it("forgets old minutes", () => {
    const book = new TrafficBook();
    const day = 86_400_000;
    for (let time = day; time < 2 * day; time += 60_000) book.add(time, countTraffic([exchange()]), []);
    expect(book.timeline(2 * day - 1, 10).map(({ events }) => events)).toEqual(Array(10).fill(1));
    expect(book.topHosts(2 * day - 1, 1_000_000, 5)).toMatchObject([{ authority: "api.good.test:443", events: 360 }]);
  });
});
