// Keyset paging over one organization's rows: no row is skipped or repeated when others come and go between pages.

import type { PageQuery } from "../core/store.ts";
import { integer, likePart, type Row, type Sql, type SqlValue } from "./sql.ts";

const columns = { name: "name", createdAt: "created_at", updatedAt: "updated_at" } as const;

export interface Filter {
  readonly condition: string;
  readonly values: readonly SqlValue[];
}

/** Rows of one page; one more than the limit is read to know whether another page follows. */
export async function readPage(
  sql: Sql,
  table: "secrets" | "sandboxes",
  organizationId: string,
  query: PageQuery,
  filters: readonly Filter[] = [],
  offset = 0,
): Promise<{ readonly rows: readonly Row[]; readonly total: number; readonly more: boolean }> {
  const where = ["organization_id = ?", ...filters.map((filter) => filter.condition)];
  const values: SqlValue[] = [organizationId, ...filters.flatMap((filter) => filter.values)];
  if (query.name !== undefined && query.name !== "") {
    where.push(`${sql.dialect.asciiLower("name")} LIKE ? ESCAPE '\\'`);
    values.push(likePart(query.name));
  }
  const counted = await sql.get(`SELECT count(*) AS total FROM ${table} WHERE ${where.join(" AND ")}`, ...values);
  const column = columns[query.sort];
  const direction = query.order === "asc" ? "ASC" : "DESC";
  if (query.after !== undefined) {
    where.push(`(${column}, id) ${query.order === "asc" ? ">" : "<"} (?, ?)`);
    values.push(query.after.value, query.after.id);
  }
  const rows = await sql.all(
    `SELECT * FROM ${table} WHERE ${where.join(" AND ")}
     ORDER BY ${column} ${direction}, id ${direction} LIMIT ? OFFSET ?`,
    ...values,
    query.limit + 1,
    offset,
  );
  return {
    rows: rows.slice(0, query.limit),
    total: counted === undefined ? 0 : integer(counted, "total"),
    more: rows.length > query.limit,
  };
}
