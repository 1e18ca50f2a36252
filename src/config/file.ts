// The configuration file: YAML or JSON (which YAML 1.2 includes), one flat table of `key: value`.

import { readFile } from "node:fs/promises";
import type { ErrorCode } from "yaml";
import type { Fault } from "./faults.ts";
import { settingKeyOf } from "./settings.ts";

const MAX_FILE_BYTES = 1_048_576;

export type FileOutcome =
  | { readonly kind: "table"; readonly table: ReadonlyMap<string, unknown> }
  | { readonly kind: "fault"; readonly fault: Fault };

export async function readConfigFile(path: string): Promise<FileOutcome> {
  const fault = (problem: string): FileOutcome => ({ kind: "fault", fault: { name: path, problem } });
  let source: string;
  try {
    source = await readFile(path, "utf8");
  } catch (error) {
    return fault(`cannot be read: ${reasonOf(error)}`);
  }
  if (source.length > MAX_FILE_BYTES) return fault(`is longer than ${MAX_FILE_BYTES} bytes`);

  const parsed = await parseYaml(source, (name) => settingKeyOf(name) !== undefined);
  if (parsed.kind === "malformed") return fault(parsed.problem);
  const { content } = parsed;
  if (content === null || content === undefined) return { kind: "table", table: new Map() };
  if (typeof content !== "object" || Array.isArray(content)) {
    return fault("must be one table of keys and values, such as proxy-listen: 127.0.0.1:8080");
  }
  return { kind: "table", table: new Map(Object.entries(content)) };
}

/**
 * YAML, or JSON, which YAML 1.2 includes. The problem quotes nothing of the text, which may hold a key of the user's, but for
 * names that `isPublicName` knows.
 */
export async function parseYaml(
  source: string,
  isPublicName: (text: string) => boolean = () => false,
): Promise<
  { readonly kind: "content"; readonly content: unknown } | { readonly kind: "malformed"; readonly problem: string }
> {
  // Loaded only where there is a file: it costs 20 ms of a start.
  const { LineCounter, parseDocument } = await import("yaml");
  const lineCounter = new LineCounter();
  const document = parseDocument(source, { lineCounter, prettyErrors: false, logLevel: "silent" });
  const malformed = (detail: string) =>
    ({ kind: "malformed", problem: `is not well-formed YAML or JSON: ${detail}` }) as const;
  const error = document.errors[0] ?? document.warnings[0];
  if (error !== undefined) {
    // The library's message quotes the source: only its code, in our words, and its place are shown.
    const [position] = error.pos;
    const [, name = ""] = /^["']?([a-z-]+)/.exec(source.slice(position)) ?? [];
    const sentence =
      error.code === "DUPLICATE_KEY" && isPublicName(name)
        ? `the key ${name} stands there twice`
        : syntaxSentences[error.code];
    // What is missing at the end is missing on the last line that has something.
    const { line, col } = lineCounter.linePos(Math.min(position, source.trimEnd().length));
    return malformed(`${sentence} (line ${line}, column ${col})`);
  }
  try {
    return { kind: "content", content: document.toJS() };
  } catch {
    return malformed(syntaxSentences.BAD_ALIAS);
  }
}

const syntaxSentences: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: "an alias (*name) takes no tag and no anchor",
  BAD_ALIAS: "an alias (*name) stands for nothing; text that begins with * or & belongs in quotes",
  BAD_COLLECTION_TYPE: "a tag (!name) does not fit the list or table after it",
  BAD_DIRECTIVE: "a line that begins with % is no directive",
  BAD_DQ_ESCAPE: "a backslash in double quotes begins no escape; in single quotes it stands for itself",
  BAD_INDENT: "the indentation does not fit the lines before, or a bracket or brace is not closed",
  BAD_PROP_ORDER: "a tag or an anchor stands in the wrong place",
  BAD_SCALAR_START: "text that begins with this character belongs in quotes",
  BLOCK_AS_IMPLICIT_KEY: "a key stands behind or below a value; text with a colon and a blank belongs in quotes",
  BLOCK_IN_FLOW: "inside of brackets or braces a comma is missing, or an indented list or table stands there",
  DUPLICATE_KEY: "a key stands there twice",
  IMPOSSIBLE: "it cannot be read",
  KEY_OVER_1024_CHARS: "a key is longer than 1024 characters",
  MISSING_CHAR: "a closing quote, bracket or brace is missing, a comma, or the colon and blank after a key",
  MULTILINE_IMPLICIT_KEY: "a line has no colon and a blank after its key, or a key goes over several lines",
  MULTIPLE_ANCHORS: "a value has two anchors",
  MULTIPLE_DOCS: "there is more than one document; leave out the line ---",
  MULTIPLE_TAGS: "a value has two tags",
  NON_STRING_KEY: "a key is not text",
  RESOURCE_EXHAUSTION: "it is nested too deeply",
  TAB_AS_INDENT: "a tab stands where only blanks may indent",
  TAG_RESOLVE_FAILED: "a tag (!name) is not known; text that begins with ! belongs in quotes",
  UNEXPECTED_TOKEN: "something stands where nothing may; a quote, bracket or line end before it may be missing",
};

/** Why a file could not be read, in words where that is common. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
  switch (code) {
    case "ENOENT":
      return "there is no such file";
    case "EACCES":
    case "EPERM":
      return "its permissions forbid it";
    case "EISDIR":
      return "it is a folder";
    default:
      return code;
  }
}
