// `.env` files whose secrets are placeholders: such a file may be shared and committed.

import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { PREFIX } from "../core/substitution/placeholder.ts";
import { type ApiClient, textOf } from "./api-client.ts";
import { CliError } from "./command.ts";
import { codeOf } from "./data-folder.ts";
import type { MountArgument } from "./mount.ts";
import { listSecrets } from "./secret-list.ts";

export interface EnvFile {
  /** Variables that hold a placeholder, and the secrets that they stand for. */
  readonly mounts: readonly MountArgument[];
  /** All others, as they are. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Throws CliError where it cannot be read, or where a placeholder is none of the organization's secrets'. */
export async function readEnvFile(path: string, client: ApiClient): Promise<EnvFile> {
  const all = Object.entries(parseEnv(readText(path))).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
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

/** The file's text with these lines: what sets one of the variables is replaced in its place, the others come last. */
export function writeVariables(text: string, variables: Readonly<Record<string, string>>): string {
  const missing = new Map(Object.entries(variables));
  const lines = text === "" ? [] : text.replace(/\n$/, "").split("\n");
  const written = lines.map((line) => {
    const [, before, name] = /^(\s*(?:export\s+)?)([A-Za-z_][A-Za-z0-9_]*)\s*=/.exec(line) ?? [];
    if (name === undefined || variables[name] === undefined) return line;
    missing.delete(name);
    return `${before}${name}=${variables[name]}`;
  });
  return `${[...written, ...[...missing].map(([name, value]) => `${name}=${value}`)].join("\n")}\n`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CliError(2, `${path} cannot be read (${codeOf(error)})`, { cause: error });
  }
}
