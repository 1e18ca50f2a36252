// Lists in pages. A cursor is opaque to clients: the sort value and id of the last row, with the sort they belong to.

import { z } from "zod";
import type { PageQuery, SortField } from "../core/store.ts";
import { Problem } from "./problem.ts";
import { fields } from "./route.ts";

export const MAX_PAGE = 200;
export const DEFAULT_PAGE = 100;

/** Some clients send whole numbers as `50.0`. */
export const limit = z
  .string(`must be a number from 1 to ${MAX_PAGE}`)
  .regex(/^\d{1,6}(\.0+)?$/, `must be a number from 1 to ${MAX_PAGE}`)
  .transform(Number)
  .refine((count) => count >= 1 && count <= MAX_PAGE, `must be a number from 1 to ${MAX_PAGE}`);

/** Text of a query parameter that is compared with stored text. */
export const queryText = z
  .string("must be given once")
  .max(256, "must have at most 256 characters")
  .refine((text) => !text.includes("\0"), "must not hold NUL");

export const cursorText = z.string("must be given once").max(2_048, "is not a cursor of this list");

export const pageQuery = fields({
  cursor: cursorText.optional(),
  limit: limit.optional(),
  name: queryText.optional(),
  sort: z.enum(["name", "createdAt", "updatedAt"], "must be name, createdAt or updatedAt").optional(),
  order: z.enum(["asc", "desc"], "must be asc or desc").optional(),
});

export function toPageQuery(query: z.output<typeof pageQuery>): PageQuery {
  const sort = query.sort ?? "createdAt";
  const order = query.order ?? "desc";
  return {
    limit: query.limit ?? DEFAULT_PAGE,
    sort,
    order,
    name: query.name,
    after: query.cursor === undefined || query.cursor === "" ? undefined : readCursor(query.cursor, sort, order),
  };
}

interface Sortable {
  readonly id: string;
  readonly name: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Null after the last page: clients loop while there is a cursor. */
export function nextCursor(page: { items: readonly Sortable[]; more: boolean }, query: PageQuery): string | null {
  const last = page.items.at(-1);
  if (!page.more || last === undefined) return null;
  return writeCursor([query.sort, query.order, last[query.sort], last.id]);
}

const cursorContent = z.tuple([
  z.enum(["name", "createdAt", "updatedAt"]),
  z.enum(["asc", "desc"]),
  z.union([z.string().max(256), z.int()]),
  z.string().max(64),
]);

function readCursor(text: string, sort: SortField, order: "asc" | "desc"): { value: string | number; id: string } {
  const invalid = new Problem(400, "Invalid cursor provided");
  const content = cursorContent.safeParse(decode(text));
  if (!content.success) throw invalid;
  const [cursorSort, cursorOrder, value, id] = content.data;
  if (cursorSort !== sort || cursorOrder !== order || (typeof value === "string") !== (sort === "name")) throw invalid;
  if (`${value}${id}`.includes("\0")) throw invalid;
  return { value, id };
}

export function writeCursor(content: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(content), "utf8").toString("base64url");
}

export function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}
