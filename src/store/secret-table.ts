// Secrets. Values are sealed under the current master key, bound to organization, id and the value's own version.

import { randomUUID } from "node:crypto";
import type { OnViolation } from "../core/grants.ts";
import type { Clock } from "../core/ports.ts";
import { SecretValue } from "../core/secret-value.ts";
import type {
  Actor,
  CreateSecretOutcome,
  NewSecret,
  Page,
  PageQuery,
  SecretMount,
  SecretPatch,
  SecretRecord,
  SecretStore,
  UpdateSecretOutcome,
} from "../core/store.ts";
import { isEntangled } from "../core/substitution/placeholder.ts";
import { appendAudit } from "./audit-table.ts";
import { appendChange } from "./change-table.ts";
import { bindTo } from "./envelope.ts";
import type { KeyRing } from "./key-ring.ts";
import { readPage } from "./page.ts";
import {
  bytes,
  integer,
  integerOrNull,
  json,
  marks,
  Rollback,
  type Row,
  type Sql,
  type SqlReader,
  type SqlWriter,
  text,
  textOrNull,
} from "./sql.ts";

const MASK = "********";

export class SecretTable implements SecretStore {
  readonly #sql: Sql;
  readonly #ring: KeyRing;
  readonly #clock: Clock;

  constructor(sql: Sql, ring: KeyRing, clock: Clock) {
    this.#sql = sql;
    this.#ring = ring;
    this.#clock = clock;
  }

