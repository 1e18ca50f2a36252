// A real browser behind the proxy: a page over HTTP/2, and a WebSocket that it opens over HTTP/1.1 by itself, because no
// extended CONNECT is advertised.

import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EchoOrigin, startEchoOrigin } from "../support/echo-origin.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { makePki } from "../support/pki.ts";

const run = promisify(execFile);
const [granted, stranger] = ["api.good.test", "evil.test"];
const executablePath = "/usr/bin/chromium";

/** Why it cannot be tried here; undefined where it can. */
function findObstacle(): string | undefined {
  if (spawnSync(executablePath, ["--version"], { stdio: "ignore" }).status !== 0) return "chromium is not installed";
  // It answers everything with its usage, but it answers.
  const certutil = spawnSync("certutil", ["-H"], { stdio: "ignore" });
  return certutil.error === undefined ? undefined : "libnss3-tools is not installed";
}

const obstacle = findObstacle();
let home: string;
let keyswap: TestKeyswap;
let origin: EchoOrigin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let browser: Browser;
let page: Page;

async function setUp(): Promise<void> {
  const pki = makePki();
  origin = await startEchoOrigin({ pki, names: [granted, stranger] });
  keyswap = await startKeyswap({ pki, upstreamPorts: { 443: origin.port } });
  secret = await keyswap.secret('a "real" value', [granted]);
  sandbox = await keyswap.sandbox([secret]);
  await keyswap.heard();

  // What a sandbox's image does once: the browser's own store of roots.
  home = mkdtempSync(join(tmpdir(), "keyswap-chromium-"));
  const store = join(home, ".pki/nssdb");
  mkdirSync(store, { recursive: true });
  await run("certutil", ["-d", `sql:${store}`, "-N", "--empty-password"]);
  for (const [name, pem] of Object.entries({ keyswap: keyswap.caPem, origin: pki.caPem })) {
    const path = join(home, `${name}.pem`);
    writeFileSync(path, pem);
    await run("certutil", ["-d", `sql:${store}`, "-A", "-t", "C,,", "-n", name, "-i", path]);
  }
  browser = await chromium.launch({
    executablePath,
    // Root, in a container.
    args: ["--no-sandbox"],
    env: { PATH: process.env.PATH ?? "", HOME: home },
    proxy: { server: `http://127.0.0.1:${keyswap.port}`, username: sandbox.id, password: sandbox.token },
  });
  page = await browser.newPage();
}

async function tearDown(): Promise<void> {
  await browser?.close();
  await keyswap?.close();
  await origin?.close();
  rmSync(home, { recursive: true, force: true });
  expect(keyswap.errors).toEqual([]);
}

/** Runs a script in the page; its types are the browser's. */
function inPage(script: string): Promise<unknown> {
  return page.evaluate(`(async () => { ${script} })()`);
}

const post = (key: string): string =>
  `const answer = await fetch("/", { method: "POST", body: "x", headers: { "x-key": ${JSON.stringify(key)} } });
   return answer.text();`;

const talk = (message: string): string =>
  `const socket = new WebSocket("wss://" + location.host + "/gateway");
   await new Promise((open, fail) => { socket.onopen = open; socket.onerror = () => fail(new Error("refused")); });
   socket.send(${JSON.stringify(message)});
   const { data } = await new Promise((come) => { socket.onmessage = come; });
   const closed = new Promise((close) => { socket.onclose = close; });
   socket.close(1000, "done");
   const { code, wasClean } = await closed;
   return { data, code, wasClean };`;

describe.skipIf(obstacle !== undefined)(`Chromium${obstacle === undefined ? "" : ` (skipped: ${obstacle})`}`, () => {
  beforeAll(setUp, 90_000);
  afterAll(tearDown, 30_000);

  it("loads a page over HTTP/2, and what it fetches has its placeholder substituted and the echo scrubbed", async () => {
    origin.expected = secret.value;
    const answer = await page.goto(`https://${granted}/`);
    expect(answer?.status()).toBe(200);
    expect(await inPage('return performance.getEntriesByType("navigation")[0].nextHopProtocol')).toBe("h2");
    expect(await inPage(post(secret.placeholder))).toBe(`h2 true ${secret.placeholder}`);
  });

  it("opens a WebSocket, identifies itself by a placeholder and sees it again", async () => {
    const identify = (token: string): string => JSON.stringify({ op: 2, d: { token } });
    origin.expected = identify(secret.value);
    await page.goto(`https://${granted}/`);
    expect(await inPage(talk(identify(secret.placeholder)))).toEqual({
      data: `text true ${identify(secret.placeholder)}`,
      code: 1000,
      wasClean: true,
    });
    const events = await keyswap.exchanges(sandbox, 3);
    expect(events.at(-1)).toMatchObject({
      protocol: "websocket",
      path: "/gateway",
      status: 101,
      error: undefined,
      substituted: [{ secret: secret.name, surface: "body" }],
      scrubbed: [secret.name],
    });
  });

  it("sends the placeholder itself to another host, by either", async () => {
    origin.expected = secret.value;
    await page.goto(`https://${stranger}/`);
    expect(await inPage(post(secret.placeholder))).toBe(`h2 false ${secret.placeholder}`);
    expect(await inPage(talk(secret.placeholder))).toMatchObject({ data: `text false ${secret.placeholder}` });
  });
});
