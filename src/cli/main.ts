// The command line: picks the command, loads its file and nothing else, and turns its outcome into an exit code.
//
//   main ─► one file per command ─► config (flags, env, file) ─► compose.ts (the only wiring) ─► serve.ts
//
// Exit codes: 0 done, 1 failure, 2 wrong usage or configuration; `run` passes the command's own through.

import { type Cli, newCommand, reportFailure } from "./command.ts";
import { entries } from "./commands.ts";
import { readVersion } from "./version.ts";

/** Runs one command line (without `node` and the script) and answers its exit code. Never rejects. */
export async function main(argv: readonly string[], cli: Cli = processCli()): Promise<number> {
  try {
    const program = newCommand(
      cli,
      "keyswap",
      "Sandboxes hold placeholders; the real secret is put on the wire, only for its hosts.",
      [
        "keyswap start",
        "keyswap secret create OPENAI --host api.openai.com --value-stdin < key.txt",
        "keyswap run --secret OPENAI_API_KEY=OPENAI -- python agent.py",
      ],
    );
    program.version(`keyswap ${readVersion()}`, "-V, --version", "print the version");
    // `keyswap help start` needs the command, too.
    const [name] = argv.filter((word) => !word.startsWith("-") && word !== "help");
    program.enablePositionalOptions();
    for (const entry of entries) {
      if (entry.name === name) program.addCommand((await entry.load()).define(cli));
      else program.addCommand(newCommand(cli, entry.name, entry.summary));
    }
    if (argv.length === 0) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync([...argv], { from: "user" });
    return cli.exitCode;
  } catch (error) {
    return reportFailure(cli, error);
  }
}

function processCli(): Cli {
  const { stdout, stderr, env } = process;
  // A reader that went away (`keyswap secret list | head -1`) is no failure of ours.
  stdout.on("error", () => {});
  stderr.on("error", () => {});
  return {
    // Opening stdin has side effects on some kinds of it; most commands never look at it.
    get stdin() {
      return process.stdin;
    },
    stdout,
    stderr,
    env,
    exitCode: 0,
  };
}
