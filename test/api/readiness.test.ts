// Which proxies are ready for a sandbox, by what the proxies themselves report: the real API, real grant caches.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ConnectionCounts } from "../../src/core/ports.ts";
import { SecretApiClient } from "../../src/secrets/client.ts";
import { GrantCache } from "../../src/secrets/grant-cache.ts";
import { Heartbeat } from "../../src/secrets/heartbeat.ts";
import { makeAuthority } from "../../src/tls/authority.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

const { certificate } = makeAuthority(Date.now());
let api: TestApi;
let now = Date.now();
const closing: (() => Promise<void>)[] = [];

beforeEach(async () => {
  now = Date.now();
  api = await startSecretApi({ caCertificate: () => certificate, clock: () => now });
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
  await api.close();
});

interface ProxyTraits {
  readonly isPushed?: boolean;
  readonly connections?: (max: number) => ConnectionCounts;
}

function startProxy(
  name: string,
  { isPushed = true, connections }: ProxyTraits = {},
): { cache: GrantCache; heartbeat: Heartbeat } {
  const client = new SecretApiClient({ url: api.url, key: api.proxyKey });
  const cache = new GrantCache({ client });
  if (isPushed) cache.start();
  const heartbeat = new Heartbeat({
    ...{ client, cache, id: `id-of-${name}`, name },
    caFingerprint: () => "ab".repeat(32),
    ...(connections === undefined ? {} : { connections }),
  });
  closing.push(async () => {
    await heartbeat.close();
    await cache.close();
    await client.close();
  });
  return { cache, heartbeat };
}

async function makeSandbox(): Promise<string> {
  return (await api.call("POST", "/sandbox", { secrets: [] })).body.id;
}

const readiness = async (id: string) => (await api.call("GET", `/sandbox/${id}/ready`)).body;
const states = async (id: string) =>
  (await readiness(id)).proxies.map(({ name, state }: Record<string, string>) => `${name} ${state}`);

test("no proxy, not ready; with one that hears changes it is, and the version shows once grants are loaded", async () => {
  const id = await makeSandbox();
  expect(await readiness(id)).toMatchObject({ sandboxId: id, ready: false, proxies: [] });
  const { cache } = startProxy("one");
  await expect.poll(() => states(id), { timeout: 10_000 }).toEqual(["one on-demand"]);
  expect((await readiness(id)).ready).toBe(true);
  await cache.get(id);
  await expect.poll(() => states(id), { timeout: 10_000 }).toEqual(["one loaded"]);
  const { version, proxies } = await readiness(id);
  expect(proxies[0].version).toBe(version);
});

test("a proxy that does not hear of changes is behind after one, until it has asked again", async () => {
  const id = await makeSandbox();
  const { cache } = startProxy("polling", { isPushed: false });
  await cache.get(id);
  await expect.poll(() => states(id), { timeout: 10_000 }).toEqual(["polling loaded"]);
  await api.call("PATCH", `/sandbox/${id}`, { sources: ["10.9.8.7/32"] });
  expect(await readiness(id)).toMatchObject({ ready: false, proxies: [{ state: "behind" }] });
  await cache.refresh(id, "unknown-key");
  await expect.poll(() => states(id), { timeout: 10_000 }).toEqual(["polling loaded"]);
});

test("a proxy that ends is waited for no longer; one that fell silent only for a while", async () => {
  const id = await makeSandbox();
  const { heartbeat } = startProxy("leaving");
  startProxy("silent");
  await expect.poll(() => states(id), { timeout: 10_000 }).toHaveLength(2);
  await heartbeat.close();
  expect(await states(id)).toEqual(["silent on-demand"]);
  now += 40_000;
  expect(await states(id)).toEqual([]);
});

test("the proxy learns which CA sandboxes are told to trust", async () => {
  const { heartbeat } = startProxy("one");
  await heartbeat.tried();
  expect(heartbeat.state).toEqual({ kind: "heard" });
  expect(heartbeat.apiCaFingerprint).toMatch(/^[0-9a-f]{64}$/);
});

