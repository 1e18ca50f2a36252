// `keyswap import`: makes the secrets of a file of definitions so. Everything is checked first; a fault changes nothing.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { SecretValue } from "../core/secret-value.ts";
import { defineClientFlags, withApi } from "./api-access.ts";
import type { ApiClient } from "./api-client.ts";
import { type Cli, CliError, collect, newCommand } from "./command.ts";
import { codeOf } from "./data-folder.ts";
import { type Definition, type Definitions, readEnvDefinitions, readYaml } from "./definitions.ts";
import { readEnvText } from "./env-text.ts";
import { fieldsOf, planImport, type Step } from "./import-plan.ts";
import { printJson } from "./output.ts";
import { checkValue, readAll, readValueFile } from "./secret-input.ts";
import { listSecrets } from "./secret-list.ts";

interface ImportOptions {
  readonly format?: string;
  readonly values?: string;
  readonly valuesEnv?: boolean;
  readonly updateValues?: boolean;
  readonly host?: readonly string[];
  readonly unrestricted?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const MAX_FILE_BYTES = 16 * 1_048_576;

export function define(cli: Cli): Command {
  const command = newCommand(cli, "import", "Create and change secrets so that they are as a file defines them", [
    "keyswap import keyswap.yaml --dry-run",
    "keyswap import keyswap.yaml --values - < values.env",
    "keyswap import keyswap.yaml --values-env",
    "keyswap import .env --host api.example.com",
  ])
    .argument("<file>", "YAML, or .env where its name says so; keyswap export writes both")
    .option("--format <yaml|env>", "what it is, if its name does not say it")
    .option("--values <file>", "values by secret name, in .env form; - for stdin")
    .option("--values-env", "values from the environment: the variable of a secret's name")
    .option("--update-values", "set values also of secrets that are there already")
    .option(
      "--host <pattern>",
      "for .env: the hosts of variables without a `# hosts:` comment; may be repeated",
      collect,
    )
    .option("--unrestricted", "for .env: such variables may go to every host")
    .option("--dry-run", "say what would be done, and do nothing")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nFields that a YAML definition leaves out are cleared; secrets that the file does not name stay as they are.\n" +
        "The same import again changes nothing.\n",
    );
  const flags = defineClientFlags(command);
  return command.action(async (file: string, options: ImportOptions) => {
    const { definitions, faults } = await readDefinitions(file, options);
    const values = await collectValues(cli, definitions, options);
    const before = [...faults, ...values.faults];
    await withApi(cli, flags, async ({ client }) => {
      const { updateValues = false } = options;
      const plan = planImport(definitions, await listSecrets(client), values.found, updateValues);
      refuse(file, [...before, ...plan.faults]);
      const done: Step[] = [];
      if (options.dryRun) done.push(...plan.steps);
      else await apply(client, plan.steps, done);
      report(cli, done, options);
    });
  });
}

function refuse(file: string, faults: readonly string[]): void {
  if (faults.length === 0) return;
  const heading = faults.length === 1 ? "has a fault" : `has ${faults.length} faults`;
  throw new CliError(2, `${file} ${heading}; nothing was changed`, { hint: faults.join("\n") });
}

async function readDefinitions(file: string, options: ImportOptions): Promise<Definitions> {
  const format = options.format ?? (/(^|[/.])env(\.|$)/.test(file) ? "env" : "yaml");
  const { host, unrestricted = false } = options;
  if (format !== "yaml" && format !== "env") throw new CliError(2, "--format is yaml or env");
  if (format === "yaml" && (host !== undefined || unrestricted)) {
    throw new CliError(2, "--host and --unrestricted are for .env files; a YAML definition names its hosts itself");
  }
  if (host !== undefined && unrestricted) throw new CliError(2, "give --host or --unrestricted, not both");
  const text = readText(file);
  return format === "yaml" ? readYaml(text, resolve(file)) : readEnvDefinitions(text, unrestricted ? [] : host);
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CliError(2, `${file} cannot be read (${codeOf(error)})`);
  }
}

