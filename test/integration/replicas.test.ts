// Two Secret API replicas on one PostgreSQL, a real proxy at each: what is written at one replica is in force at both
// proxies; the database may go and come back. Everything runs as a process of its own, as it would on many machines.

import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki } from "../support/pki.ts";
import { type Cluster, postgresMissing, startCluster } from "../support/postgres.ts";
import { type Answer, call } from "../support/secret-api.ts";
import { askConnect, secure, type WireClient } from "../support/wire-client.ts";
import { makeWorkbench, type RunningKeyswap, type Workbench } from "../support/workbench.ts";

/** After an outage a replica may take five seconds to listen to PostgreSQL again; tries would be less time the faster a proxy is. */
const IN_FORCE_MS = 10_000;
/** 200 for the figures in docs/secret-api.md. */
const CHANGES = Number(process.env.KEYSWAP_TEST_CHANGES ?? 60);
const host = "api.localhost";
const apiKey = randomBytes(32).toString("hex");
const pki = makePki();

interface Replica {
  readonly bench: Workbench;
  readonly api: RunningKeyswap;
  readonly proxy: RunningKeyswap;
  readonly call: (method: string, path: string, body?: unknown) => Promise<Answer>;
}

interface Sandbox {
  readonly id: string;
  readonly credentials: string;
}

