// What the Secret API costs at its busiest calls: the unit costs of `npm run simulate` and docs/scale.md. By hand:
// node test/bench/api-cost.ts. CPU of the API's own process (Linux), on SQLite; with PostgreSQL, where it is found, also
// that of its server processes.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { formatMasterKey, makeMasterKey } from "../../src/store/envelope.ts";
import { postgresMissing, startCluster } from "../support/postgres.ts";
import { makeWorkbench } from "../support/workbench.ts";
import { secretValue } from "./scenario.ts";

const ticksPerSecond = 100;
const streams = 100;

/** CPU seconds of a process, or of all that are called `name`. */
function cpuOf(pid: number | undefined, name?: string): number {
  const pids = pid === undefined ? readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)) : [String(pid)];
  let ticks = 0;
  for (const each of pids) {
    try {
      const stat = readFileSync(`/proc/${each}/stat`, "latin1");
      const end = stat.lastIndexOf(")");
      if (name !== undefined && stat.slice(stat.indexOf("(") + 1, end) !== name) continue;
      const fields = stat.slice(end + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // Ended meanwhile.
    }
  }
  return ticks / ticksPerSecond;
}

async function measure(databaseUrl: string | undefined): Promise<void> {
  await using bench = makeWorkbench(
    databaseUrl === undefined
      ? {}
      : { KEYSWAP_DATABASE_URL: databaseUrl, KEYSWAP_MASTER_KEY: formatMasterKey(makeMasterKey()) },
  );
  const keyswap = await bench.start(["api"]);
  const { api } = keyswap.ready;
  const [apiKey, proxyKey] = ["api-key", "proxy-key"].map((file) =>
    readFileSync(join(bench.dataDir, file), "utf8").trim(),
  );
  const call = async (key: string | undefined, path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", ...init.headers };
    const answer = await fetch(`${api}${path}`, { ...init, headers });
    if (answer.status >= 400) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  };
  const post = async (path: string, body: object): Promise<{ id: string }> =>
    (await call(apiKey, path, { method: "POST", body: JSON.stringify(body) })).json() as Promise<{ id: string }>; // documented
  const store = databaseUrl === undefined ? "SQLite" : "PostgreSQL";
  const report = async (what: string, times: number, work: () => Promise<void>): Promise<void> => {
    await work();
    const before = [cpuOf(keyswap.pid), cpuOf(undefined, "postgres")] as const;
    await work();
    const own = ((cpuOf(keyswap.pid) - before[0]) / times) * 1e6;
    const server = ((cpuOf(undefined, "postgres") - before[1]) / times) * 1e6;
    const beside = databaseUrl === undefined ? "" : `, PostgreSQL ${server.toFixed(0)} us`;
    process.stdout.write(`${store}: ${what}: API ${own.toFixed(0)} us${beside}\n`);
  };
  const waves = async (times: number, one: () => Promise<unknown>): Promise<void> => {
    const lane = async (): Promise<void> => {
      for (let i = 0; i < times / 8; i++) await one();
    };
    await Promise.all(Array.from({ length: 8 }, lane));
  };

  const names = ["ONE", "TWO", "THREE", "FOUR", "FIVE"];
  const ids: string[] = [];
  for (const name of names)
    ids.push((await post("/secret", { name, value: secretValue, hosts: ["api.example.com"] })).id);
  const sandbox = await post("/sandbox", { secrets: names.map((name) => ({ [name]: name })) });
  const path = `/sandbox/${sandbox.id}/egress`;
  let etag = "";
  await report("grants of a sandbox with 5 mounts", 2000, () =>
    waves(2000, async () => {
      const answer = await call(proxyKey, path);
      etag = answer.headers.get("etag") ?? "";
      await answer.arrayBuffer();
    }),
  );
  await report("the same, unchanged (304)", 2000, () =>
    waves(2000, async () => (await call(proxyKey, path, { headers: { "if-none-match": etag } })).arrayBuffer()),
  );
  const rotate = (): Promise<unknown> =>
    call(apiKey, `/secret/${ids[0]}`, {
      method: "PATCH",
      body: JSON.stringify({ value: `${secretValue}${Math.random()}` }),
    });
  await report("rotation of a secret, nobody listens", 200, () => waves(200, rotate));
  const stop = new AbortController();
  for (let at = 0; at < streams; at++) {
    const { body } = await call(proxyKey, "/changes", { signal: stop.signal });
    void body?.pipeTo(new WritableStream()).catch(() => {});
  }
  await report(`rotation of a secret, ${streams} streams listen`, 200, () => waves(200, rotate));
  stop.abort();
  await keyswap.stop();
}

await measure(undefined);
const missing = postgresMissing();
if (missing !== undefined) process.stdout.write(`PostgreSQL: not measured (${missing})\n`);
else {
  const cluster = await startCluster();
  try {
    await measure(await cluster.createDatabase("bench"));
  } finally {
    await cluster.remove();
  }
}
