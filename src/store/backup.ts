// Backup and restore of a SQLite store. A backup is a database file like the original: values in it are sealed, so it is
// worth nothing without the master keys, and they are worth nothing without it. Keep them apart.

import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../core/ports.ts";
import { restartVersions } from "./change-table.ts";
import { KeyRing, type MasterKeys } from "./key-ring.ts";
import { rotateMasterKey } from "./rotation.ts";
import { copyDatabase, SqliteDatabase } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

/** Writes a consistent copy into a new file, while the store is in use. Never overwrites. */
export function backUp(database: SqliteDatabase, path: string): Promise<void> {
  return writeBackup(path, (partial) => database.backup(partial));
}

/** As `backUp`, of a store that this process has not opened; another one may use it. */
export async function backUpFile(databasePath: string, path: string): Promise<void> {
  if (!existsSync(databasePath)) throw new StoreError("cannot-open", `There is no database ${databasePath}.`);
  await writeBackup(path, (partial) => copyDatabase(databasePath, partial));
}

async function writeBackup(path: string, copy: (partial: string) => Promise<void>): Promise<void> {
  if (existsSync(path)) throw new StoreError("cannot-open", `${path} exists already; a backup never overwrites.`);
  const partial = `${path}.partial`;
  rmSync(partial, { force: true });
  try {
    closeSync(openSync(partial, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600));
    await copy(partial);
    settle(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error instanceof StoreError
      ? error
      : new StoreError("cannot-open", `The backup ${path} could not be written.`, { cause: error });
  }
}

/**
 * Makes a store at `path` out of a backup: checked as a whole and against the master keys first, in place only when all is
 * well. Its values are sealed under the current key then. `replace`: a store that is there is put aside; answers where.
 * Proxies that knew the lost store are told to start anew.
 */
export async function restore(
  backup: string,
  path: string,
  masterKeys: MasterKeys,
  { replace = false, clock = Date.now }: { readonly replace?: boolean; readonly clock?: Clock } = {},
): Promise<string | undefined> {
  if (!replace && existsSync(path))
    throw new StoreError("cannot-open", `${path} exists already; a restore never overwrites.`);
  const partial = `${path}.partial`;
  const clean = () => {
    for (const suffix of fileSuffixes) rmSync(partial + suffix, { force: true });
  };
  clean();
  try {
    closeSync(openSync(partial, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600));
    copyFileSync(backup, partial);
    // The copy has taken the backup's.
    chmodSync(partial, 0o600);
    const database = new SqliteDatabase(partial, clock);
    try {
      const problem = database.integrityProblem();
      if (problem !== undefined) throw new StoreError("corrupt", "The backup is damaged.");
      const ring = await KeyRing.open(database, masterKeys, clock);
      // So that the next start needs no key that has been retired since.
      await rotateMasterKey(database, ring);
      await database.write((tx) => restartVersions(tx, clock));
    } finally {
      await database.close();
    }
    const aside = putAside(path, clock());
    settle(partial, path);
    return aside;
  } catch (error) {
    clean();
    throw error instanceof StoreError
      ? error
      : new StoreError("cannot-open", `The backup ${backup} could not be restored.`, { cause: error });
  }
}

/** A database's own file, its write-ahead log and the log's index: they belong together. */
const fileSuffixes = ["", "-wal", "-shm"] as const;

/** Gives a store's files another name, under which it is a store still; undefined where there is none. */
function putAside(path: string, now: number): string | undefined {
  const aside = `${path}.replaced-${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`;
  const there = fileSuffixes.filter((suffix) => existsSync(path + suffix));
  // The log first: without its database it is nothing, but a database must not find another one's log.
  for (const suffix of there.toReversed()) renameSync(path + suffix, aside + suffix);
  return there.length === 0 ? undefined : aside;
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
