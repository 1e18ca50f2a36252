// The real command as a process of its own, with a data folder that is thrown away.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Readable, Writable } from "node:stream";
import type { Cli } from "../../src/cli/command.ts";
import { main } from "../../src/cli/main.ts";

const ownMain = resolve(import.meta.dirname, "../../src/main.ts");

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  /** A descriptor that takes the place of the stderr that is collected. */
  readonly stderr?: number;
}

export interface Ready {
  readonly event: "ready";
  readonly proxy: string;
  readonly api: string;
  readonly admin: string;
  readonly ca: string;
}

/** A command that has not ended yet. */
export interface Launched {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  /** What it has written so far. */
  stdout(): string;
  stderr(): string;
  /** Waits until stdout holds a whole line, and answers the first; throws with its stderr where it ends before. */
  firstLine(): Promise<string>;
}

export interface RunningKeyswap {
  readonly ready: Ready;
  readonly pid: number;
  stderr(): string;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<Outcome>;
}

export interface Workbench extends AsyncDisposable {
  readonly dataDir: string;
  readonly certsDir: string;
  /** Variables under which every command of this workbench runs: nothing of the tester's own reaches it. */
  readonly env: Readonly<Record<string, string>>;
  launch(args: readonly string[], options?: CommandOptions): Launched;
  /** Runs one command to its end. */
  run(args: readonly string[], options?: CommandOptions): Promise<Outcome>;
  /** As `run`, but in this process: quicker, for commands that neither serve nor read signals. */
  runHere(args: readonly string[], options?: CommandOptions): Promise<Outcome>;
  /** Starts a service (`start`, `proxy`, `api`) and waits for its ready line. */
  start(args: readonly string[], options?: CommandOptions): Promise<RunningKeyswap>;
}

/** Every listener takes a free port. Kills what still runs when it is disposed of. `mainFile`: of another clone. */
export function makeWorkbench(extra: Readonly<Record<string, string>> = {}, mainFile = ownMain): Workbench {
  const folder = mkdtempSync(join(tmpdir(), "keyswap-workbench-"));
  const [home, dataDir, certsDir] = [
    join(folder, "home"),
    extra.KEYSWAP_DATA_DIR ?? join(folder, "data"),
    join(folder, "certs"),
  ];
  mkdirSync(home);
  const children = new Set<ChildProcess>();
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? "",
    HOME: home,
    LANG: "C.UTF-8",
    KEYSWAP_DATA_DIR: dataDir,
    KEYSWAP_CERTS_DIR: certsDir,
    KEYSWAP_PROXY_LISTEN: "127.0.0.1:0",
    KEYSWAP_API_LISTEN: "127.0.0.1:0",
    KEYSWAP_ADMIN_LISTEN: "127.0.0.1:0",
    ...extra,
  };

  const launch = (args: readonly string[], options: CommandOptions = {}): Launched => {
    const child = spawn(process.execPath, [mainFile, ...args], {
      env: { ...env, ...options.env },
      cwd: folder,
      stdio: ["pipe", "pipe", options.stderr ?? "pipe"],
    });
    children.add(child);
    let [stdout, stderr] = ["", ""];
    child.stdout?.setEncoding("utf8").on("data", (part: string) => {
      stdout += part;
    });
    child.stderr?.setEncoding("utf8").on("data", (part: string) => {
      stderr += part;
    });
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
    const ended = new Promise<Outcome>((done) => {
      child.on("close", (code) => {
        children.delete(child);
        done({ code, stdout, stderr });
      });
    });
    const firstLine = () =>
      new Promise<string>((done, fail) => {
        const look = () => {
          const end = stdout.indexOf("\n");
          if (end !== -1) done(stdout.slice(0, end));
        };
        child.stdout?.on("data", look);
        look();
        void ended.then(({ code }) => fail(new Error(`ended with ${code} before it wrote a line:\n${stderr}`)));
      });
    return { child, ended, stdout: () => stdout, stderr: () => stderr, firstLine };
  };

  return {
    dataDir,
    certsDir,
    env,
    launch,
    run: (args, options) => launch(args, options).ended,
    runHere: (args, options) => runHere(args, { ...env, ...options?.env }, options?.input ?? ""),
    start: async (args, options) => {
      const { child, ended, stderr, firstLine } = launch(args, options);
      const ready = JSON.parse(await firstLine()) as Ready; // the test says what it expects of it
      return {
        ready,
        pid: child.pid!,
        stderr,
        stop: (signal = "SIGTERM") => {
          child.kill(signal);
          return ended;
        },
      };
    },
    [Symbol.asyncDispose]: async () => {
      const ends = [...children].map((child) => new Promise((done) => child.once("close", done)));
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(ends);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function runHere(args: readonly string[], env: Cli["env"], input: string | Buffer): Promise<Outcome> {
  let [stdout, stderr] = ["", ""];
  const collect = (take: (text: string) => void) =>
    new Writable({
      write: (chunk, _encoding, done) => {
        take(String(chunk));
        done();
      },
    });
  // Streams without a terminal: the commands ask of them no more than that.
  const cli = {
    stdin: Readable.from([Buffer.from(input)]),
    stdout: collect((text) => {
      stdout += text;
    }),
    stderr: collect((text) => {
      stderr += text;
    }),
    env,
    exitCode: 0,
  } as unknown as Cli;
  const code = await main(args, cli);
  return { code, stdout, stderr };
}
