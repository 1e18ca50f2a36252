// What every command shares: the world it runs in, its errors, and how commander is set up.

import { Command, CommanderError } from "commander";
import { CliError } from "./cli-error.ts";

export { CliError, type FailureCode } from "./cli-error.ts";

/** The process as a command sees it; tests hand in their own. */
export interface Cli {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What `main` answers if nothing throws. */
  exitCode: number;
}

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Loading a command costs time; only the one that runs is loaded. */
  readonly load: () => Promise<{ readonly define: (cli: Cli) => Command }>;
}

/** A commander command that writes to `cli` and throws instead of leaving the process. */
export function newCommand(cli: Cli, name: string, description: string, examples: readonly string[] = []): Command {
  const command = new Command(name)
    .description(description)
    .exitOverride()
    .showHelpAfterError("(add --help for all options)")
    .allowExcessArguments(false)
    .configureOutput({
      writeOut: (text) => void cli.stdout.write(text),
      writeErr: (text) => void cli.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "keyswap: ")),
    });
  if (examples.length > 0)
    command.addHelpText("after", `\nExamples:\n${examples.map((line) => `  ${line}`).join("\n")}\n`);
  return command;
}

/** Parses an option that may be repeated: its values in their order. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** The exit code for what a command threw, after telling the user. */
export function reportFailure(cli: Cli, error: unknown): number {
  // Commander has written its message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof CliError) {
    const hint = error.hint === undefined ? "" : `  ${error.hint.replaceAll("\n", "\n  ")}\n`;
    cli.stderr.write(`keyswap: ${error.message}\n${hint}`);
    return error.exitCode;
  }
  // ConfigError by its code: importing the class would load the schema for every command.
  if (error instanceof Error && "code" in error && error.code === "config-invalid") {
    cli.stderr.write(`keyswap: ${error.message}\n`);
    return 2;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : "something that is no Error was thrown";
  cli.stderr.write(`keyswap: internal error: ${text}\n`);
  return 1;
}