const missing = postgresMissing();
describe.skipIf(missing !== undefined)(`two replicas${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  let cluster: Cluster;
  let origin: Origin;
  let replicas: readonly [Replica, Replica];
  const clients = new Set<WireClient>();

  beforeAll(async () => {
    cluster = await startCluster();
    origin = await startOrigin({ pki, names: [host] });
    const env = {
      KEYSWAP_DATABASE_URL: await cluster.createDatabase("replicas"),
      KEYSWAP_MASTER_KEY: `k1:${randomBytes(32).toString("base64")}`,
      KEYSWAP_API_KEY: apiKey,
      KEYSWAP_PROXY_KEY: randomBytes(32).toString("hex"),
    };
    const start = async (): Promise<Replica> => {
      const bench = makeWorkbench();
      const api = await bench.start(["api"], { env });
      const upstreamCa = join(bench.env.HOME!, "upstream-ca.pem");
      writeFileSync(upstreamCa, pki.caPem);
      const proxy = await bench.start(["proxy"], {
        env: {
          KEYSWAP_PROXY_KEY: env.KEYSWAP_PROXY_KEY,
          KEYSWAP_SECRET_API_URL: api.ready.api,
          KEYSWAP_UPSTREAM_CA: upstreamCa,
          KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8",
          KEYSWAP_AUDIT: "off",
        },
      });
      return { bench, api, proxy, call: (method, path, body) => call(api.ready.api, apiKey, method, path, body) };
    };
    replicas = [await start(), await start()];
  }, 60_000);
  afterAll(async () => {
    for (const client of clients) client.close();
    for (const { bench } of replicas ?? []) await bench[Symbol.asyncDispose]();
    await origin?.close();
    await cluster?.remove();
  });

  const written = async (answer: Promise<Answer>) => {
    const { status, text, body } = await answer;
    if (status >= 300) throw new Error(`${status} ${text}`);
    return body;
  };

  async function makeSandbox(): Promise<Sandbox> {
    const box = await written(replicas[0].call("POST", "/sandbox", {}));
    const { password } = new URL(box.egress.proxyUrl);
    return { id: box.id, credentials: `Basic ${Buffer.from(`${box.id}:${password}`).toString("base64")}` };
  }

  async function connect({ proxy }: Replica, sandbox: Sandbox): Promise<WireClient> {
    const port = Number(new URL(`http://${proxy.ready.proxy}`).port);
    const { client, answer } = await askConnect({ port }, `${host}:${origin.port}`, sandbox.credentials);
    expect(answer.status).toBe(200);
    const secured = await secure(client, { ca: readFileSync(proxy.ready.ca, "utf8"), serverName: host });
    clients.add(secured);
    return secured;
  }

  let probes = 0;
  /** What the origin saw of a header with this placeholder. */
  async function sent(client: WireClient, placeholder: string): Promise<string> {
    const probe = String(probes++);
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Probe: ${probe}\r\nX-Key: ${placeholder}\r\n\r\n`);
    expect((await client.read()).status).toBe(200);
    const seen = origin.seen.findLast((entry) => entry.headers["x-probe"] === probe);
    return String(seen?.headers["x-key"]);
  }

  /** Sends until the destination sees `wanted`; answers when that was and at which try. */
  async function inForce(
    client: WireClient,
    placeholder: string,
    wanted: string,
  ): Promise<{ at: number; try: number }> {
    const deadline = performance.now() + IN_FORCE_MS;
    for (let each = 1; performance.now() < deadline; each++) {
      if ((await sent(client, placeholder)) === wanted) return { at: performance.now(), try: each };
    }
    throw new Error("not in force");
  }

  it(`update, revocation and new mount are in force at both proxies (${CHANGES} changes)`, {
    timeout: 120_000,
  }, async () => {
    const [kept, secret] = [
      await written(replicas[0].call("POST", "/secret", { name: "KEPT", value: "kept", hosts: [host] })),
      await written(replicas[0].call("POST", "/secret", { name: "CHANGING", value: "value 0", hosts: [host] })),
    ];
    const sandbox = await makeSandbox();
    const mount = (at: Replica, names: readonly string[]) =>
      written(at.call("PUT", `/sandbox/${sandbox.id}/secrets`, { secrets: names.map((name) => ({ [name]: name })) }));
    await mount(replicas[0], ["KEPT", "CHANGING"]);
    const through = await Promise.all(replicas.map((replica) => connect(replica, sandbox)));
    for (const client of through) expect(await sent(client, kept.placeholder)).toBe("kept");

    const delays: Record<"near" | "far", number[]> = { near: [], far: [] };
    const firstTries = { near: 0, far: 0 };
    for (let at = 0; at < CHANGES; at++) {
      const writer = at % 2;
      const replica = replicas[writer]!;
      const value = `value ${Math.floor(at / 3) + 1}`;
      const began = performance.now();
      let wanted = value;
      if (at % 3 === 0) await written(replica.call("PATCH", `/secret/${secret.id}`, { value }));
      else if (at % 3 === 1) {
        await mount(replica, ["KEPT"]);
        wanted = secret.placeholder;
      } else await mount(replica, ["KEPT", "CHANGING"]);
      const outcomes = await Promise.all(through.map((client) => inForce(client, secret.placeholder, wanted)));
      for (const [index, outcome] of outcomes.entries()) {
        const where = index === writer ? "near" : "far";
        delays[where].push(outcome.at - began);
        if (outcome.try === 1) firstTries[where]++;
      }
    }
    // The answer to a write comes after its change was told to the proxies of that replica.
    expect(firstTries.near).toBe(CHANGES);
    // Figures to look at; machines differ, so nothing is asserted of them.
    for (const [where, each] of Object.entries(delays)) {
      each.sort((a, b) => a - b);
      const percentile = (share: number) => each[Math.ceil(each.length * share) - 1]?.toFixed(1);
      process.stdout.write(
        `from a write's request to a request that meets it in force, ${where} proxy: p50 ${percentile(0.5)} ms, ` +
          `p99 ${percentile(0.99)} ms; at the first try ${firstTries[where as "near" | "far"]} of ${CHANGES}\n`,
      );
    }
  });

  it("while the database is gone proxies go on with what they have; then nothing is lost and they catch up", {
    timeout: 120_000,
  }, async () => {
    const before = await written(replicas[0].call("GET", "/secret"));
    const secret = await written(
      replicas[0].call("POST", "/secret", { name: "OUTAGE", value: "before", hosts: [host] }),
    );
    const sandbox = await makeSandbox();
    await written(replicas[0].call("PUT", `/sandbox/${sandbox.id}/secrets`, { secrets: [{ A: "OUTAGE" }] }));
    const through = await Promise.all(replicas.map((replica) => connect(replica, sandbox)));
    for (const client of through) await inForce(client, secret.placeholder, "before");

    cluster.stop("fast");
    const refused = await replicas[1].call("PATCH", `/secret/${secret.id}`, { value: "refused" });
    expect([refused.status, refused.body.message]).toEqual([503, expect.stringContaining("cannot be reached")]);
    for (let round = 0; round < 5; round++) {
      for (const client of through) expect(await sent(client, secret.placeholder)).toBe("before");
    }

    cluster.start();
    await expect
      .poll(async () => (await replicas[1].call("PATCH", `/secret/${secret.id}`, { value: "after" })).status, {
        timeout: 30_000,
        interval: 100,
      })
      .toBe(200);
    for (const client of through) await inForce(client, secret.placeholder, "after");
    for (const replica of replicas) {
      const names = (await written(replica.call("GET", "/secret"))).map((each: { name: string }) => each.name);
      expect(names).toEqual(expect.arrayContaining(["OUTAGE", ...before.map((each: { name: string }) => each.name)]));
    }
  });
});
