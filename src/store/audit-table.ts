// Who did what, when. Entries of writes are made in the write's own transaction with `appendAudit`.

import type { AuditEntry, AuditQuery, AuditRecord, AuditStore } from "../core/store.ts";
import { integer, json, type Row, type Sql, type SqlValue, type SqlWriter, text, textOrNull } from "./sql.ts";

export async function appendAudit(tx: SqlWriter, entry: AuditEntry): Promise<void> {
  await tx.run(
    `INSERT INTO audit (time, organization_id, actor_kind, actor_name, action, target_type, target_id, target_name, details)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    entry.time,
    entry.organizationId,
    entry.actor.kind,
    entry.actor.name,
    entry.action,
    entry.targetType,
    entry.targetId,
    entry.targetName,
    JSON.stringify(entry.details),
  );
}

export class AuditTable implements AuditStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  async record(entries: readonly AuditEntry[]): Promise<void> {
    if (entries.length === 0) return;
    await this.#sql.write(async (tx) => {
      for (const entry of entries) await appendAudit(tx, entry);
    });
  }

  async list(query: AuditQuery): Promise<{ readonly items: readonly AuditRecord[]; readonly more: boolean }> {
    const where = ["organization_id = ?"];
    const values: SqlValue[] = [query.organizationId];
    const narrow = (condition: string, value: SqlValue | undefined): void => {
      if (value === undefined) return;
      where.push(condition);
      values.push(value);
    };
    narrow("id < ?", query.before);
    narrow("action = ?", query.action);
    narrow("target_id = ?", query.targetId);
    narrow("time >= ?", query.from);
    narrow("time < ?", query.to);
    const rows = await this.#sql.all(
      `SELECT * FROM audit WHERE ${where.join(" AND ")} ORDER BY id DESC LIMIT ?`,
      ...values,
      query.limit + 1,
    );
    return { items: rows.slice(0, query.limit).map(auditRecord), more: rows.length > query.limit };
  }

  async prune(time: number): Promise<number> {
    if ((await this.#sql.get("SELECT id FROM audit WHERE time < ? LIMIT 1", time)) === undefined) return 0;
    return this.#sql.write((tx) => tx.run("DELETE FROM audit WHERE time < ?", time));
  }
}

function auditRecord(row: Row): AuditRecord {
  return {
    id: integer(row, "id"),
    time: integer(row, "time"),
    organizationId: textOrNull(row, "organization_id"),
    // The column holds what appendAudit wrote there.
    actor: { kind: text(row, "actor_kind") as AuditRecord["actor"]["kind"], name: text(row, "actor_name") },
    action: text(row, "action") as AuditRecord["action"],
    targetType: text(row, "target_type"),
    targetId: text(row, "target_id"),
    targetName: textOrNull(row, "target_name"),
    details: json(row, "details"),
  };
}
