// A process is killed amid concurrent writes, again and again: every answered write is there, every other is absent or
// whole. For PostgreSQL the server is crashed as well. KEYSWAP_TEST_KILLS sets how often; 50 take some minutes.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Store } from "../../src/core/store.ts";
import { formatMasterKey, makeMasterKey } from "../../src/store/envelope.ts";
import { openStore, type StoreOptions } from "../../src/store/open.ts";
import { type Cluster, postgresMissing, startCluster } from "../support/postgres.ts";

const KILLS = Number(process.env.KEYSWAP_TEST_KILLS ?? 8);
const SERVER_CRASHES = 2;
const masterKeys = formatMasterKey(makeMasterKey());

/** What a secret's name was last answered for. */
type Ledger = Map<string, "created" | "mounted" | "updated" | "deleted">;

/** Starts a writer and ends it by `end` after it has written for a while; adds what was answered to the ledger. */
async function writeUntil(
  place: Partial<StoreOptions>,
  ledger: Ledger,
  answers: number,
  end: (kill: () => void) => void,
) {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "writer-child.ts"), JSON.stringify({ ...place, masterKeys })],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let complaints = "";
  child.stderr.on("data", (chunk) => {
    complaints += chunk;
  });
  const closed = once(child, "close");
  let count = 0;
  let ending = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, name] = line.split(" ");
    if (name === undefined) continue;
    ledger.set(name, word as "created");
    if (++count >= answers && !ending) {
      ending = true;
      end(() => child.kill("SIGKILL"));
    }
  }
  await closed;
  return { count, complaints };
}

async function check(store: Store, ledger: Ledger): Promise<void> {
  const organizationId = store.organizations.defaultId;
  const present = new Map<string, string>();
  let after: { value: string; id: string } | undefined;
  for (let page = 0; page < 1_000; page++) {
    const list = await store.secrets.list(organizationId, { limit: 200, sort: "name", order: "asc", after });
    for (const secret of list.items) present.set(secret.name, secret.hosts[0] ?? "");
    const last = list.items.at(-1);
    if (!list.more || last === undefined) break;
    after = { value: last.name, id: last.id };
  }
  for (const [name, word] of ledger) {
    const host = present.get(name);
    if (word === "deleted") {
      expect(host, name).toBeUndefined();
      continue;
    }
    // What was in flight may have been done as well: the next step after the last answered one.
    const mayBeDeleted = word === "updated" && Number(name.split("_")[3]) % 3 === 0;
    if (!mayBeDeleted) expect(host, name).toBeDefined();
    if (word === "updated" && host !== undefined) expect(host, name).toBe("b.example");
    if (word === "created") continue;
    const box = await store.sandboxes.get(organizationId, `box-${name}`);
    expect(box, name).toBeDefined();
    const grants = (await store.egress.resolve(box!.id, 0))!.grants;
    // Whole: value and hosts are from the same write.
    for (const grant of grants) {
      const value = grant.value.reveal().toString();
      expect(grant.hosts[0], name).toBe(value === `1:${name}` ? "a.example" : "b.example");
      expect([`1:${name}`, `2:${name}`]).toContain(value);
      if (word === "updated") expect(value).toBe(`2:${name}`);
    }
  }
  // Every version has its change.
  const version = await store.changes.version();
  const changes = await store.changes.since(version - 100, 200);
  expect(changes).toMatchObject({ kind: "changes", changes: { length: 100 } });
}

describe("kill -9", () => {
  it(`loses no answered write in SQLite over ${KILLS} kills`, { timeout: 300_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), "keyswap-kill-"));
    try {
      const place = { path: join(directory, "keyswap.db") };
      const ledger: Ledger = new Map();
      for (let round = 0; round < KILLS; round++) {
        const { count, complaints } = await writeUntil(place, ledger, 10 + round * 3, (kill) => kill());
        expect(count, complaints).toBeGreaterThan(0);
      }
      const store = await openStore({ ...place, masterKeys });
      await check(store, ledger);
      await store.close();
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  const missing = postgresMissing();
  describe.skipIf(missing !== undefined)(`PostgreSQL${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await startCluster();
    });
    afterAll(() => cluster.remove());

    it(`loses no answered write over ${KILLS} kills of the writer`, { timeout: 300_000 }, async () => {
      const place = { databaseUrl: await cluster.createDatabase("kills") };
      const ledger: Ledger = new Map();
      for (let round = 0; round < KILLS; round++) {
        const { count, complaints } = await writeUntil(place, ledger, 10 + round, (kill) => kill());
        expect(count, complaints).toBeGreaterThan(0);
      }
      const store = await openStore({ ...place, masterKeys });
      await check(store, ledger);
      await store.close();
    });

    it(`loses no answered write over ${SERVER_CRASHES} crashes of the server`, { timeout: 300_000 }, async () => {
      const place = { databaseUrl: await cluster.createDatabase("crashes") };
      const ledger: Ledger = new Map();
      for (let round = 0; round < SERVER_CRASHES; round++) {
        // The writer ends by itself: its next write is refused.
        await writeUntil(place, ledger, 100, () => cluster.stop("immediate"));
        cluster.start();
      }
      expect(ledger.size).toBeGreaterThan(SERVER_CRASHES);
      const store = await openStore({ ...place, masterKeys });
      await check(store, ledger);
      await store.close();
    });
  });
});
