// What proxies said of themselves last. A convenience, not a promise: written by heartbeats, forgotten when they cease.

import type { ProxyReport, ProxyStore } from "../core/store.ts";
import { integer, json, type Row, type Sql, text, textOrNull } from "./sql.ts";

/** What the column `state` holds. */
type State = Pick<ProxyReport, "caFingerprint" | "heardVersion" | "grants" | "isComplete" | "connections">;

export class ProxyTable implements ProxyStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  async report({ id, organizationId, name, seenAt, ...state }: ProxyReport): Promise<void> {
    const { caFingerprint, heardVersion, grants, isComplete, connections }: State = state;
    await this.#sql.write((tx) =>
      tx.run(
        `INSERT INTO proxies (id, organization_id, name, seen_at, state) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at, state = excluded.state`,
        keyOf(organizationId, id),
        organizationId,
        name,
        seenAt,
        JSON.stringify({ caFingerprint, heardVersion, grants, isComplete, connections }),
      ),
    );
  }

  async leave(organizationId: string | null, id: string): Promise<void> {
    await this.#sql.write((tx) => tx.run("DELETE FROM proxies WHERE id = ?", keyOf(organizationId, id)));
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

/** With the organization in it, so that nobody can speak for another one's proxy. */
function keyOf(organizationId: string | null, id: string): string {
  return `${organizationId ?? "*"}/${id}`;
}

function proxyReport(row: Row): ProxyReport {
  const id = text(row, "id");
  return {
    id: id.slice(id.indexOf("/") + 1),
    organizationId: textOrNull(row, "organization_id"),
    name: text(row, "name"),
    seenAt: integer(row, "seen_at"),
    ...json<State>(row, "state"),
  };
}
