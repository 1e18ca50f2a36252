// GET /audit: who did what in an organization, newest first.

import { z } from "zod";
import type { AuditStore, Permission } from "../core/store.ts";
import { instant } from "./fields.ts";
import { cursorText, DEFAULT_PAGE, decode, limit, queryText, writeCursor } from "./paging.ts";
import { Problem } from "./problem.ts";
import { type AnyRoute, fields, route } from "./route.ts";

const query = fields({
  cursor: cursorText.optional(),
  limit: limit.optional(),
  action: queryText.optional(),
  targetId: queryText.optional(),
  from: instant.optional(),
  to: instant.optional(),
});

const entryAnswer = z.object({
  id: z.string(),
  time: z.iso.datetime(),
  actor: z.object({ kind: z.string(), name: z.string() }),
  action: z.string(),
  targetType: z.string(),
  targetId: z.string(),
  targetName: z.string().nullable(),
  details: z.record(z.string(), z.unknown()),
});

const access: readonly Permission[] = ["read:audit_logs"];

export function auditRoutes(store: AuditStore): readonly AnyRoute[] {
  return [
    route({
      method: "GET",
      path: "/audit",
      summary: "What was done in the organization, newest first; values are masked",
      tag: "audit",
      access,
      query,
      status: 200,
      answer: z.object({ items: z.array(entryAnswer), nextCursor: z.string().nullable() }),
      handle: async ({ query, caller }) => {
        const { items, more } = await store.list({
          organizationId: caller.organizationId,
          limit: query.limit ?? DEFAULT_PAGE,
          before: readCursor(query.cursor),
          action: query.action,
          targetId: query.targetId,
          from: query.from,
          to: query.to,
        });
        const last = items.at(-1);
        return {
          items: items.map(({ organizationId: _, ...entry }) => ({
            ...entry,
            id: String(entry.id),
            time: new Date(entry.time).toISOString(),
          })),
          nextCursor: more && last !== undefined ? writeCursor(["audit", last.id]) : null,
        };
      },
    }),
  ];
}

const cursorContent = z.tuple([z.literal("audit"), z.int().positive()]);

function readCursor(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const content = cursorContent.safeParse(decode(text));
  if (!content.success) throw new Problem(400, "Invalid cursor provided");
  return content.data[1];
}
