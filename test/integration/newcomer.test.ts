// A newcomer's path: the packed package, installed in an empty folder, and the first commands.

import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki } from "../support/pki.ts";

const root = resolve(import.meta.dirname, "../..");
const VALUE = "first-steps/value+1";
const run = promisify(execFile);

let folder: string;
let project: string;
let env: Record<string, string>;
let origin: Origin;

/** Rejects with the command's output where it fails. */
async function shell(script: string, options: { cwd?: string; env?: Record<string, string> } = {}) {
  return run("sh", ["-ec", script], { cwd: project, env, maxBuffer: 16 * 1_048_576, ...options });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-newcomer-"));
  project = join(folder, "project");
  mkdirSync(project);
  const pki = makePki();
  writeFileSync(join(folder, "upstream.pem"), pki.caPem);
  origin = await startOrigin({
    pki,
    names: ["api.localhost"],
    handler: (request, response) => response.end(`told: ${request.headers.authorization}`),
  });
  // This Node's folder first; npm comes from wherever it is.
  env = {
    PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
    HOME: folder,
    LANG: "C.UTF-8",
    KEYSWAP_UPSTREAM_CA: join(folder, "upstream.pem"),
    KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8,::1",
    // How this machine's npm reaches its registry and cache.
    ...Object.fromEntries(
      Object.entries(process.env).flatMap(([name, value]) =>
        value !== undefined && /^npm_config_(registry|cache|userconfig)$/.test(name) ? [[name, value]] : [],
      ),
    ),
  };
  await shell(`npm pack --silent --pack-destination ${folder}`, { cwd: root });
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  await shell(
    `npm init -y >/dev/null && npm install --silent --no-audit --no-fund --prefer-offline ${folder}/${tarball}`,
  );
}, 300_000);

afterAll(async () => {
  await origin.close();
  rmSync(folder, { recursive: true, force: true });
});

test("stores a secret and runs a command with it", async () => {
  writeFileSync(join(folder, "value.txt"), VALUE);
  await shell(`npx keyswap secret create API --host api.localhost --value-file ${folder}/value.txt`);
  const url = `https://api.localhost:${origin.port}/`;
  const { stdout } = await shell(
    `npx keyswap run --secret TOKEN=API -- sh -c 'echo $TOKEN; curl -sS --noproxy "" -H "Authorization: Bearer $TOKEN" ${url}'`,
  );
  const [placeholder, answer] = stdout.split("\n");
  expect(origin.last().headers.authorization).toBe(`Bearer ${VALUE}`);
  expect(answer).toBe(`told: Bearer ${placeholder}`);
});

test("imports the library", async () => {
  writeFileSync(
    join(project, "embed.mjs"),
    `import { createProxy, SecretService } from "keyswap";
await using keyswap = await createProxy();
await keyswap.secrets.create({ name: "API", value: "x-value-x", hosts: ["api.example.com"] });
await using sandbox = await keyswap.createSandbox({ KEY: "API" });
console.log(keyswap.secrets instanceof SecretService, /^http:..+@127/.test(sandbox.proxyUrl), sandbox.placeholders.KEY.length);
`,
  );
  const { stdout } = await shell("node embed.mjs");
  expect(stdout).toBe("true true 36\n");
});

test("the console is in the package: every file that the page names, under a strict policy, from nowhere else", async () => {
  const ports = Object.fromEntries(["PROXY", "API", "ADMIN"].map((port) => [`KEYSWAP_${port}_LISTEN`, "127.0.0.1:0"]));
  const started = spawn("npx", ["keyswap", "start"], {
    cwd: project,
    env: { ...env, ...ports, KEYSWAP_DATA_DIR: join(folder, "console-data") },
    stdio: ["ignore", "pipe", "inherit"],
    // A group of its own: npx does not pass every signal on.
    detached: true,
  });
  const ended = once(started, "close");
  try {
    let root = "";
    for await (const line of createInterface({ input: started.stdout })) {
      root = new URL(JSON.parse(line).api).origin;
      break;
    }
    const read = async (path: string) => {
      const answer = await fetch(root + path, { redirect: "error", signal: AbortSignal.timeout(30_000) });
      const policy = answer.headers.get("content-security-policy") ?? "";
      expect([path, answer.status, policy]).toEqual([path, 200, expect.stringMatching(/^default-src 'none'; /)]);
      expect(policy).not.toMatch(/unsafe|\*|https?:/);
      return answer.text();
    };
    const named = (html: string) => [...html.matchAll(/\b(?:src|href)="([^"]+)"/g)].map(([, address]) => address!);
    const page = await read("/");
    const assets = new Set(named(page));
    for (const wanted of [/main\.js$/, /traffic-page\.js$/, /lit-html\.js$/, /console\.css$/, /icon\.svg$/]) {
      expect([...assets].some((path) => wanted.test(path))).toBe(true);
    }
    for (const path of assets) {
      expect(path).toMatch(/^\/assets\//);
      const text = await read(path);
      // Modules name others by relative addresses, and the page has named those already.
      for (const [, specifier] of text.matchAll(/^\s*import\s[^"']*?["']([^"']+)["']/gm)) {
        expect(specifier).toMatch(/^\.\.?\//);
        expect([...assets]).toContain(new URL(specifier!, root + path).pathname);
      }
      if (path.endsWith(".css")) expect(text).not.toMatch(/url\(\s*["']?(?:https?:)?\/\/|@import/);
    }
    expect(page).not.toMatch(/https?:/);
  } finally {
    // The whole group; gone already where it failed to start. It has closed when nobody in it writes any more.
    if (started.pid !== undefined && started.exitCode === null) process.kill(-started.pid, "SIGTERM");
    started.stdout.resume();
    await ended;
  }
}, 120_000);

const oldNode = (process.env.PATH ?? "").split(delimiter).find((path) => {
  const node = join(path, "node");
  if (!existsSync(node) || !statSync(node).isFile()) return false;
  return Number(execFileSync(node, ["-p", "process.versions.node.split('.')[0]"], { encoding: "utf8" })) < 24;
});

test.skipIf(oldNode === undefined)(
  `an old Node is told what is needed${oldNode === undefined ? " (skipped: no Node before 24 on PATH)" : ""}`,
  async () => {
    const failed = await shell("npx keyswap start", {
      env: { ...env, PATH: `${oldNode}${delimiter}${env.PATH}` },
    }).then(
      () => undefined,
      (error: { code: number; stderr: string }) => error,
    );
    expect(failed?.code).toBe(2);
    expect(failed?.stderr).toMatch(/keyswap needs Node\.js 24 or newer; this is \d+/);
  },
);
