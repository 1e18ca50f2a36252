// The Secret API's own trail, by its pages.

import { type ClientFlags, withApi } from "./api-access.ts";
import { type ApiClient, expectList, expectObject, type JsonObject, textOf } from "./api-client.ts";
import type { ChangesQuery } from "./audit-query.ts";
import type { Cli } from "./command.ts";
import { isReaderGone, printJsonLine, printLine } from "./output.ts";

const PAGE = 200;
const FOLLOW_MS = 1_000;

export function listChanges(cli: Cli, flags: ClientFlags, query: ChangesQuery): Promise<void> {
  return withApi(cli, flags, async ({ client }) => {
    let newest = 0;
    const print = (entries: readonly JsonObject[]) => {
      for (const entry of entries) {
        newest = Math.max(newest, Number(textOf(entry, "id")));
        if (query.json) printJsonLine(cli, entry);
        else printLine(cli, describe(entry));
      }
    };
    print(await fetchLatest(client, query, query.limit, 0));
    while (query.follow && !isReaderGone(cli)) {
      await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
      print(await fetchLatest(client, query, Number.POSITIVE_INFINITY, newest));
    }
  });
}

/** The latest `limit` entries, oldest first, none of them at or before the id `after`. */
async function fetchLatest(
  client: ApiClient,
  { action, target, from, to }: ChangesQuery,
  limit: number,
  after: number,
): Promise<readonly JsonObject[]> {
  const filters = new URLSearchParams();
  if (action !== undefined) filters.set("action", action);
  if (target !== undefined) filters.set("targetId", target);
  if (from !== undefined) filters.set("from", new Date(from).toISOString());
  if (to !== undefined) filters.set("to", new Date(to).toISOString());
  const found: JsonObject[] = [];
  while (found.length < limit) {
    filters.set("limit", String(Math.min(PAGE, limit - found.length)));
    const page = expectObject(await client.call("GET", `/audit?${filters}`));
    const items = expectList(page.items);
    const fresh = items.filter((entry) => Number(textOf(entry, "id")) > after);
    found.push(...fresh);
    const next = page.nextCursor;
    if (typeof next !== "string" || next === "" || fresh.length < items.length) break;
    filters.set("cursor", next);
  }
  return found.reverse();
}

/** `2026-11-23T12:00:00.000Z  bootstrap  secret.update  OPENAI  hosts: …` */
function describe(entry: JsonObject): string {
  const actor = expectObject(entry.actor);
  const details = Object.entries(expectObject(entry.details)).map(
    ([name, value]) => `${name}: ${JSON.stringify(value)}`,
  );
  return [
    textOf(entry, "time"),
    textOf(actor, "name"),
    textOf(entry, "action"),
    textOf(entry, "targetName") || textOf(entry, "targetId"),
    details.join(", "),
  ]
    .filter((part) => part !== "")
    .join("  ");
}
