// From a value typed into the console to the feed that shows where it went: `keyswap start` as a process of its own, a real
// browser, curl as the sandbox, a real TLS origin.

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { browserMissing, startBrowser } from "../support/browser.ts";
import { curl } from "../support/curl.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki } from "../support/pki.ts";
import { makeWorkbench, type RunningKeyswap, type Workbench } from "../support/workbench.ts";

const missing = browserMissing();

describe.skipIf(missing !== undefined)(`by console${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  const apiKey = "the-bootstrap-key-of-this-test";
  const [first, second] = ["first-real-value-0123456789", "second-real-value-987654321"];
  let bench: Workbench;
  let keyswap: RunningKeyswap;
  let origin: Origin;
  let browser: Browser;
  let page: Page;
  let upstreamCa: string;
  const answers: string[] = [];

  beforeAll(async () => {
    const pki = makePki();
    // An echo: what it was sent comes back, so scrubbing has its part in it.
    const handler: Parameters<typeof startOrigin>[0]["handler"] = (request, response) => {
      response.end(`you sent ${request.headers.authorization}`);
    };
    origin = await startOrigin({ pki, names: ["api.localhost", "other.localhost"], handler });
    bench = makeWorkbench({ KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8", KEYSWAP_API_KEY: apiKey });
    upstreamCa = join(bench.env.HOME!, "upstream.pem"); // set by the workbench
    writeFileSync(upstreamCa, pki.caPem);
    keyswap = await bench.start(["start"], { env: { KEYSWAP_UPSTREAM_CA: upstreamCa } });
    browser = await startBrowser();
    page = await browser.newPage();
    page.on("response", async (response) => {
      if (!response.url().includes("/stream")) answers.push(await response.text().catch(() => ""));
    });
  });
  afterAll(async () => {
    await browser?.close();
    await origin?.close();
    await bench?.[Symbol.asyncDispose]();
  });

  const send = (environment: Record<string, string>, host: string) =>
    curl([
      "--noproxy",
      "",
      "--proxy",
      environment.HTTPS_PROXY!,
      "--cacert",
      host.startsWith("api.") ? keyswap.ready.ca : upstreamCa,
      "-H",
      `Authorization: Bearer ${environment.DEMO_KEY}`,
      `https://${host}:${origin.port}/`,
    ]);

  it("a secret is made, mounted, used, seen, rotated and deleted", { timeout: 120_000 }, async () => {
    await page.goto(keyswap.ready.api.replace(/\/api$/, "/"));
    await page.fill("#api-key", "not-the-key-of-anybody");
    await page.click("button:has-text('Sign in')");
    await page.waitForSelector("text=No API key is like this one.");
    await page.fill("#api-key", apiKey);
    await page.keyboard.press("Enter");

    await page.waitForSelector("text=No secrets yet");
    await page.click("button:has-text('New secret') >> nth=0");
    await page.fill("#secret-name", "DEMO");
    await page.fill("#secret-value", first);
    await page.fill("#secret-hosts", "api.localhost");
    await page.click("button:has-text('Create secret')");
    await page.waitForSelector("text=What sandboxes hold.");
    expect(await page.inputValue("#secret-value")).toBe("");
    await page.keyboard.press("Escape");

    await page.click("nav >> text=Sandboxes");
    await page.click("button:has-text('New sandbox') >> nth=0");
    await page.fill("#sandbox-name", "curl");
    await page.click("button:has-text('Attach a secret')");
    await page.fill("[aria-label='Variable 1']", "DEMO_KEY");
    await page.fill("[aria-label='Secret 1']", "DEMO");
    await page.click("button:has-text('Create sandbox')");
    await page.waitForSelector("text=is shown this once");
    const lines = await page.textContent(".environment");
    const environment = Object.fromEntries(
      [...(lines ?? "").matchAll(/^export (\w+)='?([^'\n]*)'?$/gm)].map(([, name, value]) => [name!, value!]),
    );
    expect(environment.DEMO_KEY).toMatch(/^dtn_secret_/);
    // The one proxy reports that it is ready, by itself.
    await page.waitForSelector("dialog .badge.is-good", { timeout: 30_000 });
    await page.waitForSelector("dialog li:has-text('0 connections open')");
    // And what is open.
    const proxyUrl = new URL(environment.HTTPS_PROXY!);
    const open = connect(Number(proxyUrl.port), proxyUrl.hostname);
    open.on("error", () => {});
    const login = Buffer.from(`${proxyUrl.username}:${proxyUrl.password}`).toString("base64");
    const target = `other.localhost:${origin.port}`;
    open.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Basic ${login}\r\n\r\n`);
    const [answer] = await once(open, "data");
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
    await page.waitForSelector("dialog li:has-text('1 connection open')", { timeout: 30_000 });
    await page.keyboard.press("Escape");
    await page.waitForSelector(".sandbox-rows .row:has-text('1 connection'):has-text('ready at 1 of 1 proxy')");
    open.destroy();

    await page.click("nav >> text=Traffic");
    await page.waitForSelector(".live.is-live");
    const { body } = await send(environment, "api.localhost");
    expect(origin.last().headers.authorization).toBe(`Bearer ${first}`);
    expect(body).toBe(`you sent Bearer ${environment.DEMO_KEY}`);
    await page.waitForSelector(`.feed .row:has-text('DEMO was written into a header')`);
    expect(await page.textContent(".feed .row >> nth=0")).toContain("scrubbed from the answer: DEMO");
    await send(environment, "other.localhost");
    expect(origin.last().headers.authorization).toBe(`Bearer ${environment.DEMO_KEY}`);
    await page.waitForSelector(".feed .row:has-text('Tunnelled'):has-text('other.localhost')");

    await page.click("nav >> text=Secrets");
    await page.waitForSelector(".secret-rows .row:has-text('DEMO'):has-text('1 sandbox'):has-text('just now')");
    await page.click("button.link:has-text('DEMO')");
    await page.fill("#secret-value", second);
    await page.click("button:has-text('Rotate value')");
    await page.waitForSelector("text=Value rotated");
    expect(await page.inputValue("#secret-value")).toBe("");
    await send(environment, "api.localhost");
    expect(origin.last().headers.authorization).toBe(`Bearer ${second}`);

    await page.click("button:has-text('Delete secret…')");
    expect(await page.textContent(".danger-zone")).toContain("1 sandbox loses it at once: curl");
    await page.click("button:has-text('Delete DEMO')");
    await page.waitForSelector("text=No secrets yet");
    await send(environment, "api.localhost");
    expect(origin.last().headers.authorization).toBe(`Bearer ${environment.DEMO_KEY}`);

    const kept = await page.evaluate(
      "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML])",
    );
    for (const value of [first, second, apiKey]) expect([kept, ...answers].join("\n")).not.toContain(value);
    for (const line of keyswap.stderr().trimEnd().split("\n")) expect(JSON.parse(line)).toHaveProperty("level");
  });
});
