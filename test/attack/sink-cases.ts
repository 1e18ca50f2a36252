// Faults: nobody reads what keyswap writes. A pipe that is full must stop neither traffic nor the end.

import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assertSubstitutes } from "./ways.ts";
import { type AttackCase, goodHost, holds, inOwnWorld, same, until, type World, type WorldOptions } from "./world.ts";

/** A named pipe with a reader that does not read. */
class BlockedPipe implements Disposable {
  readonly path: string;
  /** Open for both: it neither waits for a peer nor counts as one that has gone. */
  readonly fd: number;
  readonly #folder = mkdtempSync(join(tmpdir(), "keyswap-pipe-"));

  constructor() {
    this.path = join(this.#folder, "pipe");
    execFileSync("mkfifo", [this.path]);
    this.fd = openSync(this.path, constants.O_RDWR);
  }

  /** What waits in it. */
  drain(): string {
    const reader = openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
    const block = Buffer.alloc(65_536);
    let text = "";
    try {
      for (;;) text += block.toString("latin1", 0, readSync(reader, block));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
      return text;
    } finally {
      closeSync(reader);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
    rmSync(this.#folder, { recursive: true });
  }
}

/** More than a pipe holds (64 KiB), at some 400 bytes each. */
const exchanges = 400;

async function overfill(world: World, name: string): Promise<void> {
  const secret = await world.secret("a real value that nobody reads of", [goodHost]);
  const sandbox = await world.sandbox([secret]);
  for (let at = 0; at < exchanges; at++) await assertSubstitutes(world, sandbox, secret, `/${name}-${at}`);
}

async function assertEnds(world: World): Promise<void> {
  const from = performance.now();
  const { code } = await world.keyswap.stop("SIGTERM");
  same(code, 0, "exit code");
  // The log's second, the audit's three; the rest is a busy machine's.
  holds(performance.now() - from < 20_000, "it hung");
}

/** Whole lines in the pipe, and the log tells of the others. */
function assertCounted(world: World, pipe: BlockedPipe): void {
  const told = [...world.keyswap.stderr().matchAll(/(\d+) audit events could not be written before the end/g)];
  const lost = told.reduce((sum, [, count]) => sum + Number(count), 0);
  const lines = pipe.drain().split("\n").slice(0, -1);
  holds(lost > 0, "nothing was said of what is lost");
  for (const line of lines) JSON.parse(line);
  holds(lines.length + lost >= exchanges, `${lines.length} written, ${lost} lost`);
}

/** Reads until there is one event of each exchange, in whole lines. */
async function assertAllCome(pipe: BlockedPipe, name: string): Promise<void> {
  let text = "";
  await until(() => {
    text += pipe.drain();
    const lines = text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { type?: string; path?: string });
    const paths = lines.flatMap(({ type, path }) =>
      type === "exchange" && path !== undefined && path.startsWith(`/${name}-`) ? [path] : [],
    );
    same(new Set(paths).size, exchanges, "events");
    same(paths.length, exchanges, "events, repeated ones too");
  });
}

/** The pipe is full before anybody reads it; then every exchange's event comes, once. */
async function assertReadAgain(
  pipe: BlockedPipe,
  env: Readonly<Record<string, string>>,
  options?: WorldOptions,
): Promise<void> {
  await inOwnWorld(
    async (world) => {
      await overfill(world, "late");
      await assertAllCome(pipe, "late");
      await assertEnds(world);
    },
    env,
    options,
  );
}

export const sinkCases: readonly AttackCase[] = [
  {
    name: "an audit pipe that nobody reads: traffic goes on, what is lost is counted, SIGTERM ends it",
    run: async () => {
      using pipe = new BlockedPipe();
      await inOwnWorld(
        async (world) => {
          await overfill(world, "blocked");
          await assertEnds(world);
          assertCounted(world, pipe);
        },
        { KEYSWAP_AUDIT: pipe.path },
      );
    },
  },
  {
    name: "an audit pipe that nobody reads, under worker processes: traffic goes on, what is lost is counted, SIGTERM ends all",
    run: async () => {
      using pipe = new BlockedPipe();
      await inOwnWorld(
        async (world) => {
          await overfill(world, "workers");
          await assertEnds(world);
          assertCounted(world, pipe);
        },
        { KEYSWAP_AUDIT: pipe.path, KEYSWAP_WORKERS: "2" },
      );
    },
  },
  ...[1, 2].map((workers) => ({
    name: `an audit pipe that is read again, ${workers} process(es): no event is lost, none comes twice`,
    run: async () => {
      using pipe = new BlockedPipe();
      await assertReadAgain(pipe, { KEYSWAP_AUDIT: pipe.path, KEYSWAP_WORKERS: `${workers}` });
    },
  })),
  ...[1, 2].map((workers) => ({
    name: `a stderr that is read again, with log and audit on it, ${workers} process(es): lines are whole, no event is lost`,
    run: async () => {
      using pipe = new BlockedPipe();
      const env = { KEYSWAP_AUDIT: "stderr", KEYSWAP_WORKERS: `${workers}` };
      await assertReadAgain(pipe, env, { stderr: pipe.fd });
    },
  })),
  {
    name: "an audit pipe without a reader: the start fails, and says so",
    run: async (world) => {
      const folder = mkdtempSync(join(tmpdir(), "keyswap-pipe-"));
      const path = join(folder, "pipe");
      execFileSync("mkfifo", [path]);
      const { child, ended } = world.bench.launch(["start"], {
        env: { KEYSWAP_AUDIT: path, KEYSWAP_DATA_DIR: join(folder, "data") },
      });
      const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
      const { code, stderr } = await ended;
      clearTimeout(timer);
      rmSync(folder, { recursive: true });
      same(code, 2, "exit code");
      holds(stderr.includes("audit"), stderr);
    },
  },
  ...[1, 2].flatMap((workers) =>
    ["trace", "silent"].map((level) => ({
      name: `a stderr that nobody reads, with log (${level}) and audit on it, ${workers} process(es): traffic goes on, SIGTERM ends it`,
      run: async () => {
        using pipe = new BlockedPipe();
        await inOwnWorld(
          async (world) => {
            await overfill(world, "stderr");
            await assertEnds(world);
            const { length } = pipe.drain();
            // Lines that no longer fit as a whole leave some room.
            holds(length > 32_768, `only ${length} bytes were in the pipe`);
          },
          { KEYSWAP_AUDIT: "stderr", KEYSWAP_WORKERS: `${workers}`, KEYSWAP_LOG_LEVEL: level },
          { stderr: pipe.fd },
        );
      },
    })),
  ),
];
