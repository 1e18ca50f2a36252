// Versions and what each of them changed. A write that draws a version calls `appendChange` in the same transaction, so
// that the global version is always the version of the last change.

import type { Clock } from "../core/ports.ts";
import type { Change, ChangeLog, ChangesAnswer } from "../core/store.ts";
import { integer, json, type Sql, type SqlReader, type SqlWriter, text, textOrNull } from "./sql.ts";

/** Beyond this many sandboxes a change names none of them, but the secret that they have in common. */
const MAX_NAMED_SANDBOXES = 1_000;

export async function appendChange(
  tx: SqlWriter,
  change: Omit<Change, "placeholder"> & Partial<Pick<Change, "placeholder">>,
): Promise<void> {
  const named = change.sandboxes !== null && change.sandboxes.length <= MAX_NAMED_SANDBOXES;
  await tx.run(
    "INSERT INTO changes (version, organization_id, sandboxes, placeholder, sources) VALUES (?, ?, ?, ?, ?)",
    change.version,
    change.organizationId,
    named ? JSON.stringify(change.sandboxes) : null,
    named ? null : (change.placeholder ?? null),
    change.sources ? 1 : 0,
  );
  if (change.sources) await setCounter(tx, "sources_version", change.version);
}

export async function getCounter(reader: SqlReader, name: string): Promise<number> {
  const row = await reader.get("SELECT number FROM counters WHERE name = ?", name);
  return row === undefined ? 0 : integer(row, "number");
}

export async function setCounter(tx: SqlWriter, name: string, number: number): Promise<void> {
  await tx.run(
    "INSERT INTO counters (name, number) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = excluded.number",
    name,
    number,
  );
}

/**
 * After a restore: versions go on beyond all that were ever given out, and nobody can resume from before. The clock's
 * milliseconds outrun a counter that rises by one a write.
 */
export async function restartVersions(tx: SqlWriter, clock: Clock): Promise<void> {
  const next = Math.max((await getCounter(tx, "version")) + 1, clock());
  await tx.run("DELETE FROM changes");
  for (const name of ["version", "sources_version", "changes_pruned_to"]) await setCounter(tx, name, next);
}

export class ChangeTable implements ChangeLog {
  readonly #sql: Sql;

  private constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** A new database's versions start at the clock, so that no proxy takes them for another database's. */
  static async open(sql: Sql, clock: Clock): Promise<ChangeTable> {
    await sql.write(async (tx) => {
      if ((await getCounter(tx, "version")) !== 0) return;
      const start = clock();
      await setCounter(tx, "version", start);
      await setCounter(tx, "sources_version", start);
      await setCounter(tx, "changes_pruned_to", start);
    });
    return new ChangeTable(sql);
  }

  version(): Promise<number> {
    return getCounter(this.#sql, "version");
  }

  async since(version: number, limit: number): Promise<ChangesAnswer> {
    const rows = await this.#sql.all(
      `SELECT version, organization_id, sandboxes, placeholder, sources FROM changes WHERE version > ?
         ORDER BY version LIMIT ?`,
      version,
      limit,
    );
    // Read after the rows: pruning in between is then seen.
    const oldest = await getCounter(this.#sql, "changes_pruned_to");
    const current = await this.version();
    if (version < oldest || version > current) return { kind: "too-old", version: current };
    return {
      kind: "changes",
      changes: rows.map((row) => ({
        version: integer(row, "version"),
        organizationId: text(row, "organization_id"),
        sandboxes: row.sandboxes === null ? null : json<string[]>(row, "sandboxes"),
        placeholder: textOrNull(row, "placeholder"),
        sources: integer(row, "sources") === 1,
      })),
    };
  }

  subscribe(listener: (version: number) => void): () => void {
    return this.#sql.subscribe(listener);
  }

  async prune(keep: number): Promise<void> {
    const last = (await this.version()) - keep;
    const row = await this.#sql.get("SELECT version FROM changes WHERE version <= ? LIMIT 1", last);
    if (row === undefined) return;
    await this.#sql.write(async (tx) => {
      // Another replica may have come further meanwhile.
      if ((await getCounter(tx, "changes_pruned_to")) >= last) return;
      await tx.run("DELETE FROM changes WHERE version <= ?", last);
      await setCounter(tx, "changes_pruned_to", last);
    });
  }
}
