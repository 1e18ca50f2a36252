// From flags, environment and file to a Config: flags > environment > file > defaults, every fault at once.
//
//   flags, env ─┐
//   file ───────┴─► layers ─► per setting: first layer that has it ─► schema ─► rules between settings ─► Config
//
// Invariants: an unknown name is a fault, never ignored; no message holds the value of a key, a token or a confidential URL.

import { accessSync, constants, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { ConfigError, type Fault } from "./faults.ts";
import { readConfigFile, reasonOf } from "./file.ts";
import { nearestName } from "./nearest.ts";
import { checkRules } from "./rules.ts";
import {
  type CommandName,
  type Config,
  FILE_SUFFIX,
  type Place,
  plainName,
  type SettingKey,
  settingKeyOf,
  settingKeys,
  settingOf,
} from "./settings.ts";

export interface ConfigSources {
  readonly command: CommandName;
  /** By plain name (`proxy-listen`, `api-key-file`, `config`); a list where the flag was given several times. */
  readonly flags: ReadonlyMap<string, string | readonly string[]>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Against which relative paths of flags and variables are resolved; the process's own if absent. */
  readonly cwd?: string;
  readonly home?: string;
}

/** A setting as it is in force: for people, and to compare two configurations. */
export interface EffectiveSetting {
  readonly key: SettingKey;
  /** As it could be given; undefined where it has no value. Confidential ones show that there is one, never what it is. */
  readonly text: string | undefined;
  /** How the user gave it; undefined: the default. */
  readonly givenAs: string | undefined;
}

export interface EffectiveConfig {
  readonly config: Config;
  readonly settings: readonly EffectiveSetting[];
}

/** Throws ConfigError with all that is wrong. */
export async function loadConfig(sources: ConfigSources): Promise<Config> {
  return (await loadEffectiveConfig(sources)).config;
}

/** Throws ConfigError with all that is wrong. */
export async function loadEffectiveConfig(sources: ConfigSources): Promise<EffectiveConfig> {
  const faults: Fault[] = [];
  const layers = [flagLayer(sources), environmentLayer(sources, faults), await fileLayer(sources, faults)];
  const home = sources.home ?? homedir();
  const parsed: Partial<Record<SettingKey, unknown>> = {};
  const names: Partial<Record<SettingKey, string>> = {};
  const effective: EffectiveSetting[] = [];
  let place: Place = { home, cloneCerts: findCloneCerts(), dataDir: join(home, ".keyswap"), command: sources.command };
  for (const key of settingKeys) {
    const given = findGiven(key, layers, faults);
    if (given !== undefined) names[key] = given.name;
    parsed[key] = readSetting(key, given, place, faults);
    effective.push({ key, text: textOf(key, given, place), givenAs: given?.name });
    // The first setting: others' defaults derive from it.
    if (key === "dataDir" && typeof parsed.dataDir === "string") place = { ...place, dataDir: parsed.dataDir };
  }
  if (faults.length === 0) {
    // Without a fault every setting went through its own schema, or may be undefined.
    const config = parsed as Config;
    faults.push(...checkRules(config, sources.command, names));
    if (faults.length === 0) return { config, settings: effective };
  }
  throw new ConfigError(faults);
}

/** One source of values. */
interface Layer {
  readonly get: (plain: string) => unknown;
  /** How the user calls a setting here. */
  readonly nameOf: (plain: string) => string;
  readonly exampleOf: (plain: string, example: string) => string;
  /** Against which relative paths are resolved. */
  readonly base: string;
}

interface Given {
  readonly name: string;
  readonly raw: unknown;
  readonly layer: Layer;
  readonly plain: string;
}

function flagLayer({ flags, cwd }: ConfigSources): Layer {
  return {
    get: (plain) => {
      const given = flags.get(plain);
      return typeof given === "object" ? given.join(",") : given;
    },
    nameOf: (plain) => `--${plain}`,
    exampleOf: (plain, example) => `--${plain} ${example}`,
    base: cwd ?? process.cwd(),
  };
}

const CONFIG_VARIABLE = "KEYSWAP_CONFIG";

function environmentLayer({ env, cwd }: ConfigSources, faults: Fault[]): Layer {
  const variables = new Map<string, string>([[CONFIG_VARIABLE, "config"]]);
  for (const plain of allPlainNames()) variables.set(toVariable(plain), plain);
  for (const name of Object.keys(env)) {
    if (!name.startsWith("KEYSWAP_") || variables.has(name) || isServiceLink(name)) continue;
    faults.push({ name, problem: unknownProblem("variable", nearestName(name, variables.keys())) });
  }
  return {
    get: (plain) => {
      const value = env[toVariable(plain)];
      return value === "" && !refusesEmpty(plain) ? undefined : value;
    },
    nameOf: toVariable,
    exampleOf: (plain, example) => `${toVariable(plain)}=${example}`,
    base: cwd ?? process.cwd(),
  };
}

/**
 * Kubernetes gives every pod variables for each service of its namespace, so a service called `keyswap` or `keyswap-api`
 * makes KEYSWAP_SERVICE_HOST, KEYSWAP_API_PORT_8181_TCP_ADDR and the like. They are none of the user's doing.
 */
function isServiceLink(name: string): boolean {
  return /^KEYSWAP(?:_[A-Z0-9]+)*_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/.test(
    name,
  );
}

async function fileLayer({ flags, env, cwd }: ConfigSources, faults: Fault[]): Promise<Layer> {
  const flag = flags.get("config");
  const given = typeof flag === "string" ? flag : env[CONFIG_VARIABLE];
  const path = given === undefined || given === "" ? undefined : resolve(cwd ?? process.cwd(), given);
  const outcome = path === undefined ? undefined : await readConfigFile(path);
  let table: ReadonlyMap<string, unknown> = new Map();
  if (outcome?.kind === "fault") faults.push(outcome.fault);
  if (outcome?.kind === "table") table = outcome.table;
  const known = new Set(allPlainNames());
  for (const [key, value] of table) {
    const name = `${key} in ${path}`;
    if (!known.has(key)) faults.push({ name, problem: unknownProblem("key", nearestName(key, known)) });
    // Whoever wrote the key meant something by it: the default may be the opposite.
    else if (value === null) faults.push({ name, problem: "has no value; give it one, or remove the line" });
  }
  return {
    get: (plain) => table.get(plain) ?? undefined,
    nameOf: (plain) => `${plain} in ${path}`,
    exampleOf: (plain, example) => `${plain}: ${JSON.stringify(example)}`,
    base: path === undefined ? "/" : dirname(path),
  };
}

function unknownProblem(what: string, nearest: string | undefined): string {
  return nearest === undefined ? `is no ${what} of keyswap` : `is no ${what} of keyswap; did you mean ${nearest}?`;
}

/** The names of all settings and of their `…-file` forms. */
function allPlainNames(): string[] {
  return settingKeys.flatMap((key) => {
    const plain = plainName(key);
    return settingOf(key).confidential === undefined ? [plain] : [plain, plain + FILE_SUFFIX];
  });
}

function toVariable(plain: string): string {
  return `KEYSWAP_${plain.replaceAll("-", "_").toUpperCase()}`;
}

function refusesEmpty(plain: string): boolean {
  const key = settingKeyOf(plain);
  return key !== undefined && settingOf(key).refusesEmpty === true;
}

/** What the first layer that has the setting says; a value and a file for it in one layer is a fault. */
function findGiven(key: SettingKey, layers: readonly Layer[], faults: Fault[]): Given | undefined {
  const plain = plainName(key);
  const filePlain = plain + FILE_SUFFIX;
  const isConfidential = settingOf(key).confidential !== undefined;
  for (const layer of layers) {
    const raw = layer.get(plain);
    const filePath = isConfidential ? layer.get(filePlain) : undefined;
    if (raw !== undefined && filePath !== undefined) {
      faults.push({ name: layer.nameOf(plain), problem: `stands beside ${layer.nameOf(filePlain)}; give only one` });
      return undefined;
    }
    if (raw !== undefined) return { name: layer.nameOf(plain), raw, layer, plain };
    if (filePath !== undefined) return readNamedFile(filePath, layer, filePlain, faults);
  }
  return undefined;
}

const EMPTY = "is empty; leave it out for the default";
const MAX_KEY_FILE_BYTES = 65_536;

function readNamedFile(path: unknown, layer: Layer, plain: string, faults: Fault[]): Given | undefined {
  const name = layer.nameOf(plain);
  const fault = (problem: string) => {
    faults.push({ name, problem, example: layer.exampleOf(plain, `/run/secrets/${plain.replace(FILE_SUFFIX, "")}`) });
    return undefined;
  };
  if (typeof path !== "string") return fault("must be the path of one file");
  if (path === "") return fault(EMPTY);
  try {
    const content = readFileSync(resolve(layer.base, path), "utf8");
    if (content.length > MAX_KEY_FILE_BYTES) return fault("names a file that is too long to be a key");
    // Editors and `openssl rand` end the file with a newline that is no part of the key.
    return { name, raw: content.replace(/\r?\n$/, ""), layer, plain };
  } catch (error) {
    return fault(`names a file that cannot be read: ${reasonOf(error)}`);
  }
}

function readSetting(key: SettingKey, given: Given | undefined, place: Place, faults: Fault[]): unknown {
  const setting = settingOf(key);
  const { fallback } = setting;
  if (given === undefined) {
    if (fallback === undefined) return undefined;
    return setting.schema.parse(typeof fallback === "string" ? fallback : fallback(place));
  }
  const { name, layer, plain } = given;
  const example = layer.exampleOf(plain, plain.endsWith(FILE_SUFFIX) ? "/path/of/the/file" : setting.example);
  const raw = setting.kind === undefined ? given.raw : expandPath(given.raw, layer.base, place.home);
  if (isEmpty(raw) && (setting.refusesEmpty || setting.kind !== undefined)) {
    faults.push({ name, problem: EMPTY, example });
    return undefined;
  }
  const outcome = setting.schema.safeParse(raw);
  if (!outcome.success) {
    for (const issue of outcome.error.issues) faults.push({ name, problem: issue.message, example });
    return undefined;
  }
  if (setting.kind === "file" && typeof outcome.data === "string") {
    try {
      accessSync(outcome.data, constants.R_OK);
    } catch (error) {
      faults.push({ name, problem: `${outcome.data} cannot be read: ${reasonOf(error)}`, example });
    }
  }
  return outcome.data;
}

/** What was given, or the default, on one line. */
function textOf(key: SettingKey, given: Given | undefined, place: Place): string | undefined {
  const { confidential, kind, fallback } = settingOf(key);
  if (given === undefined) return typeof fallback === "function" ? fallback(place) : fallback;
  if (confidential !== undefined) return `[secret ${plainName(key)}]`;
  const raw = kind === undefined ? given.raw : expandPath(given.raw, given.layer.base, place.home);
  return Array.isArray(raw) ? raw.join(",") : String(raw);
}

function isEmpty(raw: unknown): boolean {
  return Array.isArray(raw) ? raw.length === 0 : typeof raw === "string" && /^[\s,]*$/.test(raw);
}

/** Words such as `off` and `stderr` stay: a file of such a name is written `./off`. */
function expandPath(raw: unknown, base: string, home: string): unknown {
  if (typeof raw !== "string" || raw === "" || raw === "off" || raw === "stderr") return raw;
  if (raw === "~" || raw.startsWith("~/")) return join(home, raw.slice(1));
  return resolve(base, raw);
}

/** Only a clone runs from TypeScript: the published package is JavaScript in `dist`. */
function findCloneCerts(): string | undefined {
  if (!import.meta.filename.endsWith(".ts")) return undefined;
  return resolve(import.meta.dirname, "../../certs");
}
