// The console's files, and what it asks beyond the contract.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { countTraffic, exchangeEvent } from "../support/audit-events.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
let root: string;
beforeAll(async () => {
  api = await startSecretApi({ version: "9.9.9" });
  root = api.url.replace(/\/api$/, "");
});
afterAll(() => api.close());

const get = (path: string, headers: Record<string, string> = {}) => fetch(root + path, { headers });

describe("the console's files", () => {
  it("are served under a policy that allows nothing from elsewhere and no inline script", async () => {
    const page = await get("/");
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
    expect(policy).not.toContain("unsafe");
    expect(page.headers.get("cache-control")).toBe("no-cache");
    const html = await page.text();
    expect(html).not.toMatch(/<script(?![^>]*src=)|\son\w+=|https?:|\{assets\}|\{preloads\}/);
  });

  it("are all there, by addresses that may be kept for ever", async () => {
    const html = await (await get("/")).text();
    const addresses = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => address!);
    expect(addresses.length).toBeGreaterThan(20);
    for (const address of new Set(addresses)) {
      const file = await get(address);
      expect([file.status, file.headers.get("cache-control")]).toEqual([200, "public, max-age=31536000, immutable"]);
      if (!address.endsWith(".js")) continue;
      const text = await file.text();
      // Whatever a module imports is among the files, under a relative address.
      for (const [, specifier] of text.matchAll(/^\s*import\s[^"']*?["']([^"']+)["']/gm)) {
        expect(specifier).toMatch(/^\.\.?\//);
        expect(addresses).toContain(new URL(specifier!, root + address).pathname);
      }
    }
  });

  it("are compressed as the browser takes it, and answered 304 where it has them", async () => {
    const page = await get("/", { "accept-encoding": "br" });
    expect(page.headers.get("content-encoding")).toBe("br");
    expect(await page.text()).toContain("<ks-app>");
    const plain = await get("/", { "accept-encoding": "identity" });
    expect(plain.headers.get("content-encoding")).toBeNull();
    const again = await get("/", { "if-none-match": page.headers.get("etag") ?? "" });
    expect(again.status).toBe(304);
  });

  it.each([
    "/assets/x/console/main.js",
    "/assets/",
    "/assets/../package.json",
    "/assets/%2e%2e/%2e%2e/package.json",
    "/console.css",
  ])("are no others: %s", async (path) => {
    expect((await get(path)).status).toBe(404);
  });
});

describe("what the console asks", () => {
  it("tells where a secret is mounted and when it was last used, and no value", async () => {
    const value = "value-of-the-console-test";
    const made = await api.call("POST", "/secret", { name: "OPENAI", value, hosts: ["a.test"] });
    await api.call("POST", "/secret", { name: "UNUSED", value: `${value}-2` });
    const box = await api.call("POST", "/sandbox", { name: "box", secrets: [{ A: "OPENAI" }, { B: "OPENAI" }] });
    const list = async () => (await api.call("GET", "/console/secrets?sort=name&order=asc")).body;
    expect((await list()).items).toMatchObject([
      { name: "OPENAI", mounts: 1, lastUsedAt: null },
      { name: "UNUSED", mounts: 0, lastUsedAt: null },
    ]);
    const event = exchangeEvent({
      time: new Date().toISOString(),
      sandbox: box.body.id,
      substituted: [{ secret: "OPENAI", surface: "header" }],
    });
    const report = { proxy: "p", counts: countTraffic([event]), events: [event], unsampled: 0, lost: 0 };
    await api.call("POST", "/egress/events", report, { key: api.proxyKey });
    const { body, text } = await api.call("GET", `/console/secrets/${made.body.id}`);
    expect(body).toMatchObject({
      mounts: 1,
      lastUsedAt: expect.stringMatching(/^20/),
      mountedIn: [
        { sandboxId: box.body.id, sandboxName: "box", env: "A" },
        { sandboxName: "box", env: "B" },
      ],
    });
    expect(text).not.toContain(value);
    expect((await api.call("GET", "/console/secrets/none")).status).toBe(404);
  });

  it("shows secrets to those who mount or audit them, and changes nothing for them", async () => {
    for (const permission of ["read:audit_logs", "write:sandboxes"]) {
      const { body } = await api.call("POST", "/api-keys", { name: `c-${permission}`, permissions: [permission] });
      const key = body.value;
      expect((await api.call("GET", "/console/secrets", undefined, { key })).status).toBe(200);
      expect((await api.call("GET", "/secret", undefined, { key })).status).toBe(403);
      expect((await api.call("POST", "/secret", { name: "X", value: "x" }, { key })).status).toBe(403);
    }
    expect((await api.call("GET", "/console/secrets", undefined, { key: api.proxyKey })).status).toBe(403);
  });

  it("tells the state of everything", async () => {
    const version = Number(await api.store.changes.version());
    const beat = { caFingerprint: null, grants: {}, isComplete: true };
    for (const [id, heardVersion] of [
      ["current", String(version)],
      ["behind", String(version - 2)],
      ["deaf", null],
    ]) {
      await api.call("POST", "/egress/proxies", { ...beat, id, name: id, heardVersion }, { key: api.proxyKey });
    }
    const { body } = await api.call("GET", "/console/status");
    expect(body).toMatchObject({ version: "9.9.9", store: { kind: "sqlite", answers: true }, ca: null });
    expect(body.proxies.map((each: { id: string; behind: number | null }) => [each.id, each.behind]).sort()).toEqual([
      ["behind", 2],
      ["current", 0],
      ["deaf", null],
    ]);
  });
});
