// The text of a .env file, read strictly: what is neither a variable, a comment nor blank is a fault.
//
// Node's parseEnv is lenient where that costs most: a key of several lines without quotes is cut after its first, and the
// last one, which base64 ends with `=`, becomes a variable whose name is a part of the key. So lines are judged here, and
// parseEnv reads single values only.
//
// Invariant: a fault names its line and quotes nothing of it, not even what could be a name.

import { parseEnv } from "node:util";
import { CliError } from "./cli-error.ts";

export interface EnvVariable {
  readonly name: string;
  readonly value: string;
  /** Its lines, from 0; `end` is the one after the last. */
  readonly start: number;
  readonly end: number;
  /** The comment on the line right above, with its `#`. */
  readonly comment: string | undefined;
}

export interface EnvText {
  /** In their order; none where there is a fault. */
  readonly variables: readonly EnvVariable[];
  /** In words, each with its line. */
  readonly faults: readonly string[];
}

/** Secrets' names may hold hyphens, and Java programs read variables with dots. */
const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*(.*)$/s;
const COMMENT = /^[ \t]*#/;
const IN_QUOTES = "put a value of several lines in quotes";

export function readEnvText(text: string): EnvText {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const variables: EnvVariable[] = [];
  const faults: string[] = [];
  let comment: string | undefined;
  /** Of the lines of one broken value only the first is told. */
  let isAfterFault = false;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    if (line.trim() === "" || COMMENT.test(line)) {
      comment = line.trim() === "" ? undefined : line;
      continue;
    }
    const outcome = readVariable(lines, at, comment);
    comment = undefined;
    if (typeof outcome === "string") {
      if (!isAfterFault) faults.push(`line ${at + 1} ${outcome}`);
    } else {
      variables.push(outcome);
      at = outcome.end - 1;
    }
    isAfterFault = typeof outcome === "string";
  }
  return { variables: faults.length === 0 ? variables : [], faults };
}

/** Throws CliError with every fault of the text of `path`. */
export function readEnvVariables(text: string, path: string): readonly EnvVariable[] {
  const { variables, faults } = readEnvText(text);
  if (faults.length > 0) throw new CliError(2, `${path} is no .env file`, { hint: faults.join("\n") });
  return variables;
}

/** Answers the fault where there is one. */
function readVariable(lines: readonly string[], at: number, comment: string | undefined): EnvVariable | string {
  const [, name, given] = ASSIGNMENT.exec(lines[at]!) ?? [];
  if (name === undefined || given === undefined) return `is no variable; ${IN_QUOTES}`;
  const quote = /^["'`]/.exec(given)?.[0];
  if (quote !== undefined) {
    const quoted = readQuoted(lines, at, given, quote);
    return typeof quoted === "string"
      ? quoted
      : { name, value: decode(quoted.text), start: at, end: quoted.end, comment };
  }
  if (given.includes("-----BEGIN") && !given.includes("-----END")) return `begins a PEM block; ${IN_QUOTES}`;
  if (isEndOfBase64(lines[at]!, lines[at - 1])) {
    return `reads like the end of a base64 text; ${IN_QUOTES}, and write "" for one that is empty`;
  }
  return { name, value: decode(given), start: at, end: at + 1, comment };
}

/** From the opening quote in `first`, what line `at` gives, to the closing one. Answers the fault where there is one. */
function readQuoted(
  lines: readonly string[],
  at: number,
  first: string,
  quote: string,
): { readonly text: string; readonly end: number } | string {
  let before = "";
  let line = first;
  let end = at + 1;
  let close = line.indexOf(quote, 1);
  while (close === -1) {
    if (end === lines.length) return "opens a quote that is never closed";
    before += `${line}\n`;
    line = lines[end]!;
    end += 1;
    close = line.indexOf(quote);
  }
  if (!/^[ \t]*(?:#.*)?$/s.test(line.slice(close + 1))) {
    return "holds a value that goes on after its closing quote; one with quotes in it goes in quotes of another kind";
  }
  return { text: before + line.slice(0, close + 1), end };
}

function decode(given: string): string {
  return parseEnv(`V=${given}`).V ?? "";
}

/** Such a line is a variable by its form. Where it may be either, it is refused: a secret would be cut, its end a name. */
function isEndOfBase64(line: string, above = ""): boolean {
  const text = line.trim();
  if (/^[A-Za-z0-9_-]+==$/.test(text)) return true;
  if (!/^[A-Za-z0-9]+=$/.test(text) || text.length % 4 !== 0) return false;
  if (/[a-z]/.test(text) && /[A-Z]/.test(text) && /[0-9]/.test(text)) return true;
  // Base64 is cut into lines of 64 (RFC 7468) or 76 (RFC 2045); keys in hexadecimal may be as long.
  const [, full] = /=[ \t]*([A-Za-z0-9+/]{64}|[A-Za-z0-9+/]{76})[ \t]*$/.exec(above) ?? [];
  return full !== undefined && /[^0-9a-f]/i.test(full);
}
