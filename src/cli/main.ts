// The command line: picks the command, loads its file and nothing else, and turns its outcome into an exit code.
//
//   main ─► one file per command ─► config (flags, env, file) ─► compose.ts (the only wiring) ─► serve.ts
//
// Exit codes: 0 done, 1 failure, 2 wrong usage or configuration; `run` passes the command's own through.

import type { Command } from "commander";
import { type Cli, newCommand, reportFailure } from "./command.ts";
import { readVersion } from "./version.ts";

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Loading a command costs time; only the one that runs is loaded. */
  readonly load: () => Promise<{ readonly define: (cli: Cli) => Command }>;
}

const entries: readonly CommandEntry[] = [
  { name: "start", summary: "Run the Secret API and the proxy in one process", load: () => import("./start.ts") },
  { name: "proxy", summary: "Run the proxy alone", load: () => import("./proxy.ts") },
  { name: "api", summary: "Run the Secret API alone", load: () => import("./api.ts") },
  { name: "run", summary: "Run a command as a sandbox with secrets", load: () => import("./run.ts") },
  { name: "secret", summary: "Create, list, show, change and delete secrets", load: () => import("./secret.ts") },
  {
    name: "sandbox",
    summary: "Create, list, show and delete sandboxes; mount secrets",
    load: () => import("./sandbox.ts"),
  },
  { name: "env", summary: "Print secrets' placeholders, or write a .env file", load: () => import("./env.ts") },
  {
    name: "explain",
    summary: "Say whether a request would be substituted, and why not",
    load: () => import("./explain.ts"),
  },
  { name: "doctor", summary: "Check this machine, each runtime by a real request", load: () => import("./doctor.ts") },
  { name: "key", summary: "Create, list and revoke API keys", load: () => import("./key.ts") },
  {
    name: "organization",
    summary: "Create, list and change organizations and their quotas",
    load: () => import("./organization.ts"),
  },
  {
    name: "master-key",
    summary: "List and change the keys that values are sealed under",
    load: () => import("./master-key.ts"),
  },
  {
    name: "audit",
    summary: "Show what was changed, and what went through the proxy",
    load: () => import("./audit.ts"),
  },
  { name: "import", summary: "Make secrets so as a file defines them", load: () => import("./import.ts") },
  { name: "export", summary: "Write the definitions of secrets, without values", load: () => import("./export.ts") },
  { name: "backup", summary: "Copy the SQLite store into a new file", load: () => import("./backup.ts") },
  { name: "restore", summary: "Put a backup in the place of the SQLite store", load: () => import("./restore.ts") },
  { name: "config", summary: "Check and show the configuration", load: () => import("./config.ts") },
  { name: "ca", summary: "Print the CA's certificate; share the CA between proxies", load: () => import("./ca.ts") },
];

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
