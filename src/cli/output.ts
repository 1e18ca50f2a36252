// What commands print: JSON for programs, tables for people.

import type { Json } from "./api-client.ts";
import type { Cli } from "./command.ts";

export function printJson(cli: Cli, json: Json): void {
  cli.stdout.write(`${JSON.stringify(json, undefined, 2)}\n`);
}

/** Columns as wide as their widest cell; the last one is not padded. */
export function printTable(cli: Cli, heading: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [heading, ...rows].map((row) => row.map(clean));
  const widths = heading.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  for (const row of all) {
    const line = row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)));
    cli.stdout.write(`${line.join("  ").trimEnd()}\n`);
  }
}

export function printFields(cli: Cli, fields: readonly (readonly [string, string])[]): void {
  const width = Math.max(...fields.map(([name]) => name.length));
  for (const [name, value] of fields)
    cli.stdout.write(`${name.padEnd(width)}  ${clean(value)}\n`.replace(/ +\n/, "\n"));
}

/** One of many, for programs. */
export function printJsonLine(cli: Cli, value: unknown): void {
  cli.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printLine(cli: Cli, line: string): void {
  cli.stdout.write(`${clean(line)}\n`);
}

/** Whoever read our output went away, as `head` does: what would go on for ever ends. */
export function isReaderGone(cli: Cli): boolean {
  return !cli.stdout.writable;
}

/** Names and descriptions come from others: no escape sequence may reach the terminal. */
export function clean(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}