  create(secret: NewSecret, actor: Actor, notes: Readonly<Record<string, unknown>> = {}): Promise<CreateSecretOutcome> {
    return this.#sql.write<CreateSecretOutcome>(async (tx) => {
      const version = await tx.nextVersion();
      const refusal = await this.#createRefusal(tx, secret);
      if (refusal !== undefined) throw new Rollback(refusal);
      const id = randomUUID();
      const now = this.#clock();
      await this.#ring.register(tx);
      await tx.run(
        `INSERT INTO secrets (id, organization_id, name, description, hosts, locations, on_violation, placeholder,
           own_placeholder, key_id, box, value_version, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        id,
        secret.organizationId,
        secret.name,
        secret.description,
        JSON.stringify(secret.hosts),
        secret.locations === null ? null : JSON.stringify(secret.locations),
        secret.onViolation,
        secret.placeholder,
        secret.ownPlaceholder ? 1 : 0,
        this.#ring.current.id,
        this.#ring.seal(secret.value.reveal(), valueBinding(secret.organizationId, id, 1)),
        1,
        now,
        now,
      );
      await appendChange(tx, { version, organizationId: secret.organizationId, sandboxes: [], sources: false });
      await appendAudit(tx, {
        time: now,
        organizationId: secret.organizationId,
        actor,
        action: "secret.create",
        targetType: "secret",
        targetId: id,
        targetName: secret.name,
        details: { value: MASK, hosts: secret.hosts, ...optionalDetails(secret), ...notes },
      });
      const row = await tx.get("SELECT * FROM secrets WHERE id = ?", id);
      return { kind: "created", secret: secretRecord(row!) };
    });
  }

  async get(organizationId: string, id: string): Promise<SecretRecord | undefined> {
    const row = await findRow(this.#sql, organizationId, id);
    return row === undefined ? undefined : secretRecord(row);
  }

  async list(organizationId: string, query: PageQuery): Promise<Page<SecretRecord>> {
    const { rows, total, more } = await readPage(this.#sql, "secrets", organizationId, query);
    return { items: rows.map(secretRecord), total, more };
  }

  update(
    organizationId: string,
    id: string,
    patch: SecretPatch,
    actor: Actor,
    notes: Readonly<Record<string, unknown>> = {},
  ): Promise<UpdateSecretOutcome> {
    return this.#sql.write<UpdateSecretOutcome>(async (tx) => {
      const version = await tx.nextVersion();
      const row = await findRow(tx, organizationId, id);
      if (row === undefined) throw new Rollback<UpdateSecretOutcome>({ kind: "not-found" });
      const before = secretRecord(row);
      const keepsHosts = patch.keepRestriction === true && patch.hosts?.length === 0 && before.hosts.length > 0;
      const after: SecretRecord = {
        ...before,
        description: patch.description === undefined ? before.description : patch.description,
        hosts: patch.hosts === undefined || keepsHosts ? before.hosts : patch.hosts,
        locations: patch.locations === undefined ? before.locations : patch.locations,
        onViolation: patch.onViolation === undefined ? before.onViolation : patch.onViolation,
        placeholder: patch.placeholder ?? before.placeholder,
        updatedAt: Math.max(this.#clock(), before.createdAt),
      };
      const refusal = await this.#updateRefusal(tx, row, after, patch);
      if (refusal !== undefined) throw new Rollback(refusal);

      await tx.run(
        `UPDATE secrets SET description = ?, hosts = ?, locations = ?, on_violation = ?, placeholder = ?,
           own_placeholder = ?, updated_at = ? WHERE id = ?`,
        after.description,
        JSON.stringify(after.hosts),
        after.locations === null ? null : JSON.stringify(after.locations),
        after.onViolation,
        after.placeholder,
        after.placeholder === before.placeholder ? integer(row, "own_placeholder") : 1,
        after.updatedAt,
        id,
      );
      if (patch.value !== undefined) await this.#sealAnew(tx, row, patch.value);
      const touched = await tx.all(
        "UPDATE sandboxes SET version = ? WHERE id IN (SELECT sandbox_id FROM mounts WHERE secret_id = ?) RETURNING id",
        version,
        id,
      );
      await appendChange(tx, {
        version,
        organizationId,
        sandboxes: touched.map((sandbox) => text(sandbox, "id")),
        placeholder: before.placeholder,
        sources: false,
      });
      await appendAudit(tx, {
        time: after.updatedAt,
        organizationId,
        actor,
        action: "secret.update",
        targetType: "secret",
        targetId: id,
        targetName: before.name,
        details: { ...changedDetails(before, after, patch), ...(keepsHosts ? { hostsKept: true } : {}), ...notes },
      });
      return { kind: "updated", secret: after };
    });
  }

  delete(organizationId: string, id: string, actor: Actor): Promise<boolean> {
    return this.#sql.write<boolean>(async (tx) => {
      const version = await tx.nextVersion();
      const row = await findRow(tx, organizationId, id);
      if (row === undefined) throw new Rollback(false);
      const touched = await tx.all(
        "UPDATE sandboxes SET version = ? WHERE id IN (SELECT sandbox_id FROM mounts WHERE secret_id = ?) RETURNING id",
        version,
        id,
      );
      await tx.run("DELETE FROM secrets WHERE id = ?", id);
      await appendChange(tx, {
        version,
        organizationId,
        sandboxes: touched.map((sandbox) => text(sandbox, "id")),
        placeholder: text(row, "placeholder"),
        sources: false,
      });
      await appendAudit(tx, {
        time: this.#clock(),
        organizationId,
        actor,
        action: "secret.delete",
        targetType: "secret",
        targetId: id,
        targetName: text(row, "name"),
        details: { sandboxes: touched.length },
      });
      return true;
    });
  }

  async mountCounts(ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    if (ids.length === 0) return new Map();
    const rows = await this.#sql.all(
      `SELECT secret_id, count(DISTINCT sandbox_id) AS total FROM mounts WHERE secret_id IN (${marks(ids.length)})
         GROUP BY secret_id`,
      ...ids,
    );
    return new Map(rows.map((row) => [text(row, "secret_id"), integer(row, "total")]));
  }

  async mountedIn(organizationId: string, id: string, limit: number): Promise<readonly SecretMount[]> {
    const rows = await this.#sql.all(
      `SELECT sandboxes.id AS sandbox_id, sandboxes.name AS sandbox_name, mounts.env AS env
         FROM mounts JOIN sandboxes ON sandboxes.id = mounts.sandbox_id
         WHERE mounts.secret_id = ? AND sandboxes.organization_id = ? ORDER BY sandboxes.name, mounts.env LIMIT ?`,
      id,
      organizationId,
      limit,
    );
    return rows.map((row) => ({
      sandboxId: text(row, "sandbox_id"),
      sandboxName: text(row, "sandbox_name"),
      env: text(row, "env"),
    }));
  }

  async #createRefusal(tx: SqlReader, secret: NewSecret): Promise<CreateSecretOutcome | undefined> {
    const { organizationId, name, placeholder } = secret;
    const same = await tx.get("SELECT id FROM secrets WHERE organization_id = ? AND name = ?", organizationId, name);
    if (same !== undefined) return { kind: "name-taken" };
    const organization = await tx.get("SELECT secret_quota FROM organizations WHERE id = ?", organizationId);
    const quota = organization === undefined ? null : integerOrNull(organization, "secret_quota");
    if (quota !== null) {
      const counted = await tx.get("SELECT count(*) AS total FROM secrets WHERE organization_id = ?", organizationId);
      if (integer(counted!, "total") >= quota) return { kind: "over-quota", quota };
    }
    if (await this.#clashes(tx, organizationId, "", placeholder, secret.ownPlaceholder))
      return { kind: "placeholder-taken" };
    return undefined;
  }

  async #updateRefusal(
    tx: SqlReader,
    row: Row,
    after: SecretRecord,
    patch: SecretPatch,
  ): Promise<UpdateSecretOutcome | undefined> {
    const isRenamed = after.placeholder !== text(row, "placeholder");
    if (isRenamed && patch.value === undefined) return { kind: "placeholder-without-value" };
    if (patch.value !== undefined && isEntangled(patch.value.reveal(), after.placeholder))
      return { kind: "placeholder-in-value" };
    if (isRenamed && (await this.#clashes(tx, after.organizationId, after.id, after.placeholder, true)))
      return { kind: "placeholder-taken" };
    return undefined;
  }

  /**
   * No placeholder may be part of another, or a literal replacement would be ambiguous. Random ones are parts of each
   * other only by a chance of 2^-129, so they are held against callers' own ones alone, for which there is an index.
   */
  async #clashes(
    tx: SqlReader,
    organizationId: string,
    id: string,
    placeholder: string,
    own: boolean,
  ): Promise<boolean> {
    const { contains } = this.#sql.dialect;
    const row = await tx.get(
      `SELECT id FROM secrets WHERE organization_id = ? AND id <> ? ${own ? "" : "AND own_placeholder = 1"}
         AND (${contains("placeholder", "?")} OR ${contains("?", "placeholder")}) LIMIT 1`,
      organizationId,
      id,
      placeholder,
      placeholder,
    );
    return row !== undefined;
  }

  async #sealAnew(tx: SqlWriter, row: Row, value: SecretValue): Promise<void> {
    const valueVersion = integer(row, "value_version") + 1;
    const id = text(row, "id");
    await this.#ring.register(tx);
    await tx.run(
      "UPDATE secrets SET key_id = ?, box = ?, value_version = ? WHERE id = ?",
      this.#ring.current.id,
      this.#ring.seal(value.reveal(), valueBinding(text(row, "organization_id"), id, valueVersion)),
      valueVersion,
      id,
    );
  }
}

export function valueBinding(organizationId: string, id: string, valueVersion: number): Buffer {
  return bindTo("secret", organizationId, id, valueVersion);
}

/** Opens the value of a row of `secrets`. */
export function openValue(ring: KeyRing, row: Row): SecretValue {
  const boundTo = valueBinding(text(row, "organization_id"), text(row, "id"), integer(row, "value_version"));
  return new SecretValue(text(row, "name"), ring.open(text(row, "key_id"), bytes(row, "box"), boundTo));
}

function findRow(reader: SqlReader, organizationId: string, id: string): Promise<Row | undefined> {
  return reader.get("SELECT * FROM secrets WHERE id = ? AND organization_id = ?", id, organizationId);
}

function secretRecord(row: Row): SecretRecord {
  return {
    id: text(row, "id"),
    organizationId: text(row, "organization_id"),
    name: text(row, "name"),
    description: textOrNull(row, "description"),
    hosts: json(row, "hosts"),
    locations: row.locations === null ? null : json(row, "locations"),
    // The column holds what was checked at the API's edge.
    onViolation: textOrNull(row, "on_violation") as OnViolation | null,
    placeholder: text(row, "placeholder"),
    createdAt: integer(row, "created_at"),
    updatedAt: integer(row, "updated_at"),
  };
}

function optionalDetails(secret: NewSecret): Record<string, unknown> {
  return {
    ...(secret.locations === null ? {} : { locations: secret.locations }),
    ...(secret.onViolation === null ? {} : { onViolation: secret.onViolation }),
    ...(secret.ownPlaceholder ? { ownPlaceholder: true } : {}),
  };
}

/** What an update asked for: the value masked, the rest before and after. Descriptions are free text and left out. */
function changedDetails(before: SecretRecord, after: SecretRecord, patch: SecretPatch): Record<string, unknown> {
  return {
    ...(patch.value === undefined ? {} : { value: MASK }),
    ...(patch.description === undefined ? {} : { description: "changed" }),
    ...(patch.hosts === undefined ? {} : { hosts: { from: before.hosts, to: after.hosts } }),
    ...(patch.locations === undefined ? {} : { locations: { from: before.locations, to: after.locations } }),
    ...(patch.onViolation === undefined ? {} : { onViolation: { from: before.onViolation, to: after.onViolation } }),
    ...(patch.placeholder === undefined ? {} : { placeholder: "changed" }),
  };
}
