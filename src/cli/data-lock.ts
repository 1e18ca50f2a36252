// Who has a data folder. Two locks:
//
//   lock        the one keyswap with a Secret API that others find there; whoever rotates or restores has it, too
//   store-lock  shared by commands that open the store themselves; whoever replaces the store has it alone
//
// A lock is SQLite's own on a file of ours: the kernel holds it for the process, so that nothing stays behind when the
// process is killed, and no process id has to be guessed about.

import { chmodSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { CliError } from "./command.ts";
import { codeOf, type DataFolder } from "./data-folder.ts";

/** Throws CliError where another keyswap has this folder. */
export function lockDataFolder(folder: DataFolder): DataLock {
  const lock = DataLock.tryAcquire(folder.path);
  if (lock !== undefined) {
    // Of a process that was killed: it must not be taken for ours while we start.
    folder.removeRunRecord();
    return lock;
  }
  const other = folder.readRunRecord();
  const details = other === undefined ? "" : ` (process ${other.pid}, ${other.api})`;
  throw new CliError(2, `another keyswap runs on ${folder.path}${details}`, {
    hint: "End it first, or set KEYSWAP_DATA_DIR to a folder of its own.",
  });
}

/** For a command that opens the store itself, as others may. Throws CliError where the store is being replaced. */
export function shareStore(folder: DataFolder): DataLock {
  const lock = DataLock.tryAcquire(folder.path, "store-lock", "shared");
  if (lock !== undefined) return lock;
  throw new CliError(1, `the store in ${folder.path} is being restored`, {
    hint: "Try again when it has ended. Nothing was changed.",
  });
}

/** For replacing the store. Throws CliError where a command has it open. */
export function takeStore(folder: DataFolder): DataLock {
  const lock = DataLock.tryAcquire(folder.path, "store-lock");
  if (lock !== undefined) return lock;
  throw new CliError(1, `another keyswap command works on the store in ${folder.path}`, {
    hint: "Try again when it has ended. Nothing was changed.",
  });
}

export class DataLock {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Undefined where somebody else has it. Throws CliError where the folder cannot be written. */
  static tryAcquire(
    dataDir: string,
    name: "lock" | "store-lock" = "lock",
    kind: "exclusive" | "shared" = "exclusive",
  ): DataLock | undefined {
    const path = join(dataDir, name);
    let database: DatabaseSync;
    try {
      database = new DatabaseSync(path);
    } catch (error) {
      throw new CliError(2, `${path} cannot be written (${codeOf(error)})`, {
        hint: "Give this user the data folder, or set KEYSWAP_DATA_DIR to another.",
        cause: error,
      });
    }
    try {
      // Nothing is ever written: no journal, no content.
      database.exec("PRAGMA journal_mode = MEMORY; PRAGMA busy_timeout = 0");
      // A reader's lock comes with its first statement.
      database.exec(kind === "exclusive" ? "BEGIN EXCLUSIVE" : "BEGIN; SELECT count(*) FROM sqlite_schema");
      chmodSync(path, 0o600);
      return new DataLock(database);
    } catch (error) {
      database.close();
      if (error instanceof Error && /locked|busy/i.test(error.message)) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
