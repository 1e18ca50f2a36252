// The configuration file: YAML or JSON (which YAML 1.2 includes), one flat table of `key: value`.

import { readFile } from "node:fs/promises";
import type { Fault } from "./faults.ts";

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

  const parsed = await parseYaml(source);
  if (parsed.kind === "malformed") return fault(parsed.problem);
  const { content } = parsed;
  if (content === null || content === undefined) return { kind: "table", table: new Map() };
  if (typeof content !== "object" || Array.isArray(content)) {
    return fault("must be one table of keys and values, such as proxy-listen: 127.0.0.1:8080");
  }
  return { kind: "table", table: new Map(Object.entries(content)) };
}

/** YAML, or JSON, which YAML 1.2 includes. The problem quotes nothing of the text, which may hold a key. */
export async function parseYaml(
  source: string,
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
    // The library's message quotes the source: only its code and place are shown.
    const { line, col } = lineCounter.linePos(error.pos[0]);
    return malformed(`${error.code} at line ${line}, column ${col}`);
  }
  try {
    return { kind: "content", content: document.toJS() };
  } catch {
    return malformed("an alias cannot be resolved");
  }
}

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