describe("a key that is bound to one sandbox", () => {
  const report = { caFingerprint: null, heardVersion: null, grants: {}, isComplete: false };
  const beat = (key: string, id: string, more: Readonly<Record<string, unknown>> = {}) =>
    api.call("POST", "/egress/proxies", { ...report, id, name: id, ...more }, { key });
  const makeKey = async (name: string, sandboxId: string | null) => {
    const made = { name, permissions: ["resolve:secrets"], sandboxId };
    return (await api.call("POST", "/api-keys", made)).body.value as string;
  };
  const isReady = async (id: string) => (await readiness(id)).ready;

  test("speaks for that sandbox's readiness and for no other's", async () => {
    const [own, other] = [await makeSandbox(), await makeSandbox()];
    const key = await makeKey("sidecar", own);
    await beat(api.proxyKey, "gateway", { heardVersion: "9007199254740991" });
    expect([await isReady(own), await isReady(other)]).toEqual([true, true]);
    const connections = { bySandbox: { [own]: 2, [other]: 3 }, others: 4 };
    await beat(key, "sidecar", { grants: { [other]: "1" }, connections });
    expect([await isReady(own), await isReady(other)]).toEqual([false, true]);
    expect(await states(other)).toEqual(["gateway on-demand"]);
    const { items } = (await api.call("GET", `/console/presence?ids=${own},${other}`)).body;
    expect(items).toMatchObject([
      { sandboxId: own, connections: 2, proxies: 2, readyProxies: 1 },
      { sandboxId: other, connections: 0, proxies: 1, readyProxies: 1 },
    ]);
  });

  test("does not speak in another proxy's name", async () => {
    const [own, other] = [await makeSandbox(), await makeSandbox()];
    const [key, unbound] = [await makeKey("sidecar", own), await makeKey("gateway", null)];
    await beat(unbound, "gateway", { heardVersion: "9007199254740991" });
    await beat(key, "gateway");
    await beat(key, "gateway", { isLeaving: true });
    expect(await states(other)).toEqual(["gateway on-demand"]);
    expect(await isReady(other)).toBe(true);
  });

  test("stands for a few proxies at a time", async () => {
    const own = await makeSandbox();
    const key = await makeKey("sidecar", own);
    for (let at = 0; at < 40; at++) {
      now += 1;
      await beat(key, `invented-${at}`);
    }
    const kept = (await readiness(own)).proxies.map(({ id }: { id: string }) => id);
    expect(kept).toHaveLength(16);
    expect(kept).toContain("invented-39");
    expect(kept).not.toContain("invented-23");
  });
});

describe("live connections", () => {
  const beat = (id: string, connections: unknown) =>
    api.call(
      "POST",
      "/egress/proxies",
      { id, name: id, caFingerprint: null, heardVersion: "999999999999999", grants: {}, isComplete: true, connections },
      { key: api.proxyKey },
    );
  const counts = async (id: string) =>
    (await readiness(id)).proxies.map((each: { connections: number | null }) => each.connections);
  const presence = async (...ids: string[]) =>
    (await api.call("GET", `/console/presence?ids=${ids.join(",")}`)).body.items;

  test("are told by sandbox; what was not told is unknown, not none", async () => {
    const [busy, idle] = [await makeSandbox(), await makeSandbox()];
    await beat("a", { bySandbox: { [busy]: 3 }, others: 0 });
    await beat("b", { bySandbox: { [busy]: 4 }, others: 7 });
    await beat("c", undefined);
    expect(await counts(busy)).toEqual([3, 4, null]);
    expect(await counts(idle)).toEqual([0, null, null]);
    expect(await presence(busy, idle, "nobody")).toEqual([
      { sandboxId: busy, connections: 7, isComplete: false, proxies: 3, readyProxies: 3 },
      { sandboxId: idle, connections: 0, isComplete: false, proxies: 3, readyProxies: 3 },
    ]);
    await beat("b", { bySandbox: {}, others: 0 });
    await beat("c", { bySandbox: { [idle]: 1 }, others: 0 });
    expect(await presence(idle)).toMatchObject([{ connections: 1, isComplete: true }]);
  });

  test("come with a proxy's heartbeat", async () => {
    const id = await makeSandbox();
    const asked: number[] = [];
    startProxy("one", {
      connections: (max) => {
        asked.push(max);
        return { bySandbox: { [id]: 2 }, others: 0 };
      },
    });
    await expect.poll(() => counts(id), { timeout: 10_000 }).toEqual([2]);
    expect(Math.max(...asked)).toBeLessThanOrEqual(1_000);
  });

  test("of impossible numbers, or too many questions, are refused", async () => {
    expect((await beat("a", { bySandbox: { box: -1 }, others: 0 })).status).toBe(400);
    expect((await beat("a", { bySandbox: { box: 1 } })).status).toBe(400);
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, at) => [`s${at}`, 1]));
    expect((await beat("a", { bySandbox: many, others: 0 })).status).toBe(400);
    const ids = Array.from({ length: 101 }, (_, at) => `s${at}`).join(",");
    expect((await api.call("GET", `/console/presence?ids=${ids}`)).status).toBe(400);
    expect((await api.call("GET", "/console/presence?ids=x", undefined, { key: api.proxyKey })).status).toBe(403);
  });
});

describe("access", () => {
  test("only what resolves may report, only what manages sandboxes may ask", async () => {
    const report = { id: "p", name: "p", caFingerprint: null, heardVersion: null, grants: {}, isComplete: true };
    expect((await api.call("POST", "/egress/proxies", report)).status).toBe(403);
    expect((await api.call("POST", "/egress/proxies", report, { key: api.proxyKey })).status).toBe(200);
    const id = await makeSandbox();
    expect((await api.call("GET", `/sandbox/${id}/ready`, undefined, { key: api.proxyKey })).status).toBe(403);
    expect((await api.call("GET", "/sandbox/nobody/ready")).status).toBe(404);
  });

  test("a report beyond the bounds is refused", async () => {
    const grants = Object.fromEntries(Array.from({ length: 1001 }, (_, at) => [`s${at}`, "1"]));
    const report = { id: "p", name: "p", caFingerprint: null, heardVersion: null, grants, isComplete: true };
    expect((await api.call("POST", "/egress/proxies", report, { key: api.proxyKey })).status).toBe(400);
    const odd = { ...report, grants: {}, id: "../x" };
    expect((await api.call("POST", "/egress/proxies", odd, { key: api.proxyKey })).status).toBe(400);
  });
});
