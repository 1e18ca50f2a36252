// What proxies said of themselves last. A convenience, not a promise: written by heartbeats, forgotten when they cease.

import type { ProxyIdentity, ProxyReport, ProxyStore } from "../core/store.ts";
import { integer, json, type Row, type Sql, type SqlWriter, text, textOrNull } from "./sql.ts";

/** That are bound to the same sandbox: their credential is in reach of what runs there, and may invent any number. */
const MAX_OF_SANDBOX = 16;

/** What the column `state` holds. */
type State = Pick<ProxyReport, "caFingerprint" | "heardVersion" | "grants" | "isComplete" | "connections"> & {
  /** Undefined in what an older version wrote. */
  readonly sandboxId?: string | null;
};

export class ProxyTable implements ProxyStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  async report(report: ProxyReport): Promise<void> {
    const { organizationId, sandboxId, name, seenAt } = report;
    const { caFingerprint, heardVersion, grants, isComplete, connections } = report;
    const state: State = { sandboxId, caFingerprint, heardVersion, grants, isComplete, connections };
    await this.#sql.write(async (tx) => {
      await tx.run(
        `INSERT INTO proxies (id, organization_id, name, seen_at, state) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at, state = excluded.state`,
        keyOf(report),
        organizationId,
        name,
        seenAt,
        JSON.stringify(state),
      );
      if (sandboxId !== null) await forgetOldest(tx, report);
    });
  }

  async leave(proxy: ProxyIdentity): Promise<void> {
    await this.#sql.write((tx) => tx.run("DELETE FROM proxies WHERE id = ?", keyOf(proxy)));
  }

  async list(organizationId: string, since: number): Promise<readonly ProxyReport[]> {
    const rows = await this.#sql.all(
      "SELECT * FROM proxies WHERE (organization_id IS NULL OR organization_id = ?) AND seen_at >= ? ORDER BY name, id",
      organizationId,
      since,
    );
    return rows.map(proxyReport);
  }

  async prune(time: number): Promise<number> {
    if ((await this.#sql.get("SELECT id FROM proxies WHERE seen_at < ? LIMIT 1", time)) === undefined) return 0;
    return this.#sql.write((tx) => tx.run("DELETE FROM proxies WHERE seen_at < ?", time));
  }
}

/** With the organization and the sandbox in it, so that nobody can speak for another one's proxy. */
function keyOf(proxy: ProxyIdentity): string {
  return `${scopeOf(proxy)}/${proxy.id}`;
}

function scopeOf({ organizationId, sandboxId }: ProxyIdentity): string {
  return `${organizationId ?? "*"}${sandboxId === null ? "" : `/${sandboxId}`}`;
}

async function forgetOldest(tx: SqlWriter, proxy: ProxyIdentity): Promise<void> {
  const scope = scopeOf(proxy);
  // What begins with the scope and a slash: 0 is the next character.
  const rows = await tx.all(
    "SELECT id FROM proxies WHERE id > ? AND id < ? ORDER BY seen_at DESC, id",
    `${scope}/`,
    `${scope}0`,
  );
  for (const row of rows.slice(MAX_OF_SANDBOX)) await tx.run("DELETE FROM proxies WHERE id = ?", text(row, "id"));
}

function proxyReport(row: Row): ProxyReport {
  const id = text(row, "id");
  const { sandboxId = null, ...state } = json<State>(row, "state");
  return {
    id: id.slice(id.lastIndexOf("/") + 1),
    organizationId: textOrNull(row, "organization_id"),
    name: text(row, "name"),
    seenAt: integer(row, "seen_at"),
    sandboxId,
    ...state,
  };
}
