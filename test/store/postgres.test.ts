// What PostgreSQL alone can do to us.

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { PostgresDatabase } from "../../src/store/postgres.ts";
import { type Cluster, postgresMissing, startCluster } from "../support/postgres.ts";

const missing = postgresMissing();

describe.skipIf(missing !== undefined)(`PostgreSQL${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.remove());

  it("that ends a connection between two statements of a transaction fails the transaction, and nothing else", async () => {
    const url = await cluster.createDatabase("ended");
    const [database, other] = await Promise.all([1, 2].map(() => PostgresDatabase.open(url, Date.now)));
    onTestFinished(async () => {
      await database!.close();
      await other!.close();
    });
    const broken = database!.write(async (tx) => {
      const { pid = null } = (await tx.get("SELECT pg_backend_pid() AS pid")) ?? {};
      await other!.get("SELECT pg_terminate_backend(?)", pid);
      await expect
        .poll(() => other!.get("SELECT count(*) AS left FROM pg_stat_activity WHERE pid = ?", pid))
        .toEqual({ left: 0 });
      // Its socket's end is heard of here, with no statement under way.
      for (let turn = 0; turn < 10; turn++) await new Promise((done) => setImmediate(done));
      await tx.get("SELECT 1 AS one");
    });
    await expect(broken).rejects.toMatchObject({ name: "StoreError" });
    expect(await database!.write((tx) => tx.get("SELECT 1 AS one"))).toEqual({ one: 1 });
  });
});
