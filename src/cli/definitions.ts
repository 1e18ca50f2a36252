// Definitions of secrets as a team keeps them in a repository: names, hosts and rules, never a value.
//
//   secrets:                         # YAML
//     OPENAI:
//       hosts: [api.openai.com]      # or: unrestricted: true
//       description: for the agents
//       locations: [header:authorization]
//       onViolation: block
//       placeholder: sk-…            # only where it is the caller's own
//       valueFrom: {env: OPENAI_API_KEY}   # or {file: keys/openai.txt}
//
//   # hosts: api.openai.com          # .env: the comment above a variable names its hosts
//   OPENAI=
//
// Reading finds every fault, writing gives what reads back as the same.

import { dirname, resolve } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { description, hosts, locations, onViolation, ownPlaceholder, secretName } from "../api/fields.ts";
import { parseYaml } from "../config/file.ts";
import { parsePlaceholder } from "../core/substitution/placeholder.ts";
import type { JsonObject } from "./api-client.ts";
import { readEnvText } from "./env-text.ts";

/** Where a value is to be had. */
export type ValueSource =
  | { readonly kind: "env"; readonly name: string }
  | { readonly kind: "file"; readonly path: string }
  /** It stood in the .env file itself. */
  | { readonly kind: "given"; readonly value: string };

/** Absent fields stay as they are at the API; null clears them. */
export interface Definition {
  readonly name: string;
  /** Empty: unrestricted, and meant so. */
  readonly hosts: readonly string[];
  readonly description?: string | null;
  readonly locations?: readonly string[] | null;
  readonly onViolation?: "pass" | "block" | null;
  readonly placeholder?: string;
  readonly valueFrom?: ValueSource;
}

export interface Definitions {
  readonly definitions: readonly Definition[];
  /** In words, each with its place. Nothing that may be a value is quoted. */
  readonly faults: readonly string[];
}

const yamlSecret = z.strictObject({
  hosts: hosts.optional(),
  unrestricted: z.literal(true, "must be true, or left out").optional(),
  description: description.optional(),
  locations: locations.optional(),
  onViolation: onViolation.optional(),
  placeholder: ownPlaceholder.optional(),
  valueFrom: z
    .union([z.strictObject({ env: z.string() }), z.strictObject({ file: z.string() })], "must be {env: …} or {file: …}")
    .optional(),
});

const yamlFile = z.strictObject({
  secrets: z.record(z.string(), z.unknown(), "must be a table of secrets by name"),
});

/** `path`: of the file, against whose folder `valueFrom: {file}` is resolved. */
export async function readYaml(text: string, path: string): Promise<Definitions> {
  const parsed = await parseYaml(text);
  if (parsed.kind === "malformed") return { definitions: [], faults: [parsed.problem] };
  const file = yamlFile.safeParse(parsed.content);
  if (!file.success) return { definitions: [], faults: file.error.issues.map(describe) };
  const definitions: Definition[] = [];
  const faults: string[] = [];
  for (const [name, content] of Object.entries(file.data.secrets)) {
    const named = secretName.safeParse(name);
    if (!named.success) {
      faults.push(...named.error.issues.map((issue) => `${JSON.stringify(name)}: ${issue.message}`));
      continue;
    }
    const secret = yamlSecret.safeParse(content ?? {});
    if (!secret.success) {
      faults.push(...secret.error.issues.map((issue) => `${name}: ${describe(issue)}`));
      continue;
    }
    const { unrestricted = false, valueFrom, placeholder, ...fields } = secret.data;
    const hostsFault = judgeHosts(fields.hosts ?? [], unrestricted);
    if (hostsFault !== undefined) faults.push(`${name}: ${hostsFault}`);
    definitions.push({
      name,
      hosts: fields.hosts ?? [],
      description: fields.description ?? null,
      locations: fields.locations ?? null,
      onViolation: fields.onViolation ?? null,
      ...(placeholder === undefined ? {} : { placeholder }),
      ...(valueFrom === undefined ? {} : { valueFrom: sourceOf(valueFrom, dirname(path)) }),
    });
  }
  return { definitions, faults };
}

