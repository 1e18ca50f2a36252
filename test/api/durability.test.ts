// The API is killed amid concurrent writes over HTTP, again and again: every answered write is there, every other is absent
// or whole. For PostgreSQL the server is crashed as well, and a full disk met. KEYSWAP_TEST_KILLS sets how often; 50 take
// some minutes.

import { randomBytes, randomInt } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, postgresMissing, startCluster } from "../support/postgres.ts";
import { type Answer, call } from "../support/secret-api.ts";
import { canMount, SmallDisk } from "../support/small-disk.ts";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

const KILLS = Number(process.env.KEYSWAP_TEST_KILLS ?? 3);
const SERVER_CRASHES = 2;
const LANES = 6;
const apiKey = randomBytes(32).toString("hex");
const proxyKey = randomBytes(32).toString("hex");
const keys = {
  KEYSWAP_API_KEY: apiKey,
  KEYSWAP_PROXY_KEY: proxyKey,
  KEYSWAP_MASTER_KEY: `k1:${randomBytes(32).toString("base64")}`,
};

/** A secret's steps in order; what the ledger has is the last one that was answered. */
const steps = ["created", "mounted", "updated", "deleted"] as const;
type Step = (typeof steps)[number];
type Ledger = Map<string, Step>;

interface Target {
  readonly ledger: Ledger;
  readonly call: (method: string, path: string, body?: unknown) => Promise<Answer>;
  /** A write was answered. */
  readonly answered: () => void;
}

/** Writes until a call fails: the API is gone, or said 5xx. */
async function writeLane({ ledger, call, answered }: Target, prefix: string): Promise<void> {
  for (let at = 0; ; at++) {
    const name = `${prefix}_${at}`;
    const take = async (step: Step, method: string, path: string, body?: unknown) => {
      const answer = await call(method, path, body).catch(() => undefined);
      if (answer === undefined || answer.status >= 500) return undefined;
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.text}`);
      ledger.set(name, step);
      answered();
      return answer.body ?? {};
    };
    const made = await take("created", "POST", "/secret", { name, value: `1:${name}`, hosts: ["a.example"] });
    if (made === undefined) return;
    const box = { name: `box-${name}`, secrets: [{ A: name }] };
    if ((await take("mounted", "POST", "/sandbox", box)) === undefined) return;
    const change = { value: `2:${name}`, hosts: ["b.example"] };
    if ((await take("updated", "PATCH", `/secret/${made.id}`, change)) === undefined) return;
    if (at % 3 === 0 && (await take("deleted", "DELETE", `/secret/${made.id}`)) === undefined) return;
  }
}

/** Starts the API, writes until `end` was called after so many answers, and waits for its end or stops it. */
async function round(
  bench: Workbench,
  env: Record<string, string>,
  ledger: Ledger,
  answers: number,
  end: (kill: () => void) => void,
): Promise<number> {
  const api = await bench.start(["api"], { env: { ...keys, ...env } });
  let count = 0;
  let killed: Promise<unknown> | undefined;
  const target: Target = {
    ledger,
    call: (method, path, body) => call(api.ready.api, apiKey, method, path, body),
    answered: () => {
      count++;
      if (count !== answers) return;
      end(() => {
        killed = api.stop("SIGKILL");
      });
    },
  };
  const run = randomBytes(4).toString("hex");
  await Promise.all(Array.from({ length: LANES }, (_, lane) => writeLane(target, `W_${run}_${lane}`)));
  await (killed ?? api.stop("SIGKILL"));
  return count;
}

/** What the API says now, held against the ledger. */
async function check(bench: Workbench, env: Record<string, string>, ledger: Ledger): Promise<number> {
  const api = await bench.start(["api"], { env: { ...keys, ...env } });
  const ask = async (path: string, key = apiKey) => {
    const answer = await call(api.ready.api, apiKey, "GET", path, undefined, { key });
    expect([200, 404], answer.text).toContain(answer.status);
    return answer.status === 404 ? undefined : answer.body;
  };
  const present = new Map<string, readonly string[]>();
  for (let cursor = ""; ; ) {
    const page = await ask(`/secret/paginated?limit=200&sort=name&order=asc${cursor}`);
    for (const { name, hosts } of page.items) present.set(name, hosts);
    if (page.nextCursor === null) break;
    cursor = `&cursor=${encodeURIComponent(page.nextCursor)}`;
  }
  for (const name of new Set([...ledger.keys(), ...present.keys()])) {
    const last = ledger.get(name);
    // What was in flight may have been done as well: the step after the last answered one.
    const mayBeDeleted = last === "deleted" || (last === "updated" && Number(name.split("_")[3]) % 3 === 0);
    const hosts = present.get(name);
    if (last === "deleted") expect(hosts, name).toBeUndefined();
    else if (last !== undefined && !mayBeDeleted) expect(hosts, name).toBeDefined();
    const box = await ask(`/sandbox/box-${name}`);
    if (last !== undefined && last !== "created") expect(box, name).toBeDefined();
    if (hosts === undefined) continue;
    // Without an answered mount there may be no sandbox; the value has to open all the same.
    const probe = box ?? (await call(api.ready.api, apiKey, "POST", "/sandbox", { secrets: [{ A: name }] })).body;
    const { grants } = await ask(`/sandbox/${probe.id}/egress`, proxyKey);
    // Whole: value and hosts are of the same write, in the list and in the grant.
    const written = grants[0].value === `2:${name}` ? 2 : 1;
    expect(grants, name).toMatchObject([
      { value: `${written}:${name}`, hosts: [written === 2 ? "b.example" : "a.example"] },
    ]);
    expect(grants[0].hosts, name).toEqual(hosts);
    if (last === "updated") expect(written, name).toBe(2);
  }
  await api.stop();
  return present.size;
}

async function killAgainAndAgain(bench: Workbench, env: Record<string, string>): Promise<void> {
  const ledger: Ledger = new Map();
  let answered = 0;
  for (let at = 0; at < KILLS; at++) answered += await round(bench, env, ledger, randomInt(5, 60), (kill) => kill());
  const kept = await check(bench, env, ledger);
  process.stdout.write(
    `${KILLS} kills: ${answered} writes answered, ${ledger.size} secrets, ${kept} kept, all whole\n`,
  );
  expect(answered).toBeGreaterThan(KILLS);
}

describe("kill -9", () => {
  it(`loses no answered write in SQLite over ${KILLS} kills`, { timeout: 900_000 }, async () => {
    await using bench = makeWorkbench();
    await killAgainAndAgain(bench, {});
  });

  const missing = postgresMissing();
  describe.skipIf(missing !== undefined)(`PostgreSQL${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await startCluster();
    });
    afterAll(() => cluster?.remove());

    it(`loses no answered write over ${KILLS} kills`, { timeout: 900_000 }, async () => {
      await using bench = makeWorkbench();
      await killAgainAndAgain(bench, { KEYSWAP_DATABASE_URL: await cluster.createDatabase("kills") });
    });

    it(`loses no answered write over ${SERVER_CRASHES} crashes of the server`, { timeout: 300_000 }, async () => {
      await using bench = makeWorkbench();
      const env = { KEYSWAP_DATABASE_URL: await cluster.createDatabase("crashes") };
      const ledger: Ledger = new Map();
      for (let at = 0; at < SERVER_CRASHES; at++) {
        await round(bench, env, ledger, 50, () => cluster.stop("immediate"));
        cluster.start();
      }
      expect(ledger.size).toBeGreaterThan(SERVER_CRASHES);
      await check(bench, env, ledger);
    });
  });
});

