// Changing the master key while the store is in use: values under other keys are sealed anew under the current one, in
// small transactions; a key that no value needs any more is struck from the record, so that starts stop asking for it.
//
// With several replicas every one of them must have the new key before the first has it as its current one.

import type { MasterKeyRecord, MasterKeyRotation } from "../core/store.ts";
import type { KeyRing } from "./key-ring.ts";
import { valueBinding } from "./secret-table.ts";
import { bytes, integer, type Sql, type SqlReader, text } from "./sql.ts";

const BATCH = 100;

/** The keys that values are sealed under, oldest first. */
export async function listMasterKeys(sql: SqlReader, ring: KeyRing): Promise<readonly MasterKeyRecord[]> {
  const rows = await sql.all(
    `SELECT id, created_at, (SELECT count(*) FROM secrets WHERE key_id = master_keys.id) AS sealed
     FROM master_keys ORDER BY created_at, id`,
  );
  return rows.map((row) => ({
    id: text(row, "id"),
    createdAt: integer(row, "created_at"),
    isCurrent: text(row, "id") === ring.current.id,
    values: integer(row, "sealed"),
  }));
}

export async function rotateMasterKey(sql: Sql, ring: KeyRing): Promise<MasterKeyRotation> {
  const current = ring.current.id;
  const rows = await sql.all("SELECT id FROM master_keys WHERE id <> ? ORDER BY id", current);
  const retired: string[] = [];
  let resealed = 0;
  for (const keyId of rows.map((row) => text(row, "id"))) {
    for (let done = false; !done; ) {
      const count = await resealSome(sql, ring, keyId);
      resealed += count;
      done = count === 0;
    }
    // Who still has the old key as the current one may write in between: then the record stays.
    if (await sql.write((tx) => ring.retire(tx, keyId))) retired.push(keyId);
  }
  return { current, resealed, retired };
}

/** Seals up to a batch of values anew; returns how many there were. */
function resealSome(sql: Sql, ring: KeyRing, keyId: string): Promise<number> {
  return sql.write(async (tx) => {
    await ring.register(tx);
    const rows = await tx.all("SELECT * FROM secrets WHERE key_id = ? ORDER BY id LIMIT ?", keyId, BATCH);
    for (const row of rows) {
      const boundTo = valueBinding(text(row, "organization_id"), text(row, "id"), integer(row, "value_version"));
      const plaintext = ring.open(keyId, bytes(row, "box"), boundTo);
      await tx.run(
        "UPDATE secrets SET key_id = ?, box = ? WHERE id = ?",
        ring.current.id,
        ring.seal(plaintext, boundTo),
        text(row, "id"),
      );
      plaintext.fill(0);
    }
    return rows.length;
  });
}
