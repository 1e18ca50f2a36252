import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { Metrics } from "../../src/telemetry/metrics.ts";

const root = resolve(import.meta.dirname, "../..");

function watched(): Metrics {
  const metrics = new Metrics("1.2.3");
  metrics.counted({ record: () => {} });
  metrics.watch({
    connections: () => ({ sockets: 7, clients: 5, tunnels: 2 }),
    pool: () => ({ open: 9, idle: 4, reused: 100, dialled: 11 }),
    grants: () => ({ hits: 50, misses: 3, sandboxes: 2, isLive: true, isFailing: false, unheardMs: 1500 }),
    leaves: () => 6,
    caNotAfter: () => new Date(2_000_000_000_000),
    auditDropped: () => 1,
  });
  metrics.watchWorkers(
    () => 2,
    () => 3,
  );
  return metrics;
}

test("tells what the parts know at the time of the scrape", async () => {
  const metrics = watched();
  metrics.dialled(0.004, "connect-refused");
  metrics.minted(0.0003);
  const text = await metrics.text();
  // A second scrape must not count anything twice.
  expect(await metrics.text()).toContain('keyswap_upstream_acquisitions_total{how="reused"} 100\n');
  for (const line of [
    'keyswap_build_info{version="1.2.3"} 1',
    'keyswap_connections{kind="tunnel"} 2',
    'keyswap_upstream_connections{state="busy"} 5',
    'keyswap_upstream_acquisitions_total{how="dialled"} 11',
    'keyswap_grants_lookups_total{result="hit"} 50',
    "keyswap_grants_unheard_seconds 1.5",
    "keyswap_changes_live 1",
    "keyswap_secret_api_failing 0",
    "keyswap_leaves 6",
    "keyswap_ca_expiry_timestamp_seconds 2000000000",
    "keyswap_audit_dropped_total 1",
    'keyswap_dial_duration_seconds_bucket{le="0.005",outcome="connect-refused"} 1',
    "keyswap_mint_duration_seconds_count 1",
  ]) {
    expect(text).toContain(`${line}\n`);
  }
  expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
});

test("as JSON is plain data, which one process can send another", async () => {
  const metrics = watched();
  metrics.minted(0.0003);
  const json = await metrics.json();
  expect(structuredClone(json)).toEqual(json);
  expect(json.find(({ name }) => name === "keyswap_mint_duration_seconds")).toMatchObject({ aggregator: "sum" });
});

/** With the suffixes of histograms. */
async function namesOf(metrics: Metrics): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for (const metric of await metrics.json()) {
    names.add(metric.name);
    if (String(metric.type) === "histogram")
      for (const end of ["bucket", "count", "sum"]) names.add(`${metric.name}_${end}`);
  }
  return names;
}

test("the dashboard asks for nothing that does not exist", async () => {
  const names = await namesOf(watched());
  const dashboard = readFileSync(join(root, "deploy/grafana/keyswap.json"), "utf8");
  const asked = [...dashboard.matchAll(/\b(?:keyswap|nodejs|process)_[a-z0-9_]+/g)].map(([name]) => name);
  expect(asked.length).toBeGreaterThan(20);
  expect(asked.filter((name) => !names.has(name))).toEqual([]);
  const { panels } = JSON.parse(dashboard) as { panels: { id: number; targets: { expr: string }[] }[] };
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  for (const { expr } of panels.flatMap(({ targets }) => targets)) {
    expect(expr.split("(").length, expr).toBe(expr.split(")").length);
  }
});

test("the reference has every metric and no other", async () => {
  const own = (await watched().json()).map(({ name }) => name).filter((name) => name.startsWith("keyswap_"));
  const reference = readFileSync(join(root, "docs/operations.md"), "utf8");
  const rows = [...reference.matchAll(/^\| `(keyswap_[a-z_]+)` \|/gm)].map(([, name]) => name);
  expect(rows.toSorted()).toEqual(own.toSorted());
});
