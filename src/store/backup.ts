// Backup and restore of a SQLite store. A backup is a database file like the original: values in it are sealed, so it is
// worth nothing without the master keys, and they are worth nothing without it. Keep them apart.

import { closeSync, constants, copyFileSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../core/ports.ts";
import { restartVersions } from "./change-table.ts";
import type { MasterKey } from "./envelope.ts";
import { KeyRing } from "./key-ring.ts";
import { SqliteDatabase } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

/** Writes a consistent copy into a new file, while the store is in use. Never overwrites. */
export async function backUp(database: SqliteDatabase, path: string): Promise<void> {
  if (existsSync(path)) throw new StoreError("cannot-open", `${path} exists already; a backup never overwrites.`);
  const partial = `${path}.partial`;
  rmSync(partial, { force: true });
  try {
    closeSync(openSync(partial, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600));
    await database.backup(partial);
    settle(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error instanceof StoreError
      ? error
      : new StoreError("cannot-open", `The backup ${path} could not be written.`, { cause: error });
  }
}

/**
 * Makes a new store at `path` out of a backup: checked as a whole and against the master keys first, in place only when
 * all is well. Never overwrites. Proxies that knew the lost store are told to start anew.
 */
export async function restore(
  backup: string,
  path: string,
  masterKeys: readonly [MasterKey, ...MasterKey[]],
  clock: Clock = Date.now,
): Promise<void> {
  if (existsSync(path)) throw new StoreError("cannot-open", `${path} exists already; a restore never overwrites.`);
  const partial = `${path}.partial`;
  const clean = () => {
    for (const suffix of ["", "-wal", "-shm"]) rmSync(partial + suffix, { force: true });
  };
  clean();
  try {
    closeSync(openSync(partial, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600));
    copyFileSync(backup, partial);
    const database = new SqliteDatabase(partial, clock);
    try {
      const problem = database.integrityProblem();
      if (problem !== undefined) throw new StoreError("corrupt", "The backup is damaged.");
      await KeyRing.open(database, masterKeys, clock);
      await database.write((tx) => restartVersions(tx, clock));
    } finally {
      await database.close();
    }
    settle(partial, path);
  } catch (error) {
    clean();
    throw error instanceof StoreError
      ? error
      : new StoreError("cannot-open", `The backup ${backup} could not be restored.`, { cause: error });
  }
}

/** Makes the file durable under its final name. */
function settle(partial: string, path: string): void {
  sync(partial);
  renameSync(partial, path);
  sync(dirname(path));
}

function sync(path: string): void {
  const file = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
