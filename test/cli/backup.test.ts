// Backup and restore by the command line, while keyswap runs and from nothing.

import { cpSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { DataFolder } from "../../src/cli/data-folder.ts";
import { takeStore } from "../../src/cli/data-lock.ts";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

const create = (bench: Workbench, name: string) =>
  bench.runHere(["secret", "create", name, "--host", "a.example", "--value-stdin"], { input: `value of ${name}` });

async function names(bench: Workbench): Promise<string[]> {
  const { stdout, stderr } = await bench.runHere(["secret", "list", "--json"]);
  expect(stderr).toBe("");
  return (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name);
}

test("a copy taken while keyswap runs and is written to brings everything back on another machine", async () => {
  await using bench = makeWorkbench();
  const keyswap = await bench.start(["api"]);
  for (const name of ["ONE", "TWO"]) expect((await create(bench, name)).code).toBe(0);
  const copy = join(bench.env.HOME!, "copy.db");
  const writes = Promise.all(["LATER_1", "LATER_2", "LATER_3"].map((name) => create(bench, name)));
  const taken = await bench.runHere(["backup", copy, "--json"]);
  await writes;
  expect([taken.code, taken.stderr]).toEqual([0, ""]);
  expect(JSON.parse(taken.stdout)).toEqual({ path: copy, bytes: statSync(copy).size });
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  expect((await bench.runHere(["backup", copy])).stderr).toContain("never overwrites");
  await keyswap.stop();

  await using other = makeWorkbench();
  expect((await other.runHere(["restore", copy])).stderr).toContain("no master key");
  expect(existsSync(join(other.dataDir, "keyswap.db"))).toBe(false);
  cpSync(join(bench.dataDir, "master-key"), join(other.dataDir, "master-key"));
  const restored = await other.runHere(["restore", copy]);
  expect([restored.code, restored.stderr]).toEqual([0, ""]);
  expect(await names(other)).toEqual(expect.arrayContaining(["ONE", "TWO"]));
  expect(readdirSync(other.dataDir).filter((name) => name.includes("partial"))).toEqual([]);
});

test("a store that is there is put aside only with --replace, never while a keyswap runs on it", async () => {
  await using bench = makeWorkbench();
  await create(bench, "BEFORE");
  const copy = join(bench.env.HOME!, "copy.db");
  expect((await bench.runHere(["backup", copy])).code).toBe(0);
  await create(bench, "AFTER");
  expect((await bench.runHere(["restore", copy])).stderr).toContain("--replace");
  const keyswap = await bench.start(["api"]);
  const running = await bench.runHere(["restore", copy, "--replace"]);
  expect([running.code, running.stderr.includes("another keyswap runs")]).toEqual([2, true]);
  // Killed: its log was not folded into the database.
  await keyswap.stop("SIGKILL");
  expect(await names(bench)).toEqual(["AFTER", "BEFORE"]);
  const restored = await bench.runHere(["restore", copy, "--replace"]);
  expect(restored.code).toBe(0);
  expect(await names(bench)).toEqual(["BEFORE"]);
  const aside = /is (\S+) now/.exec(restored.stderr)?.[1] ?? "none";
  await using before = makeWorkbench();
  mkdirSync(before.dataDir, { mode: 0o700 });
  cpSync(join(bench.dataDir, "master-key"), join(before.dataDir, "master-key"));
  for (const suffix of ["", "-wal"]) {
    if (existsSync(aside + suffix)) cpSync(aside + suffix, join(before.dataDir, `keyswap.db${suffix}`));
  }
  expect(await names(before)).toEqual(["AFTER", "BEFORE"]);
});

test("a store is not replaced beneath a command that works on it itself, nor used while it is replaced", async () => {
  await using bench = makeWorkbench();
  await create(bench, "BEFORE");
  const copy = join(bench.env.HOME!, "copy.db");
  await bench.runHere(["backup", copy]);
  const restore = () => bench.runHere(["restore", copy, "--replace"]);
  const commands = [
    ["audit", "--of", "changes", "--follow", "--json"],
    ["run", "--", "sh", "-c", "echo begun; exec sleep 600"],
  ];
  for (const args of commands) {
    const using = bench.launch(args);
    await using.firstLine();
    const refused = await restore();
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/works on the store.*when it has ended/s),
    ]);
    // Others may.
    expect((await create(bench, `BESIDE_${args[0]?.toUpperCase()}`)).code).toBe(0);
    using.child.kill("SIGTERM");
    await using.ended;
  }
  expect(await names(bench)).toEqual(["BEFORE", "BESIDE_AUDIT", "BESIDE_RUN"]);
  {
    using _restoring = takeStore(DataFolder.open(bench.dataDir));
    const refused = await create(bench, "LOST");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/is being restored.*when it has ended/s)]);
  }
  expect((await restore()).code).toBe(0);
  expect(await names(bench)).toEqual(["BEFORE"]);
});

test("a backup from before a change of the master key comes back under the new one", async () => {
  await using bench = makeWorkbench();
  await create(bench, "OLD");
  const copy = join(bench.env.HOME!, "copy.db");
  await bench.runHere(["backup", copy]);
  expect((await bench.runHere(["master-key", "rotate"])).code).toBe(0);
  expect((await bench.runHere(["restore", copy, "--replace"])).code).toBe(0);
  const keys = JSON.parse((await bench.runHere(["master-key", "list", "--json"])).stdout);
  expect(keys).toMatchObject([{ isCurrent: true, values: 1 }]);
  expect(await names(bench)).toEqual(["OLD"]);
});

test("what is no backup is refused, and the store stays", async () => {
  await using bench = makeWorkbench();
  await create(bench, "KEPT");
  const file = join(bench.env.HOME!, "notes.txt");
  writeFileSync(file, "these are notes, no database".repeat(200));
  const refused = await bench.runHere(["restore", file, "--replace"]);
  expect(refused.code).toBe(2);
  expect(await names(bench)).toEqual(["KEPT"]);
  expect((await bench.runHere(["restore", join(bench.env.HOME!, "none")])).code).toBe(1);
  const postgres = {
    env: { KEYSWAP_DATABASE_URL: "postgres://a.example/b", KEYSWAP_MASTER_KEY: `k:${"A".repeat(43)}=` },
  };
  expect((await bench.runHere(["backup", file], postgres)).stderr).toContain("pg_dump");
  expect((await bench.runHere(["restore", file], postgres)).stderr).toContain("pg_restore");
});
