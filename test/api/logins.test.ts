// Strangers at the Secret API: how many wrong credentials one address may show, on SQLite and on PostgreSQL, how many
// connections they may hold, and that nobody else is kept out.

import { Agent, request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { formatMasterKey, makeMasterKey } from "../../src/store/envelope.ts";
import { openStore } from "../../src/store/open.ts";
import { type Cluster, postgresMissing, startCluster } from "../support/postgres.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

const bound = 5;
const missing = postgresMissing();

describe.each([
  ["SQLite", undefined],
  ["PostgreSQL", missing],
] as const)("%s", (engine, skipped) => {
  describe.skipIf(skipped !== undefined)(`at the bound${skipped === undefined ? "" : ` (skipped: ${skipped})`}`, () => {
    let cluster: Cluster | undefined;
    let databaseUrl = "";
    let api: TestApi;
    const masterKeys = formatMasterKey(makeMasterKey());
    let now = Date.now();

    beforeAll(async () => {
      if (engine === "SQLite") return;
      cluster = await startCluster();
      databaseUrl = await cluster.createDatabase("logins");
    });
    afterAll(() => cluster?.remove());

    /** A server and a bound of its own for each test. */
    beforeEach(async () => {
      const postgres = { openStore: () => openStore({ databaseUrl, masterKeys, clock: () => now }) };
      const options = { clock: () => now, maxFailedLogins: bound };
      api = await startSecretApi({ ...options, ...(cluster === undefined ? {} : postgres) });
      return () => api.close();
    });

    const statusOf = async (key: string | null, path = "/secret") =>
      (await api.call("GET", path, undefined, { key })).status;
    const useUp = async () => {
      for (let at = 0; at < bound; at++) expect(await statusOf(`wrong-${at}`)).toBe(401);
      expect(await statusOf("wrong")).toBe(429);
    };

    it("429 says what to do and when, and nothing is looked up any more", async () => {
      await useUp();
      const looked = api.store.apiKeys.findByHash;
      let lookups = 0;
      api.store.apiKeys.findByHash = (hash) => {
        lookups += 1;
        return looked.call(api.store.apiKeys, hash);
      };
      const refused = await api.call("GET", "/secret", undefined, { key: "another-guess" });
      expect(refused.status).toBe(429);
      expect(refused.headers.get("retry-after")).toBe("12");
      expect(refused.body.message).toMatch(/^Too many wrong credentials .* try again in 12 s$/);
      expect(lookups).toBe(0);
      now += 12_000;
      expect(await statusOf("another-guess")).toBe(401);
      expect(lookups).toBe(1);
      expect(await statusOf("another-guess")).toBe(429);
    });

    it("who was right from there before is let in; who was not waits for the next second that is free", async () => {
      const made = async (name: string) =>
        (await api.call("POST", "/api-keys", { name, permissions: ["manage:secrets"] })).body.value as string;
      const [before, late] = [await made(`before ${now}`), await made(`late ${now}`)];
      expect(await statusOf(before)).toBe(200);
      expect(await statusOf(api.proxyKey)).toBe(403);
      await useUp();
      for (let round = 0; round < 2 * bound; round++) {
        const statuses = [await statusOf(before), await statusOf(api.apiKey), await statusOf(api.proxyKey)];
        expect(statuses).toEqual([200, 200, 403]);
        expect(await statusOf(`wrong-again-${round}`)).toBe(429);
      }
      expect(await statusOf(late)).toBe(429);
      now += 12_000;
      // It was right, so it uses nothing up: a guess has the room that it had.
      expect(await statusOf(late)).toBe(200);
      expect(await statusOf("wrong")).toBe(401);
      expect([await statusOf("wrong"), await statusOf(late)]).toEqual([429, 200]);
    });

    it("a key that was revoked is a guess like any other", async () => {
      const body = { name: `gone ${now}`, permissions: ["manage:secrets"] };
      const { value } = (await api.call("POST", "/api-keys", body)).body;
      expect(await statusOf(value)).toBe(200);
      await useUp();
      expect((await api.call("DELETE", `/api-keys/${encodeURIComponent(body.name)}`)).status).toBe(204);
      expect([await statusOf(value), await statusOf(value)]).toEqual([401, 429]);
    });

    it("many guesses at a time are no way around it", async () => {
      const statuses = await Promise.all(Array.from({ length: 50 }, (_, at) => statusOf(`guess-${at}`)));
      expect(statuses.filter((status) => status === 401)).toHaveLength(bound);
      expect(statuses.filter((status) => status === 429)).toHaveLength(50 - bound);
    });

    it("signing in to the console counts, every scheme and route counts, calls without a credential do not", async () => {
      const signIn = (apiKey: string) =>
        api.call("POST", "/session", { apiKey }, { key: null, headers: { "x-keyswap-console": "1" } });
      for (let at = 0; at < 3 * bound; at++) expect(await statusOf(null)).toBe(401);
      const cookie = `keyswap_session=${"A".repeat(43)}`;
      for (let at = 0; at < 3 * bound; at++) {
        const answer = await api.call("GET", "/session", undefined, { key: null, headers: { cookie } });
        expect(answer.status).toBe(401);
      }
      expect((await signIn("wrong")).status).toBe(401);
      expect((await signIn(api.apiKey)).status).toBe(200);
      const basic = { key: null, headers: { authorization: "Basic d3Jvbmc6d3Jvbmc=" } };
      expect((await api.call("GET", "/secret", undefined, basic)).status).toBe(401);
      expect(await statusOf("wrong", "/sandbox/any/egress")).toBe(401);
      expect(await statusOf("wrong", "/master-keys")).toBe(401);
      expect((await api.call("PUT", "/sandbox/any/secrets", {}, { key: "wrong" })).status).toBe(401);
      expect((await signIn("wrong")).status).toBe(429);
      expect((await api.call("GET", "/secret", undefined, basic)).status).toBe(429);
      expect((await signIn(api.apiKey)).status).toBe(200);
    });

    it("other addresses do not notice", async () => {
      await useUp();
      expect(await statusFrom("127.0.0.2", "wrong")).toBe(401);
      expect(await statusFrom("127.0.0.1", "wrong")).toBe(429);
    });

    function statusFrom(localAddress: string, key: string): Promise<number> {
      return new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${key}` };
        const ask = request(`${api.url}/secret`, { localAddress, headers, agent: false }, (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        });
        ask.on("error", reject);
        ask.end();
      });
    }
  });
});

it("a crowd of strangers pushes out its own oldest, never who has shown a right credential", async () => {
  const api = await startSecretApi({ maxNewcomers: 20 });
  const port = Number(new URL(api.url).port);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (key: string) =>
    new Promise<readonly [number, boolean]>((resolve, reject) => {
      const headers = { authorization: `Bearer ${key}` };
      const asked = request(`${api.url}/secret`, { headers, agent }, (answer) => {
        answer.resume().on("end", () => resolve([answer.statusCode ?? 0, asked.reusedSocket]));
      });
      asked.on("error", reject).end();
    });
  try {
    expect(await ask(api.apiKey)).toEqual([200, false]);
    const crowd = Array.from({ length: 50 }, () => connect(port, "127.0.0.1").on("error", () => {}));
    await vi.waitFor(() => expect(crowd.filter(({ closed }) => closed)).toHaveLength(30));
    expect(await ask(api.apiKey)).toEqual([200, true]);
    for (const socket of crowd) socket.destroy();
  } finally {
    agent.destroy();
    await api.close();
  }
});
