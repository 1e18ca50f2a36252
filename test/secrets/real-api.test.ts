// The proxy's side against the real Secret API: what one writes the other has to hear.

import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SandboxGrants } from "../../src/core/grants.ts";
import type { GrantsAnswer } from "../../src/core/ports.ts";
import { SecretApiClient } from "../../src/secrets/client.ts";
import { GrantCache } from "../../src/secrets/grant-cache.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";
import { Relay } from "./relay.ts";

let api: TestApi;
let client: SecretApiClient;
let cache: GrantCache;

beforeEach(async () => {
  api = await startSecretApi();
  client = new SecretApiClient({ url: api.url, key: api.proxyKey });
  cache = new GrantCache({ client });
});

afterEach(async () => {
  await cache.close();
  await client.close();
  await api.close();
});

async function grants(answer: GrantsAnswer | Promise<GrantsAnswer>): Promise<SandboxGrants> {
  const given = await answer;
  if (given.kind !== "grants") throw new Error(`${given.kind} ${"detail" in given ? given.detail : ""}`);
  return given.grants;
}

async function made(
  path: string,
  body: unknown,
): Promise<{ id: string; placeholder: string; egress: { proxyUrl: string } }> {
  const answer = await api.call("POST", path, body);
  expect(answer.status).toBeLessThan(300);
  return answer.body;
}

function eventually(check: () => void | Promise<void>): Promise<void> {
  return vi.waitFor(check, { timeout: 10_000, interval: 5 });
}

async function live(): Promise<void> {
  cache.start();
  await eventually(() => expect(cache.state.stream).toBe("live"));
}

const values = (known: SandboxGrants) => known.grants.map((grant) => grant.value.reveal().toString());

describe("with the real Secret API", () => {
  it("everything of a sandbox comes through", async () => {
    const secret = await made("/secret", {
      name: "KEY",
      value: "first",
      hosts: ["*.Example.com", "127.0.0.1"],
      locations: ["header:X-Key", "body:/a"],
      onViolation: "block",
    });
    const sandbox = await made("/sandbox", {
      secrets: [{ A: "KEY" }, { B: "KEY" }],
      sources: ["10.0.0.5"],
      onViolation: "pass",
    });
    const known = await grants(cache.get(sandbox.id));
    expect(known.grants.map((grant) => grant.env).sort()).toEqual(["A", "B"]);
    expect(known.grants[0]).toMatchObject({
      name: "KEY",
      placeholder: secret.placeholder,
      locations: [
        { surface: "header", part: "x-key" },
        { surface: "body", part: "/a" },
      ],
      onViolation: "block",
    });
    expect(known.onViolation).toBe("pass");
    const token = decodeURIComponent(new URL(sandbox.egress.proxyUrl).password);
    expect(known.tokenHash).toBe(`sha256:${createHash("sha256").update(token).digest("hex")}`);
    expect(await cache.sandboxForAddress("10.0.0.5")).toEqual({ kind: "sandbox", sandboxId: sandbox.id });
    expect(client.form).toBe("keyswap");
    expect(await client.fetchGrants(sandbox.id, `"${known.version}"`)).toEqual({ kind: "not-modified" });
    expect(await cache.get("nobody")).toEqual({ kind: "unknown-sandbox" });
  });

  it("an own placeholder and a value of every kind of character come through", async () => {
    const value = 'ä"\\\n\t€\u{1f600}\u0001';
    await made("/secret", { name: "KEY", value, placeholder: "sk-1234567890abcdefghij" });
    const sandbox = await made("/sandbox", { secrets: [{ A: "KEY" }] });
    const known = await grants(cache.get(sandbox.id));
    expect(values(known)).toEqual([value]);
    expect(known.grants[0]).toMatchObject({ placeholder: "sk-1234567890abcdefghij", hosts: [], locations: undefined });
  });

  it("rotation, mounting, detaching and deletion are heard", async () => {
    const secret = await made("/secret", { name: "KEY", value: "first", hosts: ["a.example"] });
    const sandbox = await made("/sandbox", { secrets: [{ A: "KEY" }] });
    await live();
    await grants(cache.get(sandbox.id));

    await api.call("PATCH", `/secret/${secret.id}`, { value: "second" });
    await eventually(async () => expect(values(await grants(cache.get(sandbox.id)))).toEqual(["second"]));
    expect((await grants(cache.get(sandbox.id))).retired.map((grant) => grant.value.reveal().toString())).toEqual([
      "first",
    ]);

    await made("/secret", { name: "OTHER", value: "other" });
    await api.call("PUT", `/sandbox/${sandbox.id}/secrets`, { secrets: [{ A: "KEY" }, { B: "OTHER" }] });
    await eventually(async () =>
      expect(values(await grants(cache.get(sandbox.id))).sort()).toEqual(["other", "second"]),
    );

    await api.call("DELETE", `/secret/${secret.id}`);
    await eventually(async () => expect(values(await grants(cache.get(sandbox.id)))).toEqual(["other"]));

    await api.call("DELETE", `/sandbox/${sandbox.id}`);
    await eventually(async () => expect(await cache.get(sandbox.id)).toEqual({ kind: "unknown-sandbox" }));
  });

  it("what was written while the stream was down is heard when it is back, and nothing else is fetched", async () => {
    const relay = new Relay(Number(new URL(api.url).port));
    const port = await relay.listen();
    const away = new SecretApiClient({ url: `http://127.0.0.1:${port}/api`, key: api.proxyKey });
    await cache.close();
    cache = new GrantCache({ client: away });

    const secret = await made("/secret", { name: "KEY", value: "first" });
    await made("/secret", { name: "OTHER", value: "other" });
    const touched = await made("/sandbox", { secrets: [{ A: "KEY" }] });
    const spared = await made("/sandbox", { secrets: [{ A: "OTHER" }] });
    await live();
    await grants(cache.get(touched.id));
    const kept = await cache.get(spared.id);

    relay.cut();
    await eventually(() => expect(cache.state.stream).toBe("connecting"));
    for (let i = 0; i < 3; i++) await api.call("PATCH", `/secret/${secret.id}`, { value: `rotated ${i}` });
    // The API cannot be heard: what there is serves.
    expect(values(await grants(cache.get(touched.id)))).toEqual(["first"]);

    relay.isOpen = true;
    await eventually(() => expect(cache.state.stream).toBe("live"));
    expect(values(await grants(cache.get(touched.id)))).toEqual(["rotated 2"]);
    expect(cache.get(spared.id)).toBe(kept);
    await cache.close();
    await away.close();
    await relay.close();
  });

  it("serves Daytona's form too", async () => {
    await made("/secret", { name: "KEY", value: "first", hosts: ["a.example"] });
    const sandbox = await made("/sandbox", { secrets: [{ A: "KEY" }] });
    const daytona = new SecretApiClient({ url: api.url, key: api.proxyKey, form: "daytona" });
    const answer = await daytona.fetchGrants(sandbox.id);
    await daytona.close();
    if (answer.kind !== "answer") throw new Error(answer.kind);
    expect(values(answer.value)).toEqual(["first"]);
    expect(answer.value.tokenHash).toBeUndefined();
  });

  it("a key that may not resolve is refused", async () => {
    const sandbox = await made("/sandbox", {});
    const stranger = new SecretApiClient({ url: api.url, key: api.apiKey });
    expect(await stranger.fetchGrants(sandbox.id)).toMatchObject({ kind: "failed", reason: "refused" });
    await stranger.close();
  });
});
