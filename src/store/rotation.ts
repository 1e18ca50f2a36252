// Changing the master key while the store is in use: values under other keys are sealed anew under the current one, in
// small transactions; a key that no value needs any more is struck from the record, so that starts stop asking for it.
//
// With several replicas every one of them must have the new key before the first has it as its current one.

import type { KeyRing } from "./key-ring.ts";
import { valueBinding } from "./secret-table.ts";
import { bytes, integer, type Sql, text } from "./sql.ts";

const BATCH = 100;

/** How many values were sealed anew, and which keys are needed no more. */
export interface Rotation {
  readonly resealed: number;
  readonly retired: readonly string[];
}

export async function rotateMasterKey(sql: Sql, ring: KeyRing): Promise<Rotation> {
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
    // A replica that still has the old key as its current one may write in between: then the record stays.
    const struck = await sql.write((tx) =>
      tx.run(
        "DELETE FROM master_keys WHERE id = ? AND NOT EXISTS (SELECT 1 FROM secrets WHERE key_id = ?)",
        keyId,
        keyId,
      ),
    );
    if (struck > 0) retired.push(keyId);
  }
  return { resealed, retired };
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
