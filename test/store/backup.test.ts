// Backup and restore of a SQLite store, its file's mode, and what a full disk does.

import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SecretValue } from "../../src/core/secret-value.ts";
import type { Actor, Store } from "../../src/core/store.ts";
import { restore } from "../../src/store/backup.ts";
import { formatMasterKey, makeMasterKey } from "../../src/store/envelope.ts";
import { openStore } from "../../src/store/open.ts";
import { startSecretApi } from "../support/secret-api.ts";
import { canMount, SmallDisk } from "../support/small-disk.ts";

const key = makeMasterKey();
const masterKeys = formatMasterKey(key);
const actor: Actor = { kind: "system", name: "test" };
let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "keyswap-backup-"));
  path = join(directory, "keyswap.db");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function put(store: Store, name: string, value = `value of ${name}`): Promise<void> {
  const outcome = await store.secrets.create(
    {
      organizationId: store.organizations.defaultId,
      name,
      value: new SecretValue(name, value),
      description: null,
      hosts: [],
      locations: null,
      onViolation: null,
      placeholder: `dtn_secret_${randomBytes(20).toString("hex")}`,
      ownPlaceholder: false,
    },
    actor,
  );
  expect(outcome.kind).toBe("created");
}

const names = async (store: Store) =>
  (await store.secrets.list(store.organizations.defaultId, { limit: 200, sort: "name", order: "asc" })).items.map(
    (each) => each.name,
  );

it("makes its files readable for the owner alone", async () => {
  const store = await openStore({ path, masterKeys });
  await put(store, "A");
  for (const suffix of ["", "-wal", "-shm"]) expect(statSync(path + suffix).mode & 0o777, suffix).toBe(0o600);
  await store.close();
});

it("refuses a file that is no database, and leaves it as it is", async () => {
  writeFileSync(path, "this is not a database, but somebody's notes".repeat(50));
  const before = readFileSync(path);
  await expect(openStore({ path, masterKeys })).rejects.toMatchObject({ code: "corrupt" });
  expect(readFileSync(path)).toEqual(before);
});

it("says what is wrong where the directory does not exist", async () => {
  const missing = join(directory, "none", "keyswap.db");
  await expect(openStore({ path: missing, masterKeys })).rejects.toMatchObject({ code: "cannot-open" });
});

describe("a backup", () => {
  it("is taken while writes go on, and restores to a whole store", async () => {
    const store = await openStore({ path, masterKeys });
    for (let at = 0; at < 20; at++) await put(store, `BEFORE_${at}`);
    const writes = (async () => {
      for (let at = 0; at < 50; at++) await put(store, `DURING_${at}`);
    })();
    const copy = join(directory, "copy.db");
    await store.backup(copy);
    await writes;
    const lost = await store.changes.version();
    // A store's versions begin with the clock: writes that came faster than its milliseconds are caught up with first.
    await expect.poll(() => Date.now()).toBeGreaterThan(lost);
    await store.close();
    expect(statSync(copy).mode & 0o777).toBe(0o600);

    const restored = join(directory, "restored.db");
    // As it is after a download.
    chmodSync(copy, 0o644);
    await restore(copy, restored, [key]);
    expect(statSync(restored).mode & 0o777).toBe(0o600);
    const again = await openStore({ path: restored, masterKeys });
    const found = await names(again);
    expect(found.filter((name) => name.startsWith("BEFORE_"))).toHaveLength(20);
    // Proxies that follow the lost store start anew.
    expect(await again.changes.version()).toBeGreaterThan(lost);
    expect(await again.changes.since(lost, 10)).toMatchObject({ kind: "too-old" });
    await put(again, "AFTER");
    await again.close();
  });

  it("never overwrites, neither when taken nor when restored", async () => {
    const store = await openStore({ path, masterKeys });
    const copy = join(directory, "copy.db");
    await store.backup(copy);
    await expect(store.backup(copy)).rejects.toMatchObject({ code: "cannot-open" });
    await store.close();
    await expect(restore(copy, path, [key])).rejects.toMatchObject({ code: "cannot-open" });
  });

  it("is not restored with a wrong key or when damaged, and leaves nothing behind", async () => {
    const store = await openStore({ path, masterKeys });
    for (let at = 0; at < 200; at++) await put(store, `A_${at}`);
    const copy = join(directory, "copy.db");
    await store.backup(copy);
    await store.close();
    const target = join(directory, "restored.db");
    await expect(restore(copy, target, [makeMasterKey()])).rejects.toMatchObject({ code: "master-key" });
    truncateSync(copy, Math.floor(statSync(copy).size / 2 / 4096) * 4096);
    await expect(restore(copy, target, [key])).rejects.toMatchObject({ code: "corrupt" });
    await expect(restore(join(directory, "none.db"), target, [key])).rejects.toMatchObject({ code: "cannot-open" });
    for (const suffix of ["", ".partial", ".partial-wal", ".partial-shm"])
      expect(existsSync(target + suffix)).toBe(false);
  });
});

const noDisk = canMount();
describe.skipIf(noDisk !== undefined)(`a full disk${noDisk === undefined ? "" : ` (skipped: ${noDisk})`}`, () => {
  it("answers 507, loses nothing, and goes on when there is room again", async () => {
    using disk = new SmallDisk("1m");
    const file = join(disk.path, "keyswap.db");
    const api = await startSecretApi({ openStore: () => openStore({ path: file, masterKeys }) });
    const answered: string[] = [];
    let refusal: { status: number; body: { message: string } } | undefined;
    for (let at = 0; at < 500 && refusal === undefined; at++) {
      const name = `FULL_${at}`;
      const answer = await api.call("POST", "/secret", { name, value: "x".repeat(8_000) });
      if (answer.status === 201) answered.push(name);
      else refusal = answer;
    }
    expect(refusal).toMatchObject({ status: 507, body: { message: expect.stringContaining("full") } });
    expect(answered.length).toBeGreaterThan(3);
    const there = () =>
      api.call("GET", "/secret").then(({ body }) => body.map((each: { name: string }) => each.name).sort());
    expect(await there()).toEqual([...answered].sort());

    disk.resize("4m");
    expect((await api.call("POST", "/secret", { name: "ROOM", value: "v" })).status).toBe(201);
    await api.close();
    const again = await openStore({ path: file, masterKeys });
    expect((await names(again)).sort()).toEqual([...answered, "ROOM"].sort());
    await again.close();
  });
});
