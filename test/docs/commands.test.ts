// Every command block of the documentation, run as a reader would: document by document, block after block, in a copy of
// the clone with a home of its own.
//
//   ```sh                     runs to its end and has to succeed; what it exports holds for the blocks after it
//   ```sh server              goes on running until the document ends; its first line of output says that it is ready
//   ```sh not-run="reason"    is not run

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const documents = ["README.md", "CONTRIBUTING.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)]
  .filter((path) => path.endsWith(".md"))
  .map((path) => ({ path, blocks: readBlocks(readFileSync(join(root, path), "utf8")) }));

interface Block {
  readonly line: number;
  /** The fence's info string. */
  readonly info: string;
  readonly text: string;
}

function readBlocks(markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { line: number; info: string; lines: string[] } | undefined;
  for (const [index, text] of markdown.split("\n").entries()) {
    const fence = /^```(.*)$/.exec(text);
    if (fence === null) open?.lines.push(text);
    else if (open === undefined) open = { line: index + 1, info: fence[1] ?? "", lines: [] };
    else {
      blocks.push({ line: open.line, info: open.info, text: open.lines.join("\n") });
      open = undefined;
    }
  }
  return blocks;
}

const isShell = ({ info }: Block) => /^sh\b/.test(info);
const isServer = ({ info }: Block) => info === "sh server";
const isNotRun = ({ info }: Block) => /^sh not-run="[^"]+"$/.test(info);

test.each(documents)("the blocks of $path say what they are", ({ blocks }) => {
  for (const block of blocks) {
    const looksRun = /^(?:keyswap|npm|npx|curl|docker|kubectl|sudo) /m.test(block.text);
    if (isShell(block))
      expect([block.line, block.info === "sh" || isServer(block) || isNotRun(block)]).toEqual([block.line, true]);
    else expect([block.line, looksRun && block.info === ""]).toEqual([block.line, false]);
  }
});

let clone: string;
let home: string;
let env: Record<string, string>;

beforeAll(() => {
  clone = mkdtempSync(join(tmpdir(), "keyswap-docs-"));
  const tracked = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  }).split("\0");
  for (const path of tracked.filter((name) => name !== "" && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(clone, path)), { recursive: true });
    cpSync(join(root, path), join(clone, path));
  }
  symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
  const bin = join(clone, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "keyswap"), `#!/bin/sh\nexec "${process.execPath}" "${clone}/src/main.ts" "$@"\n`, {
    mode: 0o755,
  });
  home = join(clone, "home");
  env = { PATH: [bin, dirname(process.execPath), process.env.PATH].join(delimiter), HOME: home, LANG: "C.UTF-8" };
});

afterAll(() => rmSync(clone, { recursive: true, force: true }));

describe.each(documents.filter(({ blocks }) => blocks.some((block) => isShell(block) && !isNotRun(block))))(
  "$path",
  ({ blocks }) => {
    test("its commands work, in their order", async () => {
      rmSync(home, { recursive: true, force: true });
      mkdirSync(home);
      const servers: ChildProcess[] = [];
      const exported = join(home, "exported");
      writeFileSync(exported, "");
      try {
        for (const block of blocks.filter((found) => isShell(found) && !isNotRun(found))) {
          const script = `set -ae; . "${exported}"; set +a\n${block.text}`;
          if (isServer(block)) servers.push(await startServer(script));
          else await run(`${script}\nexport -p > "${exported}"`, block.line);
        }
      } finally {
        for (const server of servers.toReversed()) await stop(server);
      }
    }, 180_000);
  },
);

async function run(script: string, line: number): Promise<void> {
  const child = spawn("sh", ["-c", script], { cwd: clone, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (output += part.toString()));
  const code = await new Promise((done) => child.on("close", done));
  expect({ line, code, output: code === 0 ? "" : output }).toEqual({ line, code: 0, output: "" });
}

/** In a process group of its own: npm does not pass every signal on. */
async function startServer(script: string): Promise<ChildProcess> {
  const child = spawn("sh", ["-c", script], { cwd: clone, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let output = "";
  let isReady = false;
  await new Promise<void>((ready, failed) => {
    child.stdout.on("data", (part: Buffer) => {
      output += part.toString();
      // npm prints what it runs.
      isReady ||= output.split("\n").some((text) => text !== "" && !text.startsWith("> "));
      if (isReady) ready();
    });
    child.stderr.on("data", (part: Buffer) => (output += part.toString()));
    child.on("close", () => failed(new Error(`a server ended: ${output}`)));
  });
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const ended = new Promise((done) => child.on("close", done));
  process.kill(-child.pid, "SIGTERM");
  await ended;
}

test("the alias for a clone works from every folder, also where the clone's path holds a blank", async () => {
  const page = documents.find(({ path }) => path === "docs/getting-started.md");
  const alias = page?.blocks
    .flatMap(({ text }) => text.split("\n"))
    .filter((line) => line.startsWith("alias keyswap="));
  expect(alias).toHaveLength(1);
  const spaced = join(clone, "a clone");
  const elsewhere = join(clone, "elsewhere");
  mkdirSync(elsewhere);
  symlinkSync(clone, spaced);
  writeFileSync(join(elsewhere, "value.txt"), "x".repeat(20));
  const script = [
    "set -e",
    `cd "${spaced}"`,
    ...alias!,
    `cd "${elsewhere}"`,
    "keyswap secret create ALIASED --host api.example --value-file value.txt >/dev/null",
    "keyswap run --secret A=ALIASED -- pwd",
  ].join("\n");
  // Without the command that the other blocks find: the alias alone has to do.
  const bare = { ...env, PATH: process.env.PATH, HOME: elsewhere };
  const output = execFileSync("sh", ["-c", script], { env: bare, encoding: "utf8" });
  expect(output).toBe(`${elsewhere}\n`);
}, 60_000);