const noDisk = canMount() ?? postgresMissing();
describe.skipIf(noDisk !== undefined)(
  `a full disk under PostgreSQL${noDisk === undefined ? "" : ` (skipped: ${noDisk})`}`,
  () => {
    it("answers 507 or 503, loses nothing, and goes on when there is room again", { timeout: 300_000 }, async () => {
      using disk = new SmallDisk("96m");
      const cluster = await startCluster(disk.path);
      await using bench = makeWorkbench();
      try {
        const env = { ...keys, KEYSWAP_DATABASE_URL: await cluster.createDatabase("full") };
        const api = await bench.start(["api"], { env });
        const post = (name: string) =>
          call(api.ready.api, apiKey, "POST", "/secret", { name, value: "x".repeat(8_000) });
        expect((await post("BEFORE")).status).toBe(201);
        disk.fill();
        const answered = ["BEFORE"];
        let refusal: Answer | undefined;
        for (let at = 0; at < 5_000 && refusal === undefined; at++) {
          const answer = await post(`FULL_${at}`);
          if (answer.status === 201) answered.push(`FULL_${at}`);
          else refusal = answer;
        }
        expect([503, 507]).toContain(refusal?.status);
        expect(refusal?.body.message).toMatch(/full|cannot be reached/);
        process.stdout.write(`a full disk under PostgreSQL: ${refusal?.status} ${refusal?.body.message}\n`);
        disk.free();
        // A server that had to stop for want of room is started again by its operator.
        cluster.restart();
        await expect.poll(async () => (await post("ROOM")).status, { timeout: 30_000, interval: 250 }).toBe(201);
        const { body } = await call(api.ready.api, apiKey, "GET", "/secret");
        const names = body.map((each: { name: string }) => each.name);
        expect(names).toEqual(expect.arrayContaining([...answered, "ROOM"]));
        expect(names.length).toBeLessThanOrEqual(answered.length + 2);
      } finally {
        await cluster.remove();
      }
    });
  },
);
