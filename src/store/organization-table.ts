// Organizations own secrets, sandboxes and API keys. One is made with the database: the default one.

import type { ChangeAction } from "../core/change-actions.ts";
import type { Clock } from "../core/ports.ts";
import type { Actor, Organization, OrganizationStore } from "../core/store.ts";
import { appendAudit } from "./audit-table.ts";
import { integer, integerOrNull, Rollback, type Row, type Sql, text } from "./sql.ts";

export class OrganizationTable implements OrganizationStore {
  readonly defaultId: string;
  readonly #sql: Sql;
  readonly #clock: Clock;

  private constructor(sql: Sql, clock: Clock, defaultId: string) {
    this.#sql = sql;
    this.#clock = clock;
    this.defaultId = defaultId;
  }

  /** Finds the default organization, or makes it with the id given. */
  static async open(sql: Sql, clock: Clock, newId: string): Promise<OrganizationTable> {
    const id = await sql.write(async (tx) => {
      const row = await tx.get("SELECT id FROM organizations WHERE is_default = 1");
      if (row !== undefined) throw new Rollback(text(row, "id"));
      const now = clock();
      await tx.run(
        "INSERT INTO organizations (id, name, is_default, created_at, updated_at) VALUES (?, 'default', 1, ?, ?)",
        newId,
        now,
        now,
      );
      return newId;
    });
    return new OrganizationTable(sql, clock, id);
  }

  create(
    input: Pick<Organization, "id" | "name" | "secretQuota" | "maxSecretsPerSandbox">,
    actor: Actor,
  ): Promise<Organization | "name-taken"> {
    return this.#sql.write<Organization | "name-taken">(async (tx) => {
      if ((await tx.get("SELECT id FROM organizations WHERE name = ?", input.name)) !== undefined)
        throw new Rollback("name-taken");
      const now = this.#clock();
      await tx.run(
        `INSERT INTO organizations (id, name, is_default, secret_quota, max_secrets_per_sandbox, created_at, updated_at)
         VALUES (?, ?, 0, ?, ?, ?, ?)`,
        input.id,
        input.name,
        input.secretQuota,
        input.maxSecretsPerSandbox,
        now,
        now,
      );
      const organization: Organization = { ...input, createdAt: now, updatedAt: now };
      await appendAudit(tx, entry(organization, actor, "organization.create", now, quotas(organization)));
      return organization;
    });
  }

  async get(id: string): Promise<Organization | undefined> {
    const row = await this.#sql.get("SELECT * FROM organizations WHERE id = ?", id);
    return row === undefined ? undefined : organizationRecord(row);
  }

  async list(): Promise<readonly Organization[]> {
    const rows = await this.#sql.all("SELECT * FROM organizations ORDER BY created_at, id");
    return rows.map(organizationRecord);
  }

  update(
    id: string,
    patch: Partial<Pick<Organization, "name" | "secretQuota" | "maxSecretsPerSandbox">>,
    actor: Actor,
  ): Promise<Organization | "not-found" | "name-taken"> {
    return this.#sql.write<Organization | "not-found" | "name-taken">(async (tx) => {
      const row = await tx.get("SELECT * FROM organizations WHERE id = ?", id);
      if (row === undefined) throw new Rollback("not-found");
      const before = organizationRecord(row);
      const after: Organization = { ...before, ...patch, updatedAt: this.#clock() };
      const namesake = await tx.get("SELECT id FROM organizations WHERE name = ? AND id <> ?", after.name, id);
      if (namesake !== undefined) throw new Rollback("name-taken");
      await tx.run(
        "UPDATE organizations SET name = ?, secret_quota = ?, max_secrets_per_sandbox = ?, updated_at = ? WHERE id = ?",
        after.name,
        after.secretQuota,
        after.maxSecretsPerSandbox,
        after.updatedAt,
        id,
      );
      const details = { from: { name: before.name, ...quotas(before) }, to: { name: after.name, ...quotas(after) } };
      await appendAudit(tx, entry(after, actor, "organization.update", after.updatedAt, details));
      return after;
    });
  }
}

function organizationRecord(row: Row): Organization {
  return {
    id: text(row, "id"),
    name: text(row, "name"),
    secretQuota: integerOrNull(row, "secret_quota"),
    maxSecretsPerSandbox: integerOrNull(row, "max_secrets_per_sandbox"),
    createdAt: integer(row, "created_at"),
    updatedAt: integer(row, "updated_at"),
  };
}

function quotas(organization: Organization): Record<string, number | null> {
  return { secretQuota: organization.secretQuota, maxSecretsPerSandbox: organization.maxSecretsPerSandbox };
}

function entry(
  organization: Organization,
  actor: Actor,
  action: ChangeAction,
  time: number,
  details: Record<string, unknown>,
) {
  return {
    time,
    organizationId: organization.id,
    actor,
    action,
    targetType: "organization",
    targetId: organization.id,
    targetName: organization.name,
    details,
  };
}
