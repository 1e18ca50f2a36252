// `.env` files whose secrets are placeholders: such a file may be shared and committed.

import { readFileSync } from "node:fs";
import { PREFIX } from "../core/substitution/placeholder.ts";
import { type ApiClient, textOf } from "./api-client.ts";
import { CliError } from "./command.ts";
import { codeOf } from "./data-folder.ts";
import { readEnvVariables } from "./env-text.ts";
import type { MountArgument } from "./mount.ts";
import { listSecrets } from "./secret-list.ts";

export interface EnvFile {
  /** Variables that hold a placeholder, and the secrets that they stand for. */
  readonly mounts: readonly MountArgument[];
  /** All others, as they are. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Throws CliError where it cannot be read, is no .env file, or where a placeholder is none of the organization's secrets'. */
export async function readEnvFile(path: string, client: ApiClient): Promise<EnvFile> {
  // The last of several of one name counts.
  const all = new Map(readEnvVariables(readText(path), path).map(({ name, value }) => [name, value]));
  const secrets = await listSecrets(client);
  const names = new Map(secrets.map((secret) => [textOf(secret, "placeholder"), textOf(secret, "name")]));
  const mounts: MountArgument[] = [];
  const variables: Record<string, string> = {};
  const unknown: string[] = [];
  for (const [env, value] of all) {
    const secret = names.get(value);
    if (secret !== undefined) mounts.push({ env, secret });
    else if (value.startsWith(PREFIX)) unknown.push(env);
    else variables[env] = value;
  }
  if (unknown.length > 0) {
    throw new CliError(2, `${path}: no secret has the placeholder of ${unknown.join(", ")}`, {
      hint: "It was deleted, or belongs to another keyswap. Write it anew: keyswap env ENV=NAME --output FILE",
    });
  }
  return { mounts, variables };
}

/**
 * The text of the file `path` with these variables: what sets one of them is replaced in its place, with all of its lines;
 * the others come last. Throws CliError where it is no .env file.
 */
export function writeVariables(path: string, text: string, variables: Readonly<Record<string, string>>): string {
  const missing = new Map(Object.entries(variables));
  const lines = text === "" ? [] : text.replace(/\n$/, "").split("\n");
  const written: string[] = [];
  let copied = 0;
  for (const { name, start, end } of readEnvVariables(text, path)) {
    if (!Object.hasOwn(variables, name)) continue;
    missing.delete(name);
    const [before] = /^\s*(?:export\s+)?/.exec(lines[start] ?? "") ?? [""];
    written.push(...lines.slice(copied, start), `${before}${name}=${variables[name]}`);
    copied = end;
  }
  written.push(...lines.slice(copied), ...[...missing].map(([name, value]) => `${name}=${value}`));
  return `${written.join("\n")}\n`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CliError(2, `${path} cannot be read (${codeOf(error)})`, { cause: error });
  }
}
