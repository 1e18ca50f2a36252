// Sandboxes with their mounts and source ranges. A sandbox's version is the global version of the last write that
// changed what it may use.

import type { ChangeAction } from "../core/change-actions.ts";
import type { OnViolation } from "../core/grants.ts";
import type { Clock } from "../core/ports.ts";
import type {
  Actor,
  CreateSandboxOutcome,
  Mount,
  MountRequest,
  NewSandbox,
  Page,
  SandboxPatch,
  SandboxQuery,
  SandboxRecord,
  SandboxStore,
  SandboxWriteFault,
  SourceRange,
  UpdateSandboxOutcome,
} from "../core/store.ts";
import { appendAudit } from "./audit-table.ts";
import { appendChange } from "./change-table.ts";
import { type Filter, readPage } from "./page.ts";
import {
  integer,
  integerOrNull,
  json,
  likePart,
  marks,
  Rollback,
  type Row,
  type Sql,
  type SqlReader,
  type SqlWriter,
  text,
  textOrNull,
} from "./sql.ts";

const SYSTEM: Actor = { kind: "system", name: "expiry" };

export class SandboxTable implements SandboxStore {
  readonly #sql: Sql;
  readonly #clock: Clock;

  constructor(sql: Sql, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
  }

  create(sandbox: NewSandbox, actor: Actor): Promise<CreateSandboxOutcome> {
    return this.#sql.write<CreateSandboxOutcome>(async (tx) => {
      const version = await tx.nextVersion();
      const now = this.#clock();
      const { organizationId, id, name } = sandbox;
      if ((await findRow(tx, organizationId, name)) !== undefined)
        throw new Rollback<CreateSandboxOutcome>({ kind: "name-taken" });
      await tx.run(
        `INSERT INTO sandboxes (id, organization_id, name, token_hash, labels, attributes, on_violation, egress,
           expires_at, version, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        id,
        organizationId,
        name,
        sandbox.tokenHash,
        JSON.stringify(sandbox.labels),
        JSON.stringify(sandbox.attributes),
        sandbox.onViolation,
        JSON.stringify(sandbox.egress),
        sandbox.expiresAt,
        version,
        now,
        now,
      );
      await writeSources(tx, id, sandbox.sources);
      await writeMounts(tx, organizationId, id, sandbox.mounts);
      const sources = sandbox.sources.length > 0;
      // Proxies may have remembered the id as unknown, so it is named although it is new.
      await appendChange(tx, { version, organizationId, sandboxes: [id], sources });
      await appendAudit(tx, {
        time: now,
        organizationId,
        actor,
        action: "sandbox.create",
        targetType: "sandbox",
        targetId: id,
        targetName: name,
        details: {
          secrets: mountDetails(sandbox.mounts),
          ...(sources ? { sources: sandbox.sources.map((range) => range.cidr) } : {}),
          ...(sandbox.expiresAt === null ? {} : { expiresAt: sandbox.expiresAt }),
        },
      });
      return { kind: "created", sandbox: (await readSandbox(tx, organizationId, id))! };
    });
  }

  get(organizationId: string, idOrName: string): Promise<SandboxRecord | undefined> {
    return readSandbox(this.#sql, organizationId, idOrName, this.#clock());
  }

  async list(organizationId: string, query: SandboxQuery): Promise<Page<SandboxRecord>> {
    const filters: Filter[] = [{ condition: "(expires_at IS NULL OR expires_at > ?)", values: [this.#clock()] }];
    if (query.id !== undefined) filters.push({ condition: "id LIKE ? ESCAPE '\\'", values: [likePart(query.id)] });
    // Labels are JSON that JSON.stringify wrote, so a pair is found as its exact text.
    for (const [key, value] of Object.entries(query.labels ?? {}))
      filters.push({
        condition: this.#sql.dialect.contains("labels", "?"),
        values: [JSON.stringify({ [key]: value }).slice(1, -1)],
      });
    const page = await readPage(this.#sql, "sandboxes", organizationId, query, filters, query.offset);
    return { items: await withParts(this.#sql, page.rows), total: page.total, more: page.more };
  }

  update(organizationId: string, idOrName: string, patch: SandboxPatch, actor: Actor): Promise<UpdateSandboxOutcome> {
    return this.#sql.write<UpdateSandboxOutcome>(async (tx) => {
      const version = await tx.nextVersion();
      const now = this.#clock();
      const before = await readSandbox(tx, organizationId, idOrName, now);
      if (before === undefined) throw new Rollback<UpdateSandboxOutcome>({ kind: "not-found" });
      await tx.run(
        `UPDATE sandboxes SET token_hash = ?, labels = ?, on_violation = ?, egress = ?, expires_at = ?, version = ?,
           updated_at = ? WHERE id = ?`,
        patch.tokenHash ?? before.tokenHash,
        JSON.stringify(patch.labels ?? before.labels),
        patch.onViolation === undefined ? before.onViolation : patch.onViolation,
        JSON.stringify(patch.egress ?? before.egress),
        patch.expiresAt === undefined ? before.expiresAt : patch.expiresAt,
        version,
        Math.max(now, before.createdAt),
        before.id,
      );
      if (patch.sources !== undefined) await writeSources(tx, before.id, patch.sources);
      if (patch.mounts !== undefined) await writeMounts(tx, organizationId, before.id, patch.mounts);
      await appendChange(tx, {
        version,
        organizationId,
        sandboxes: [before.id],
        sources: patch.sources !== undefined,
      });
      await appendAudit(tx, {
        time: now,
        organizationId,
        actor,
        action: patch.mounts === undefined ? "sandbox.update" : "sandbox.update_secrets",
        targetType: "sandbox",
        targetId: before.id,
        targetName: before.name,
        details: patchDetails(before, patch),
      });
      return { kind: "updated", sandbox: (await readSandbox(tx, organizationId, before.id))! };
    });
  }

  delete(organizationId: string, idOrName: string, actor: Actor): Promise<SandboxRecord | undefined> {
    return this.#sql.write(async (tx) => {
      const version = await tx.nextVersion();
      const sandbox = await readSandbox(tx, organizationId, idOrName);
      if (sandbox === undefined) throw new Rollback(undefined);
      await this.#remove(tx, sandbox, version, actor, "sandbox.delete");
      return sandbox;
    });
  }

  deleteExpired(now: number, limit: number): Promise<number> {
    return this.#sql.write(async (tx) => {
      const rows = await tx.all(
        "SELECT * FROM sandboxes WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
        now,
        limit,
      );
      for (const sandbox of await withParts(tx, rows))
        await this.#remove(tx, sandbox, await tx.nextVersion(), SYSTEM, "sandbox.expire");
      return rows.length;
    });
  }

  async nextExpiry(): Promise<number | undefined> {
    const row = await this.#sql.get("SELECT min(expires_at) AS next FROM sandboxes WHERE expires_at IS NOT NULL");
    return (row === undefined ? null : integerOrNull(row, "next")) ?? undefined;
  }

  async #remove(
    tx: SqlWriter,
    sandbox: SandboxRecord,
    version: number,
    actor: Actor,
    action: ChangeAction,
  ): Promise<void> {
    // Mounts and sources go with it (ON DELETE CASCADE).
    await tx.run("DELETE FROM sandboxes WHERE id = ?", sandbox.id);
    await appendChange(tx, {
      version,
      organizationId: sandbox.organizationId,
      sandboxes: [sandbox.id],
      sources: sandbox.sources.length > 0,
    });
    await appendAudit(tx, {
      time: this.#clock(),
      organizationId: sandbox.organizationId,
      actor,
      action,
      targetType: "sandbox",
      targetId: sandbox.id,
      targetName: sandbox.name,
      details: {},
    });
  }
}

/** An id wins over another sandbox's name. With `now`, what has expired is not found. */
async function findRow(reader: SqlReader, organizationId: string, idOrName: string): Promise<Row | undefined> {
  return (
    (await reader.get("SELECT * FROM sandboxes WHERE id = ? AND organization_id = ?", idOrName, organizationId)) ??
    (await reader.get("SELECT * FROM sandboxes WHERE organization_id = ? AND name = ?", organizationId, idOrName))
  );
}

async function readSandbox(
  reader: SqlReader,
  organizationId: string,
  idOrName: string,
  now = 0,
): Promise<SandboxRecord | undefined> {
  const row = await findRow(reader, organizationId, idOrName);
  if (row === undefined) return undefined;
  const [sandbox] = await withParts(reader, [row]);
  return sandbox?.expiresAt != null && sandbox.expiresAt <= now ? undefined : sandbox;
}

/** Rows of `sandboxes` with what other tables hold of them. */
async function withParts(reader: SqlReader, rows: readonly Row[]): Promise<readonly SandboxRecord[]> {
  if (rows.length === 0) return [];
  const ids = rows.map((row) => text(row, "id"));
  const mounts = new Map<string, Mount[]>(ids.map((id) => [id, []]));
  const sources = new Map<string, string[]>(ids.map((id) => [id, []]));
  const mountRows = await reader.all(
    `SELECT m.sandbox_id, m.env, s.name, s.placeholder FROM mounts m JOIN secrets s ON s.id = m.secret_id
     WHERE m.sandbox_id IN (${marks(ids.length)}) ORDER BY m.sandbox_id, m.position`,
    ...ids,
  );
  for (const row of mountRows)
    mounts.get(text(row, "sandbox_id"))?.push({
      env: text(row, "env"),
      secretName: text(row, "name"),
      placeholder: text(row, "placeholder"),
    });
  const sourceRows = await reader.all(
    `SELECT sandbox_id, cidr FROM sources WHERE sandbox_id IN (${marks(ids.length)}) ORDER BY first_address`,
    ...ids,
  );
  for (const row of sourceRows) sources.get(text(row, "sandbox_id"))?.push(text(row, "cidr"));
  return rows.map((row) => {
    const id = text(row, "id");
    return {
      id,
      organizationId: text(row, "organization_id"),
      name: text(row, "name"),
      tokenHash: text(row, "token_hash"),
      labels: json(row, "labels"),
      attributes: json(row, "attributes"),
      // The column holds what was checked at the API's edge.
      onViolation: textOrNull(row, "on_violation") as OnViolation | null,
      egress: json(row, "egress"),
      sources: sources.get(id) ?? [],
      mounts: mounts.get(id) ?? [],
      expiresAt: integerOrNull(row, "expires_at"),
      version: integer(row, "version"),
      createdAt: integer(row, "created_at"),
      updatedAt: integer(row, "updated_at"),
    };
  });
}

async function writeSources(tx: SqlWriter, sandboxId: string, ranges: readonly SourceRange[]): Promise<void> {
  await tx.run("DELETE FROM sources WHERE sandbox_id = ?", sandboxId);
  for (const range of ranges) {
    // Stored ranges never overlap, so the last one that begins before this one's end is the only candidate.
    const candidate = await tx.get(
      "SELECT last_address FROM sources WHERE first_address <= ? ORDER BY first_address DESC LIMIT 1",
      range.last,
    );
    if (candidate !== undefined && text(candidate, "last_address") >= range.first)
      throw new Rollback<SandboxWriteFault>({ kind: "source-taken", cidr: range.cidr });
    await tx.run(
      "INSERT INTO sources (first_address, last_address, cidr, sandbox_id) VALUES (?, ?, ?, ?)",
      range.first,
      range.last,
      range.cidr,
      sandboxId,
    );
  }
}

async function writeMounts(
  tx: SqlWriter,
  organizationId: string,
  sandboxId: string,
  mounts: readonly MountRequest[],
): Promise<void> {
  await tx.run("DELETE FROM mounts WHERE sandbox_id = ?", sandboxId);
  if (mounts.length === 0) return;
  const organization = await tx.get("SELECT max_secrets_per_sandbox FROM organizations WHERE id = ?", organizationId);
  const max = organization === undefined ? null : integerOrNull(organization, "max_secrets_per_sandbox");
  if (max !== null && mounts.length > max) throw new Rollback<SandboxWriteFault>({ kind: "too-many-secrets", max });

  const names = [...new Set(mounts.map((mount) => mount.secretName))];
  const rows = await tx.all(
    `SELECT id, name FROM secrets WHERE organization_id = ? AND name IN (${marks(names.length)})`,
    organizationId,
    ...names,
  );
  const ids = new Map(rows.map((row) => [text(row, "name"), text(row, "id")]));
  const unknown = names.filter((name) => !ids.has(name));
  if (unknown.length > 0) throw new Rollback<SandboxWriteFault>({ kind: "unknown-secrets", names: unknown });
  for (const [position, mount] of mounts.entries())
    await tx.run(
      "INSERT INTO mounts (sandbox_id, env, position, secret_id) VALUES (?, ?, ?, ?)",
      sandboxId,
      mount.env,
      position,
      ids.get(mount.secretName)!,
    );
}

function mountDetails(mounts: readonly MountRequest[]): readonly Record<string, string>[] {
  return mounts.map((mount) => ({ [mount.env]: mount.secretName }));
}

function patchDetails(before: SandboxRecord, patch: SandboxPatch): Record<string, unknown> {
  return {
    ...(patch.mounts === undefined
      ? {}
      : { secrets: { from: mountDetails(before.mounts), to: mountDetails(patch.mounts) } }),
    ...(patch.sources === undefined
      ? {}
      : { sources: { from: before.sources, to: patch.sources.map((range) => range.cidr) } }),
    ...(patch.onViolation === undefined ? {} : { onViolation: { from: before.onViolation, to: patch.onViolation } }),
    ...(patch.egress === undefined ? {} : { egress: { from: before.egress, to: patch.egress } }),
    ...(patch.expiresAt === undefined ? {} : { expiresAt: { from: before.expiresAt, to: patch.expiresAt } }),
    ...(patch.tokenHash === undefined ? {} : { token: "replaced" }),
  };
}
