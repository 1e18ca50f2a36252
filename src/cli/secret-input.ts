// How a secret's value comes in: from stdin, a file or a prompt without echo. Never from an argument, which every
// process of the machine could read.

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { SecretValue } from "../core/secret-value.ts";
import { type Cli, CliError } from "./command.ts";
import { codeOf } from "./data-folder.ts";

/** The API's own bound. */
const MAX_VALUE_BYTES = 65_536;

export interface ValueOptions {
  readonly valueStdin?: boolean;
  readonly valueFile?: string;
}

export const valueHelp = "One final newline is dropped, as `echo` and editors add it; all else is kept byte for byte.";

/** Undefined where no source was named. */
export async function readValue(cli: Cli, name: string, options: ValueOptions): Promise<SecretValue | undefined> {
  const { valueStdin, valueFile } = options;
  if (valueStdin && valueFile !== undefined) throw new CliError(2, "give --value-stdin or --value-file, not both");
  if (valueFile !== undefined) return checkValue(name, await readValueFile(valueFile));
  if (!valueStdin) return undefined;
  if (cli.stdin.isTTY) return checkValue(name, Buffer.from(await prompt(cli, `Value of ${name}: `), "utf8"));
  return checkValue(name, dropNewline(await readAll(cli.stdin)));
}

/** Throws CliError; one final newline is dropped. */
export async function readValueFile(path: string): Promise<Buffer> {
  try {
    return dropNewline(await readFile(path));
  } catch (error) {
    throw new CliError(2, `the value's file ${path} cannot be read (${codeOf(error)})`, { cause: error });
  }
}

function dropNewline(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}

/** Throws CliError where the API would refuse it. */
export function checkValue(name: string, bytes: Buffer): SecretValue {
  if (bytes.length === 0) throw new CliError(2, "the value is empty");
  if (bytes.length > MAX_VALUE_BYTES) throw new CliError(2, `the value is longer than ${MAX_VALUE_BYTES} bytes`);
  const text = bytes.toString("utf8");
  // The API takes text; bytes that are no UTF-8 would arrive as something else.
  if (!Buffer.from(text, "utf8").equals(bytes)) {
    throw new CliError(2, "the value is not UTF-8 text", { hint: "Store it in an encoded form, such as base64." });
  }
  return new SecretValue(name, bytes);
}

/** Up to the longest value and its newline; a `maxBytes` beyond it is for files of several values. */
export async function readAll(stdin: NodeJS.ReadStream, maxBytes = MAX_VALUE_BYTES + 2): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of stdin) {
    const bytes = typeof part === "string" ? Buffer.from(part, "utf8") : Buffer.from(part);
    parts.push(bytes);
    length += bytes.length;
    // One more than the bound is enough to refuse; a pipe without end is not read to its end.
    if (length > maxBytes) break;
  }
  return Buffer.concat(parts);
}

/** Asks on stderr, so that stdout stays a program's; what is typed is not shown. */
async function prompt(cli: Cli, question: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: cli.stdin, output: silent, terminal: true });
  // Only now: from here on the terminal does not echo what is typed.
  cli.stderr.write(question);
  const aborted = new AbortController();
  lines.once("SIGINT", () => aborted.abort());
  lines.once("close", () => aborted.abort());
  try {
    return await lines.question("", { signal: aborted.signal });
  } catch (error) {
    throw new CliError(1, "no value was given", { cause: error });
  } finally {
    lines.close();
    cli.stderr.write("\n");
  }
}