/** From --values, else from where the definition says, else from the environment. */
async function collectValues(
  cli: Cli,
  definitions: readonly Definition[],
  { values, valuesEnv = false }: ImportOptions,
): Promise<{ readonly found: ReadonlyMap<string, SecretValue>; readonly faults: readonly string[] }> {
  const given = new Map<string, string>();
  const faults: string[] = [];
  if (values !== undefined) {
    const text = values === "-" ? (await readAll(cli.stdin, MAX_FILE_BYTES)).toString("utf8") : readText(values);
    const read = readEnvText(text);
    faults.push(...read.faults.map((fault) => `--values: ${fault}`));
    for (const { name, value } of read.variables) given.set(name, value);
  }
  const found = new Map<string, SecretValue>();
  for (const definition of definitions) {
    const { name } = definition;
    try {
      const bytes = await findValue(cli, definition, given.get(name), valuesEnv);
      if (bytes !== undefined) found.set(name, checkValue(name, bytes));
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      faults.push(`${name}: ${error.message}`);
    }
  }
  const known = new Set(definitions.map(({ name }) => name));
  for (const name of given.keys()) if (!known.has(name)) faults.push(`--values: ${name} is not defined in the file`);
  return { found, faults };
}

async function findValue(
  cli: Cli,
  { name, valueFrom }: Definition,
  given: string | undefined,
  valuesEnv: boolean,
): Promise<Buffer | undefined> {
  if (given !== undefined) return Buffer.from(given, "utf8");
  switch (valueFrom?.kind) {
    case "given":
      return Buffer.from(valueFrom.value, "utf8");
    case "file":
      return readValueFile(valueFrom.path);
    case "env":
      return fromEnvironment(cli, valueFrom.name);
    case undefined:
      return valuesEnv ? fromEnvironment(cli, name) : undefined;
    default:
      return valueFrom satisfies never;
  }
}

/** Not set is no fault: a secret that is there needs no value. */
function fromEnvironment(cli: Cli, variable: string): Buffer | undefined {
  const value = cli.env[variable];
  return value === undefined || value === "" ? undefined : Buffer.from(value, "utf8");
}

/** Adds to `done` as it goes; a step that fails ends it, and the import can simply be run again. */
async function apply(client: ApiClient, steps: readonly Step[], done: Step[]): Promise<void> {
  for (const step of steps) {
    const { name } = step.definition;
    try {
      await applyStep(client, step);
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      throw new CliError(error.exitCode, `${name}: ${error.message}`, {
        hint: `${done.length} of ${steps.length} secrets are done. Put it right and import again: what is done stays done.`,
        cause: error,
      });
    }
    done.push(step);
  }
}

async function applyStep(client: ApiClient, step: Step): Promise<void> {
  if (step.action === "keep") return;
  const value = step.value === undefined ? {} : { value: step.value.reveal().toString("utf8") };
  if (step.action === "create") {
    await client.call("POST", "/secret", { name: step.definition.name, ...fieldsOf(step.definition), ...value });
    return;
  }
  // An empty list is meant: the definition says that it is unrestricted.
  const widened = Array.isArray(step.fields.hosts) && step.fields.hosts.length === 0 ? "?unrestricted=true" : "";
  await client.call("PATCH", `/secret/${encodeURIComponent(step.id)}${widened}`, { ...step.fields, ...value });
}

const words = { create: "created", update: "changed", keep: "unchanged" } as const;
const plannedWords = { create: "to be created", update: "to be changed", keep: "unchanged" } as const;

function report(cli: Cli, steps: readonly Step[], { dryRun = false, json = false }: ImportOptions): void {
  const rows = steps.map((step) => ({
    name: step.definition.name,
    action: step.action,
    fields:
      step.action === "update" ? [...Object.keys(step.fields), ...(step.value === undefined ? [] : ["value"])] : [],
    hosts: step.definition.hosts,
  }));
  if (json) {
    printJson(cli, { dryRun, secrets: rows });
    return;
  }
  for (const { name, action, fields, hosts } of rows) {
    const what = fields.length === 0 ? "" : `: ${fields.join(", ")}`;
    const open = action !== "keep" && hosts.length === 0 ? " (may go to every host)" : "";
    cli.stdout.write(`${name} ${(dryRun ? plannedWords : words)[action]}${what}${open}\n`);
  }
}
