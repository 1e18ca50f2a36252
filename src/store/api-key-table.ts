// API keys, as hashes. A key's text is known to its maker alone.

import type { Clock } from "../core/ports.ts";
import type { Actor, ApiKeyRecord, ApiKeyStore, NewApiKey } from "../core/store.ts";
import { appendAudit } from "./audit-table.ts";
import { integer, integerOrNull, json, Rollback, type Row, type Sql, text, textOrNull } from "./sql.ts";

export class ApiKeyTable implements ApiKeyStore {
  readonly #sql: Sql;
  readonly #clock: Clock;

  constructor(sql: Sql, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
  }

  create(key: NewApiKey, actor: Actor): Promise<ApiKeyRecord | "name-taken"> {
    return this.#sql.write<ApiKeyRecord | "name-taken">(async (tx) => {
      const { organizationId, name } = key;
      const same = await tx.get("SELECT id FROM api_keys WHERE organization_id = ? AND name = ?", organizationId, name);
      if (same !== undefined) throw new Rollback("name-taken");
      const now = this.#clock();
      await tx.run(
        `INSERT INTO api_keys (id, organization_id, name, hash, hint, permissions, sandbox_id, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        key.id,
        organizationId,
        name,
        key.hash,
        key.hint,
        JSON.stringify(key.permissions),
        key.sandboxId,
        now,
        key.expiresAt,
      );
      await appendAudit(tx, {
        time: now,
        organizationId,
        actor,
        action: "api_key.create",
        targetType: "api_key",
        targetId: key.id,
        targetName: name,
        details: { permissions: key.permissions, sandboxId: key.sandboxId, expiresAt: key.expiresAt },
      });
      return { ...key, createdAt: now, lastUsedAt: null };
    });
  }

  async findByHash(hash: string): Promise<ApiKeyRecord | undefined> {
    const row = await this.#sql.get("SELECT * FROM api_keys WHERE hash = ?", hash);
    return row === undefined ? undefined : apiKeyRecord(row);
  }

  async get(organizationId: string, name: string): Promise<ApiKeyRecord | undefined> {
    const row = await this.#sql.get(
      "SELECT * FROM api_keys WHERE organization_id = ? AND name = ?",
      organizationId,
      name,
    );
    return row === undefined ? undefined : apiKeyRecord(row);
  }

  async list(organizationId: string): Promise<readonly ApiKeyRecord[]> {
    const rows = await this.#sql.all(
      "SELECT * FROM api_keys WHERE organization_id = ? ORDER BY created_at DESC, id",
      organizationId,
    );
    return rows.map(apiKeyRecord);
  }

  delete(organizationId: string, name: string, actor: Actor): Promise<boolean> {
    return this.#sql.write<boolean>(async (tx) => {
      const row = await tx.get("SELECT id FROM api_keys WHERE organization_id = ? AND name = ?", organizationId, name);
      if (row === undefined) throw new Rollback(false);
      const id = text(row, "id");
      await tx.run("DELETE FROM api_keys WHERE id = ?", id);
      await appendAudit(tx, {
        time: this.#clock(),
        organizationId,
        actor,
        action: "api_key.delete",
        targetType: "api_key",
        targetId: id,
        targetName: name,
        details: {},
      });
      return true;
    });
  }

  async touch(id: string, time: number): Promise<void> {
    await this.#sql.write((tx) => tx.run("UPDATE api_keys SET last_used_at = ? WHERE id = ?", time, id));
  }
}

function apiKeyRecord(row: Row): ApiKeyRecord {
  return {
    id: text(row, "id"),
    organizationId: text(row, "organization_id"),
    name: text(row, "name"),
    hash: text(row, "hash"),
    hint: text(row, "hint"),
    permissions: json(row, "permissions"),
    sandboxId: textOrNull(row, "sandbox_id"),
    createdAt: integer(row, "created_at"),
    expiresAt: integerOrNull(row, "expires_at"),
    lastUsedAt: integerOrNull(row, "last_used_at"),
  };
}
