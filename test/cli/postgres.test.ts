import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, postgresMissing, startCluster } from "../support/postgres.ts";
import { makeWorkbench } from "../support/workbench.ts";

const missing = postgresMissing();

describe.skipIf(missing !== undefined)(`keyswap on PostgreSQL${missing === undefined ? "" : ` (${missing})`}`, () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  const masterKey = `k1:${Buffer.alloc(32, 3).toString("base64")}`;
  const key = "configured-key-of-a-test";

  test("two APIs with data folders of their own share their secrets; no SQLite file is made", async () => {
    const url = await cluster.createDatabase("shared");
    const env = { KEYSWAP_DATABASE_URL: url, KEYSWAP_MASTER_KEY: masterKey, KEYSWAP_API_KEY: key };
    await using one = makeWorkbench(env);
    await using two = makeWorkbench(env);
    await one.start(["start"]);
    await two.start(["api"]);
    const created = await one.run(["secret", "create", "API", "--host", "a.example", "--value-stdin"], {
      input: "hunter2-hunter2",
    });
    expect([created.code, created.stderr]).toEqual([0, ""]);
    expect((await two.run(["secret", "list"])).stdout).toContain("API");
    expect(existsSync(join(one.dataDir, "keyswap.db"))).toBe(false);
  });

  test("a database that is not there, or has another master key, stops the start; its URL's password is not shown", async () => {
    await using bench = makeWorkbench({ KEYSWAP_MASTER_KEY: masterKey });
    const away = { KEYSWAP_DATABASE_URL: "postgres://keyswap:hunter2@127.0.0.1:9/none" };
    const refused = await bench.run(["start"], { env: away });
    expect([refused.code, refused.stdout]).toEqual([2, ""]);
    expect(refused.stderr).not.toContain("hunter2");
    const env = { KEYSWAP_DATABASE_URL: await cluster.createDatabase("keyed") };
    expect((await bench.run(["secret", "list"], { env })).code).toBe(0);
    const other = { ...env, KEYSWAP_MASTER_KEY: `k1:${Buffer.alloc(32, 4).toString("base64")}` };
    const wrong = await bench.run(["api"], { env: other });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("aster key");
  });
});
