// SIGHUP on a real process under load: what changed is in force, nothing is dropped; a faulty file changes nothing.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeAuthority } from "../../src/tls/authority.ts";
import { type Fleet, fleetHost, logged, makeFleet, makeFleetSandbox, startLoad } from "../support/fleet.ts";
import type { RunningKeyswap } from "../support/workbench.ts";

let fleet: Fleet;
beforeEach(async () => {
  fleet = await makeFleet();
});
afterEach(() => fleet[Symbol.asyncDispose]());

const reloaded = "configuration reloaded";
const refused = "configuration not reloaded: everything stays as it was";

async function hangUp(keyswap: RunningKeyswap, message: string): Promise<Readonly<Record<string, unknown>>> {
  const before = logged(keyswap.stderr(), message).length;
  process.kill(keyswap.pid, "SIGHUP");
  await expect.poll(() => logged(keyswap.stderr(), message).length, { timeout: 20_000 }).toBe(before + 1);
  return logged(keyswap.stderr(), message).at(-1) ?? {};
}

async function callApi({ ready }: RunningKeyswap, path: string, body: object): Promise<Record<string, unknown>> {
  const key = readFileSync(join(fleet.bench.dataDir, "api-key"), "utf8").trim();
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const answer = await fetch(`${ready.api}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  return (await answer.json()) as Record<string, unknown>;
}

test("reloads under load without a failed exchange, then refuses what is denied now", async () => {
  const file = join(fleet.bench.env.HOME ?? "", "keyswap.yaml");
  const allowed = "allow-private: 127.0.0.0/8,::1";
  writeFileSync(file, `${allowed}\n`);
  // The variable would go before the file.
  const keyswap = await fleet.bench.start(["start", "--config", file], { env: { KEYSWAP_ALLOW_PRIVATE: "" } });
  const sandbox = await makeFleetSandbox(fleet, keyswap.ready);
  const load = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy });
  await load.more(50);
  // The way to destinations changes, so that every upstream connection is renewed in the middle of the load.
  for (const range of ["10.0.0.0/8", "10.0.0.0/9"]) {
    writeFileSync(file, `${allowed},${range}\nnote: on\n`);
    await hangUp(keyswap, reloaded);
    await load.more(100);
  }
  expect(load.faults).toEqual([]);
  expect(fleet.origin.sockets.size).toBeLessThanOrEqual(8);

  writeFileSync(file, `${allowed}\negress-deny: ["api.localhost"]\nproxy-listen: 127.0.0.1:1\n`);
  expect(await hangUp(keyswap, reloaded)).toMatchObject({ changed: ["allow-private", "egress-deny", "note"] });
  await load.more(1_000_000);
  // On connections that were there before.
  expect(load.faults[0]).toMatch(/^403 .*egress-denied/);
  await load.stop();
  expect((await keyswap.stop()).code).toBe(0);
}, 120_000);

test("tells what needs a restart, and of a fault leaves everything as it was", async () => {
  const file = join(fleet.bench.env.HOME ?? "", "keyswap.yaml");
  writeFileSync(file, "note: off\n");
  const keyswap = await fleet.bench.start(["start", "--config", file]);
  const sandbox = await makeFleetSandbox(fleet, keyswap.ready);
  const load = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy, connections: 2 });
  await load.more(10);
  writeFileSync(file, "egress-deny: [api.localhost]\nbufer-bytes: 1\n");
  expect(await hangUp(keyswap, refused)).toMatchObject({
    reason: expect.stringContaining("did you mean buffer-bytes"),
  });
  writeFileSync(file, "egress-deny: [api.localhost]\nproxy-cert: keyswap.yaml\nproxy-cert-key: keyswap.yaml\n");
  expect(await hangUp(keyswap, refused)).toMatchObject({ reason: expect.stringContaining("the proxy's certificate") });
  await load.more(50);
  expect(load.faults).toEqual([]);
  writeFileSync(file, "dns-listen: 127.0.0.1:0\n");
  await hangUp(keyswap, reloaded);
  await expect
    .poll(() => logged(keyswap.stderr(), "these settings changed and need a restart"))
    .toMatchObject([{ settings: ["dns-listen"] }]);
  await load.more(50);
  expect(load.faults).toEqual([]);
  await load.stop();
}, 120_000);

test("takes over a CA that was put in the old one's place", async () => {
  const keyswap = await fleet.bench.start(["start"]);
  const { certificate, key } = makeAuthority(Date.now());
  writeFileSync(join(fleet.bench.certsDir, "ca-key.pem"), key);
  writeFileSync(join(fleet.bench.certsDir, "ca.pem"), certificate);
  expect(await hangUp(keyswap, reloaded)).toMatchObject({ changed: ["the CA"] });
  const sandbox = await makeFleetSandbox(fleet, keyswap.ready);
  // Trusts the new one alone.
  const load = startLoad({ fleet, sandbox, proxy: keyswap.ready.proxy, connections: 2 });
  await load.more(10);
  await load.stop();
  expect(load.faults).toEqual([]);
  const answer = await fetch(`http://${keyswap.ready.admin}/readyz`);
  expect(answer.status).toBe(200);
}, 60_000);

test.each(["start", "api"])(
  "keyswap %s: the Secret API explains by the new rules and logs at the new level",
  async (command) => {
    const file = join(fleet.bench.env.HOME ?? "", "keyswap.yaml");
    writeFileSync(file, "log-level: error\n");
    const keyswap = await fleet.bench.start([command, "--config", file]);
    await makeFleetSandbox(fleet, keyswap.ready);
    const explain = async () => (await callApi(keyswap, "/explain", { url: fleet.url, secret: "KEY" })).outcome;
    expect(await explain()).toBe("substituted");
    writeFileSync(file, `log-level: info\negress-deny: [${fleetHost}]\n`);
    expect(await hangUp(keyswap, reloaded)).toMatchObject({ changed: ["egress-deny", "log-level"] });
    await expect.poll(explain).toBe("denied");
    await expect
      .poll(() => logged(keyswap.stderr(), "request"))
      .toContainEqual(expect.objectContaining({ status: 200 }));
    expect((await keyswap.stop()).code).toBe(0);
  },
  60_000,
);