const EVERY_HOST = "every host";

/** `fallback`: for variables without a comment that names hosts; undefined: each needs one. */
export function readEnvDefinitions(text: string, fallback: readonly string[] | undefined): Definitions {
  const { variables, faults: textFaults } = readEnvText(text);
  const definitions = new Map<string, Definition>();
  const faults: string[] = [...textFaults];
  for (const { name, value, comment } of variables) {
    const [, given] = /^# *hosts: *(.*?) *$/.exec(comment ?? "") ?? [];
    const unrestricted = given === EVERY_HOST || (given === undefined && fallback?.length === 0);
    const list =
      given === undefined ? (fallback ?? []) : unrestricted ? [] : given.split(",").map((each) => each.trim());
    const checked = hosts.safeParse(list);
    const problems = checked.success ? [] : checked.error.issues.map((issue) => `hosts: ${issue.message}`);
    const named = secretName.safeParse(name);
    if (!named.success) problems.push(...named.error.issues.map((issue) => issue.message));
    if (definitions.has(name)) problems.push("is there twice");
    const hostsFault = judgeHosts(list, unrestricted);
    if (hostsFault !== undefined) problems.push(`${hostsFault} (in a comment above it: # hosts: api.example.com)`);
    faults.push(...problems.map((problem) => `${name}: ${problem}`));
    definitions.set(name, { name, hosts: list, ...(value ? { valueFrom: { kind: "given", value } } : {}) });
  }
  return { definitions: [...definitions.values()], faults };
}

function judgeHosts(list: readonly string[], unrestricted: boolean): string | undefined {
  if (list.length > 0 && unrestricted) return "has hosts and is unrestricted; one of them is not meant";
  if (list.length > 0 || unrestricted) return undefined;
  return "names no hosts, so it could be sent to every host; name some, or say that it is unrestricted";
}

function sourceOf(given: { readonly env: string } | { readonly file: string }, folder: string): ValueSource {
  return "env" in given ? { kind: "env", name: given.env } : { kind: "file", path: resolve(folder, given.file) };
}

function describe(issue: z.core.$ZodIssue): string {
  const at = issue.path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  const where = at === "" ? "" : `${at.replace(/^\./, "")}: `;
  if (issue.code !== "unrecognized_keys") return where + issue.message;
  const hint = issue.keys.includes("value") ? "; values do not belong in this file, valueFrom says where they are" : "";
  return `${where}has no field ${issue.keys.map((key) => JSON.stringify(key)).join(", ")}${hint}`;
}

/** Secrets as the API shows them, in YAML. */
export function writeYaml(secrets: readonly JsonObject[]): string {
  const table = Object.fromEntries(
    secrets.map(({ name, hosts: list, description: about, locations: places, onViolation: choice, placeholder }) => [
      String(name),
      {
        ...(Array.isArray(list) && list.length > 0 ? { hosts: list } : { unrestricted: true }),
        ...(about === undefined || about === null ? {} : { description: about }),
        ...(places === undefined || places === null ? {} : { locations: places }),
        ...(choice === undefined || choice === null ? {} : { onViolation: choice }),
        ...(parsePlaceholder(String(placeholder)).kind === "own" ? { placeholder } : {}),
      },
    ]),
  );
  return `# Secrets of keyswap, without their values. keyswap import reads this.\n${stringify({ secrets: table })}`;
}

/** Names that a .env file cannot have are left out, and answered. */
export function writeEnvDefinitions(secrets: readonly JsonObject[]): { text: string; omitted: readonly string[] } {
  const omitted: string[] = [];
  let text = "";
  for (const { name, hosts: list } of secrets) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(String(name))) omitted.push(String(name));
    else text += `# hosts: ${Array.isArray(list) && list.length > 0 ? list.join(", ") : EVERY_HOST}\n${name}=\n`;
  }
  return { text, omitted };
}
