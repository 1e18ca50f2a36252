// What proxies ask: a sandbox's grants with their values, and the map of source ranges. Each question costs index
// lookups alone, whatever the number of other secrets and sandboxes.

import type { OnViolation } from "../core/grants.ts";
import type { EgressRecord, EgressStore } from "../core/store.ts";
import { getCounter } from "./change-table.ts";
import type { KeyRing } from "./key-ring.ts";
import { openValue } from "./secret-table.ts";
import { integer, json, type Sql, text, textOrNull } from "./sql.ts";

export class EgressTable implements EgressStore {
  readonly #sql: Sql;
  readonly #ring: KeyRing;

  constructor(sql: Sql, ring: KeyRing) {
    this.#sql = sql;
    this.#ring = ring;
  }

  async find(sandboxId: string, now: number): Promise<{ organizationId: string; version: number } | undefined> {
    const row = await this.#sql.get(
      "SELECT organization_id, version FROM sandboxes WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)",
      sandboxId,
      now,
    );
    if (row === undefined) return undefined;
    return { organizationId: text(row, "organization_id"), version: integer(row, "version") };
  }

  /**
   * The sandbox's row is read before its grants: should a write fall in between, the answer carries the older version
   * with the newer grants, and the next conditional request gets it anew. The other way round it would stay stale.
   */
  async resolve(sandboxId: string, now: number): Promise<EgressRecord | undefined> {
    const row = await this.#sql.get(
      "SELECT * FROM sandboxes WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)",
      sandboxId,
      now,
    );
    if (row === undefined) return undefined;
    const grants = await this.#sql.all(
      "SELECT m.env, s.* FROM mounts m JOIN secrets s ON s.id = m.secret_id WHERE m.sandbox_id = ? ORDER BY m.position",
      sandboxId,
    );
    const sources = await this.#sql.all(
      "SELECT cidr FROM sources WHERE sandbox_id = ? ORDER BY first_address",
      sandboxId,
    );
    return {
      sandboxId,
      organizationId: text(row, "organization_id"),
      version: integer(row, "version"),
      tokenHash: text(row, "token_hash"),
      sources: sources.map((source) => text(source, "cidr")),
      // Columns of this kind hold what was checked at the API's edge.
      onViolation: textOrNull(row, "on_violation") as OnViolation | null,
      egress: json(row, "egress"),
      grants: grants.map((grant) => ({
        env: text(grant, "env"),
        name: text(grant, "name"),
        placeholder: text(grant, "placeholder"),
        value: openValue(this.#ring, grant),
        hosts: json(grant, "hosts"),
        locations: grant.locations === null ? null : json(grant, "locations"),
        onViolation: textOrNull(grant, "on_violation") as OnViolation | null,
      })),
    };
  }

  async sources(organizationId: string | null): Promise<readonly { cidr: string; sandboxId: string }[]> {
    const rows = await this.#sql.all(
      `SELECT r.cidr, r.sandbox_id FROM sources r JOIN sandboxes b ON b.id = r.sandbox_id
       ${organizationId === null ? "" : "WHERE b.organization_id = ?"} ORDER BY r.first_address`,
      ...(organizationId === null ? [] : [organizationId]),
    );
    return rows.map((row) => ({ cidr: text(row, "cidr"), sandboxId: text(row, "sandbox_id") }));
  }

  sourcesVersion(): Promise<number> {
    return getCounter(this.#sql, "sources_version");
  }
}
