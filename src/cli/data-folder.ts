// The data folder: its layout, and the keys that are made there on the first start.
//
//   keyswap.db        SQLite             api-key, proxy-key, master-key   made once, 0600, never overwritten
//   lock, store-lock  see data-lock.ts   run.json                         where the running keyswap is reached
//   audit.jsonl       the audit log

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SecretValue } from "../core/secret-value.ts";
import { CliError } from "./cli-error.ts";
import { codeOf } from "./errno.ts";
import { makeFolder } from "./make-folder.ts";
import { writeNewFile } from "./new-file.ts";

export { codeOf } from "./errno.ts";

/** Of the file beside the master key's that keeps retired ones. */
export const RETIRED_SUFFIX = ".retired";

export type KeyFile = "api-key" | "proxy-key";

/** How a running keyswap is reached: `run.json`. */
export interface RunRecord {
  readonly pid: number;
  /** With `/api`. */
  readonly api: string;
  /** Absent where only the API runs. */
  readonly proxy?: string;
}

export class DataFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes the folder where it is missing, for its owner alone. */
  static open(path: string): DataFolder {
    try {
      makeFolder(path);
    } catch (error) {
      throw new CliError(2, `the data folder ${path} cannot be made (${codeOf(error)})`, {
        hint: "Set KEYSWAP_DATA_DIR to a folder that can be written.",
        cause: error,
      });
    }
    return new DataFolder(path);
  }

  get databasePath(): string {
    return join(this.path, "keyswap.db");
  }

  pathOf(name: KeyFile | "master-key" | "run.json"): string {
    return join(this.path, name);
  }

  /** The key in this file, or undefined where there is no such file. */
  readKey(name: KeyFile): SecretValue | undefined {
    const text = this.#read(name);
    return text === undefined ? undefined : new SecretValue(name, text);
  }

  /** The key in this file, made now where there is none. */
  openKey(name: KeyFile): SecretValue {
    return new SecretValue(
      name,
      this.#open(name, () => randomBytes(32).toString("base64url")),
    );
  }

  /** `id:base64`. Refuses to make one for a database that was encrypted with another. */
  openMasterKey(): string {
    const name = "master-key";
    // In this order: somebody who starts at the same time writes the key before the database.
    const isOld = existsSync(this.databasePath);
    if (isOld && this.#read(name) === undefined) {
      throw new CliError(2, `there is a database but no master key: ${this.pathOf(name)} is missing`, {
        hint: "Put that file back, or set KEYSWAP_MASTER_KEY; without its key the database's values cannot be read.\nNothing was changed.",
      });
    }
    return this.#open(name, () => `k${Date.now().toString(36)}:${randomBytes(32).toString("base64")}`);
  }

  /** The keys in use and, behind them, those that were retired: what an old backup may need. Makes none. */
  readMasterKeys(): string {
    const inUse = this.#read("master-key");
    if (inUse === undefined) {
      throw new CliError(2, `there is no master key: ${this.pathOf("master-key")} is missing`, {
        hint: "Put that file back, or give the key with --master-key-file or KEYSWAP_MASTER_KEY.\nNothing was changed.",
      });
    }
    const ids = new Set(inUse.split(",").map(idOf));
    const retired = (this.#read(`master-key${RETIRED_SUFFIX}`) ?? "").split("\n").filter((line) => line !== "");
    const others = new Map(retired.map((line) => [idOf(line), line]));
    return [inUse, ...[...others].flatMap(([id, line]) => (ids.has(id) ? [] : [line]))].join(",");
  }

  writeRunRecord(record: RunRecord): void {
    const path = this.pathOf("run.json");
    writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  removeRunRecord(): void {
    rmSync(this.pathOf("run.json"), { force: true });
  }

  readRunRecord(): RunRecord | undefined {
    try {
      const record: unknown = JSON.parse(readFileSync(this.pathOf("run.json"), "utf8"));
      if (typeof record !== "object" || record === null) return undefined;
      const { pid, api, proxy } = record as Record<string, unknown>; // each is checked on the next line
      if (typeof pid !== "number" || typeof api !== "string") return undefined;
      return typeof proxy === "string" ? { pid, api, proxy } : { pid, api };
    } catch {
      return undefined;
    }
  }

  #open(name: KeyFile | "master-key", make: () => string): string {
    const known = this.#read(name);
    if (known !== undefined) return known;
    try {
      writeNewFile(this.pathOf(name), `${make()}\n`);
    } catch (error) {
      // Whoever came first wins.
      if (codeOf(error) !== "EEXIST") {
        throw new CliError(2, `${this.pathOf(name)} cannot be written (${codeOf(error)})`, {
          hint: "Set KEYSWAP_DATA_DIR to a folder that can be written.",
          cause: error,
        });
      }
    }
    const made = this.#read(name);
    if (made === undefined) throw new CliError(1, `${this.pathOf(name)} vanished right after it was made`);
    return made;
  }

  #read(name: KeyFile | "master-key" | `master-key${typeof RETIRED_SUFFIX}`): string | undefined {
    const path = join(this.path, name);
    let text: string;
    try {
      text = readFileSync(path, "utf8").trim();
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw new CliError(2, `${path} cannot be read (${codeOf(error)})`, {
        hint: "Give its owner and permissions back, or set the variable instead. Nothing was changed.",
        cause: error,
      });
    }
    if (text === "") throw new CliError(2, `${path} is empty`, { hint: "Put the key back. Nothing was changed." });
    return text;
  }
}

/** Of `id:base64`. */
function idOf(key: string): string {
  return key.slice(0, Math.max(0, key.indexOf(":")));
}
