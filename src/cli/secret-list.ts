// The secrets of an organization, page by page.

import { type ApiClient, expectList, expectObject, type JsonObject, textOf } from "./api-client.ts";
import { CliError } from "./command.ts";

const PAGE = 200;
/** The API's own bound on an organization is far below. */
const MAX_PAGES = 5_000;

export async function listSecrets(client: ApiClient, name?: string): Promise<readonly JsonObject[]> {
  const filter = name === undefined ? "" : `&name=${encodeURIComponent(name)}`;
  const secrets: JsonObject[] = [];
  let cursor = "";
  for (let page = 0; page < MAX_PAGES; page++) {
    const path = `/secret/paginated?limit=${PAGE}&sort=name&order=asc${filter}${cursor}`;
    const answer = expectObject(await client.call("GET", path));
    secrets.push(...expectList(answer.items));
    const next = answer.nextCursor;
    if (typeof next !== "string" || next === "") return secrets;
    cursor = `&cursor=${encodeURIComponent(next)}`;
  }
  throw new CliError(1, "the list of secrets does not end");
}

export async function listSecretNames(client: ApiClient): Promise<ReadonlySet<string>> {
  return new Set((await listSecrets(client)).map((secret) => textOf(secret, "name")));
}
