import { expect, test } from "vitest";
import { JoinedMetrics } from "../../src/telemetry/joined-metrics.ts";
import { Metrics, type MetricsJson } from "../../src/telemetry/metrics.ts";
import { commonFields } from "../support/audit-events.ts";

/** Of a worker that refused so many connections. */
function countedBy(refusals: number): Promise<MetricsJson> {
  const metrics = new Metrics("1");
  const sink = metrics.counted({ record: () => {} });
  const refusal = { ...commonFields, type: "refusal", authority: "a.test:443", error: "egress-denied" } as const;
  for (let count = 0; count < refusals; count++) sink.record(refusal);
  return metrics.json();
}

async function refusals(joined: JoinedMetrics): Promise<number | undefined> {
  const found = /^keyswap_refusals_total\{.*\} (\d+)$/m.exec(await joined.text());
  return found === null ? undefined : Number(found[1]);
}

test("counts of workers that end at the same time all stay", async () => {
  const workers = await Promise.all([1, 10, 100].map(countedBy));
  const running = new Set(workers);
  const joined = new JoinedMetrics(new Metrics("1"), { refresh: async () => {}, latest: () => [...running] });
  expect(await refusals(joined)).toBe(111);
  for (const worker of workers) {
    running.delete(worker);
    joined.retire(worker);
  }
  expect(await refusals(joined)).toBe(111);
});

test("a worker that ends while others are asked is counted once", async () => {
  const worker = await countedBy(7);
  const running = new Set([worker]);
  const refreshed = Promise.withResolvers<void>();
  const joined = new JoinedMetrics(new Metrics("1"), { refresh: () => refreshed.promise, latest: () => [...running] });
  const scraped = refusals(joined);
  running.delete(worker);
  joined.retire(worker);
  refreshed.resolve();
  expect(await scraped).toBe(7);
  expect(await refusals(joined)).toBe(7);
});
