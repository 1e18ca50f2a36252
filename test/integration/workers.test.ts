// Several worker processes on the same ports: one audit log, one set of metrics; a worker that is killed is replaced, signals are passed on.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Fleet, fleetValue, logged, makeFleet, makeFleetSandbox, readAudit, startLoad } from "../support/fleet.ts";
import { waitUntil } from "../support/wait.ts";
import type { RunningKeyswap } from "../support/workbench.ts";

let fleet: Fleet;
beforeEach(async () => {
  fleet = await makeFleet();
});
afterEach(() => fleet[Symbol.asyncDispose]());

/** Pids of the workers that came to be ready, in order. */
const workerPids = ({ stderr }: RunningKeyswap): number[] =>
  logged(stderr(), "worker ready").map(({ pid }) => Number(pid));

/** Their log lines come on a way of their own. */
async function workersReady(keyswap: RunningKeyswap, count: number): Promise<void> {
  await waitUntil(() => {
    if (workerPids(keyswap).length < count) throw new Error(`${workerPids(keyswap).length} workers`);
  }, 30_000);
}

async function scrape({ ready }: RunningKeyswap): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://${ready.admin}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

const exchanges = 'keyswap_exchanges_total{protocol="http/1.1",status="2xx",outcome="ok"}';

test("workers share ports, audit, metrics and the CA; a killed one is replaced and its counts stay", async () => {
  const keyswap = await fleet.bench.start(["start", "--workers", "2"]);
  await workersReady(keyswap, 2);
  const sandbox = await makeFleetSandbox(fleet, keyswap.ready);
  const load = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy });
  await load.more(200);
  await load.stop();
  expect(load.faults).toEqual([]);
  expect(fleet.origin.seen.every(({ headers }) => headers["x-key"] === fleetValue)).toBe(true);

  const total = load.right();
  await waitUntil(() => {
    const recorded = readAudit(fleet.bench).filter(({ type }) => type === "exchange");
    if (recorded.length < total) throw new Error(`${recorded.length} of ${total} recorded`);
  });
  // Both had their part: ids begin with what a process chose for itself.
  const prefixes = new Set(readAudit(fleet.bench).map(({ id }) => String(id).split("-")[0]));
  expect(prefixes.size).toBe(2);
  const before = await scrape(keyswap);
  expect([...before.keys()].filter((key) => key.startsWith("keyswap_exchanges"))).toEqual([exchanges]);
  expect(before.get(exchanges)).toBe(total);
  expect(before.get("keyswap_workers")).toBe(2);

  const [victim] = workerPids(keyswap);
  process.kill(victim!, "SIGKILL");
  await workersReady(keyswap, 3);
  const replaced = "a worker ended; another takes its place";
  await waitUntil(() => expect(logged(keyswap.stderr(), replaced)).toMatchObject([{ pid: victim, signal: "SIGKILL" }]));
  const after = await scrape(keyswap);
  expect(after.get(exchanges)).toBe(total);
  expect(after.get("keyswap_worker_restarts_total")).toBe(1);
  const again = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy });
  await again.more(50);
  await again.stop();
  expect(again.faults).toEqual([]);

  const { code } = await keyswap.stop();
  expect(code).toBe(0);
  expect(readFileSync(join(fleet.bench.dataDir, "audit.jsonl"), "utf8")).not.toContain(fleetValue);
}, 120_000);

test("SIGHUP reaches every worker, all or none; a worker that is told to end drains and is replaced", async () => {
  const file = join(fleet.bench.env.HOME ?? "", "keyswap.yaml");
  writeFileSync(file, "note: off\n");
  const keyswap = await fleet.bench.start(["start", "--workers", "2", "--config", file]);
  const sandbox = await makeFleetSandbox(fleet, keyswap.ready);
  const load = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy });
  await load.more(50);
  const hangUp = async (message: string) => {
    process.kill(keyswap.pid, "SIGHUP");
    await waitUntil(() => {
      if (logged(keyswap.stderr(), message).length === 0) throw new Error("not yet");
    });
  };
  writeFileSync(file, "proxy-cert: keyswap.yaml\nproxy-cert-key: keyswap.yaml\negress-deny: [api.localhost]\n");
  await hangUp("configuration not reloaded: everything stays as it was");
  await load.more(50);
  await workersReady(keyswap, 2);
  process.kill(workerPids(keyswap)[0]!, "SIGTERM");
  await workersReady(keyswap, 3);
  await load.more(50);
  expect(load.faults).toEqual([]);
  writeFileSync(file, "egress-deny: [api.localhost]\n");
  await hangUp("configuration reloaded");
  await load.more(1_000_000);
  expect(load.faults[0]).toMatch(/^403 .*egress-denied/);
  await load.stop();
  // Whichever worker takes the connection.
  for (let round = 0; round < 4; round++) {
    const denied = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy, connections: 1 });
    await denied.more(1);
    await denied.stop();
    expect(denied.right()).toBe(0);
  }
  expect((await keyswap.stop()).code).toBe(0);
}, 120_000);

test.skipIf(process.platform !== "linux")(
  "a worker that cannot be forked is tried again",
  async () => {
    const keyswap = await fleet.bench.start(["start", "--workers", "2"]);
    await workersReady(keyswap, 2);
    const limitFiles = (count: number) => execFileSync("prlimit", ["--pid", `${keyswap.pid}`, `--nofile=${count}:`]);
    // What is open stays open.
    limitFiles(1);
    process.kill(workerPids(keyswap)[0]!, "SIGKILL");
    const faults = () => logged(keyswap.stderr(), "a worker ended; another takes its place").slice(1);
    await waitUntil(() => expect(faults()[0]).toMatchObject({ reason: expect.stringContaining("EMFILE") }));
    limitFiles(1_024);
    await workersReady(keyswap, 3);
    expect((await keyswap.stop()).code).toBe(0);
  },
  120_000,
);

test("a port that is taken ends the start with a message, not with restarts", async () => {
  const first = await fleet.bench.start(["start"]);
  const { code, stderr } = await fleet.bench.run(
    ["start", "--workers", "2", "--data-dir", join(fleet.bench.env.HOME ?? "", "other")],
    {
      env: { KEYSWAP_PROXY_LISTEN: first.ready.proxy },
    },
  );
  expect([code, stderr]).toEqual([2, expect.stringContaining(`the proxy port ${first.ready.proxy} is taken`)]);
});
