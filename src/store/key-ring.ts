// The master keys at hand, and the record in the database of which keys its values need.
//
// Each key in use has a check box in the table: a constant sealed under it. A start with a wrong or missing key fails
// there, before anything is written, and says which key is asked for. A key that was retired leaves a mark and never seals
// again: its holder may have it no more, and who still goes on with it must not write what then nobody can open.

import type { Clock } from "../core/ports.ts";
import { getCounter, setCounter } from "./change-table.ts";
import { bindTo, type MasterKey, open, seal } from "./envelope.ts";
import { bytes, Rollback, type Sql, type SqlReader, type SqlWriter, text } from "./sql.ts";
import { StoreError } from "./store-error.ts";

const CHECK = Buffer.from("keyswap master key", "utf8");

/** At least one; the first seals. */
export type MasterKeys = readonly [MasterKey, ...MasterKey[]];

export class KeyRing {
  #current: MasterKey;
  #keys: ReadonlyMap<string, MasterKey>;
  readonly #clock: Clock;

  private constructor(keys: MasterKeys, clock: Clock) {
    this.#current = keys[0];
    this.#keys = byId(keys);
    this.#clock = clock;
  }

  /** Throws a StoreError (`master-key`) where a key that the database needs is missing or is not the one it was. */
  static async open(sql: Sql, keys: MasterKeys, clock: Clock): Promise<KeyRing> {
    const ring = new KeyRing(keys, clock);
    await ring.use(sql, keys);
    return ring;
  }

  get current(): MasterKey {
    return this.#current;
  }

  /** From here on these keys count. Throws as `open` does, and then changes nothing. */
  async use(sql: Sql, keys: MasterKeys): Promise<void> {
    const [before, beforeKeys] = [this.#current, this.#keys];
    const fault = await sql
      .write(async (tx) => {
        const problem = await problemOf(tx, byId(keys));
        if (problem !== undefined) throw new Rollback(problem);
        // In the transaction, after which the first write may seal with it.
        [this.#current, this.#keys] = [keys[0], byId(keys)];
        await this.register(tx);
        return undefined;
      })
      .catch((error: unknown) => {
        [this.#current, this.#keys] = [before, beforeKeys];
        throw error;
      });
    if (fault !== undefined) throw new StoreError("master-key", fault);
  }

  /**
   * Notes that the current key is in use; call it in every transaction that seals. Throws a StoreError (`master-key`) where
   * it was retired.
   */
  async register(tx: SqlWriter): Promise<void> {
    if ((await tx.get("SELECT id FROM master_keys WHERE id = ?", this.#current.id)) !== undefined) return;
    if ((await getCounter(tx, retirementOf(this.#current.id))) !== 0) {
      throw new StoreError(
        "master-key",
        `Master key "${this.#current.id}" was retired: nothing is written under it. Start again with the keys as they are now; a new one needs an id of its own.`,
      );
    }
    await tx.run(
      "INSERT INTO master_keys (id, check_box, created_at) VALUES (?, ?, ?)",
      this.#current.id,
      seal(this.#current, CHECK, bindTo("check", this.#current.id)),
      this.#clock(),
    );
  }

  /** Strikes a key from the record, for good; false where values need it. */
  async retire(tx: SqlWriter, keyId: string): Promise<boolean> {
    const struck = await tx.run(
      "DELETE FROM master_keys WHERE id = ? AND NOT EXISTS (SELECT 1 FROM secrets WHERE key_id = ?)",
      keyId,
      keyId,
    );
    if (struck > 0) await setCounter(tx, retirementOf(keyId), this.#clock());
    return struck > 0;
  }

  seal(plaintext: Uint8Array, boundTo: Buffer): Buffer {
    return seal(this.#current, plaintext, boundTo);
  }

  open(keyId: string, box: Uint8Array, boundTo: Buffer): Buffer {
    const key = this.#keys.get(keyId);
    if (key === undefined)
      throw new StoreError("master-key", `A value needs master key "${keyId}", which this process was not given.`);
    const plaintext = open(key, box, boundTo);
    if (plaintext === undefined)
      throw new StoreError("corrupt", `A value does not open with master key "${keyId}": its row was altered.`);
    return plaintext;
  }
}

/** The counter that holds when the key was retired. */
function retirementOf(keyId: string): string {
  return `master_key_retired_at ${keyId}`;
}

function byId(keys: MasterKeys): ReadonlyMap<string, MasterKey> {
  return new Map(keys.map((key) => [key.id, key]));
}

/** Why these keys do not fit the database; undefined where they do. */
async function problemOf(reader: SqlReader, keys: ReadonlyMap<string, MasterKey>): Promise<string | undefined> {
  for (const row of await reader.all("SELECT id, check_box FROM master_keys ORDER BY created_at, id")) {
    const id = text(row, "id");
    const key = keys.get(id);
    const remedy = "Nothing was changed. Start with the key it was made with; without it its values are lost.";
    if (key === undefined)
      return `The database needs master key "${id}", which is not among those given (${[...keys.keys()].join(", ")}). ${remedy}`;
    const check = open(key, bytes(row, "check_box"), bindTo("check", id));
    if (check === undefined || !check.equals(CHECK))
      return `Master key "${id}" is not the one that the database was encrypted with. ${remedy}`;
  }
  return undefined;
}
