// /sandbox on the wire, and what proxies are told of one.

import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
let now = Date.now();
beforeAll(async () => {
  api = await startSecretApi({ clock: () => now });
  for (const name of ["ONE", "TWO"])
    await api.call("POST", "/secret", { name, value: `value of ${name}`, hosts: [`${name.toLowerCase()}.example`] });
});
afterAll(() => api.close());

const create = async (body: unknown = {}) => (await api.call("POST", "/sandbox", body)).body;
const egress = (id: string, headers: Record<string, string> = {}) =>
  api.call("GET", `/sandbox/${id}/egress`, undefined, { key: api.proxyKey, headers });

describe("a sandbox", () => {
  it("has every field that Daytona's strict clients insist on", async () => {
    const { status, body } = await api.call("POST", "/sandbox", { secrets: [{ A_KEY: "ONE" }] });
    expect(status).toBe(200);
    const types: Record<string, string> = {
      id: "string",
      organizationId: "string",
      name: "string",
      user: "string",
      env: "object",
      labels: "object",
      public: "boolean",
      networkBlockAll: "boolean",
      target: "string",
      cpu: "number",
      gpu: "number",
      memory: "number",
      disk: "number",
      toolboxProxyUrl: "string",
      state: "string",
    };
    for (const [field, type] of Object.entries(types)) expect(typeof body[field], field).toBe(type);
    expect(body.state).toBe("started");
    expect(body.toolboxProxyUrl).not.toBe("");
  });

  it("gets proxy settings once, with a token that is stored as a hash", async () => {
    const box = await create({ secrets: [{ A_KEY: "ONE" }, { B_KEY: "TWO" }] });
    const url = new URL(box.egress.proxyUrl);
    expect([url.protocol, url.username, url.host]).toEqual(["http:", box.id, "127.0.0.1:8080"]);
    expect(box.egress.proxyUrl).toBe(`http://${box.id}:${url.password}@127.0.0.1:8080`);
    expect(Buffer.from(url.password, "base64url")).toHaveLength(32);
    expect(box.egress.caCertificate).toContain("BEGIN CERTIFICATE");
    const { env } = box.egress;
    for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"])
      expect(env[name]).toBe(box.egress.proxyUrl);
    expect([env.NO_PROXY, env.no_proxy]).toEqual(Array(2).fill("localhost,127.0.0.1,::1"));
    expect(env.A_KEY).toMatch(/^dtn_secret_/);
    expect(box.env).toEqual({ A_KEY: env.A_KEY, B_KEY: env.B_KEY });

    const hash = createHash("sha256").update(url.password).digest("hex");
    expect((await egress(box.id)).body.tokenHash).toBe(`sha256:${hash}`);
    expect((await api.call("GET", `/sandbox/${box.id}`)).text).not.toContain(url.password);

    const renewed = (await api.call("POST", `/sandbox/${box.id}/token`)).body;
    expect(new URL(renewed.egress.proxyUrl).password).not.toBe(url.password);
    expect((await egress(box.id)).body.tokenHash).not.toBe(`sha256:${hash}`);
  });

  it("is found by id and by name; a taken name is a 409", async () => {
    const box = await create({ name: "named box" });
    expect((await api.call("GET", "/sandbox/named%20box")).body.id).toBe(box.id);
    expect((await api.call("POST", "/sandbox", { name: "named box" })).status).toBe(409);
    expect((await create()).name).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("keeps what Daytona's clients give, but not env, which may hold credentials", async () => {
    const given = { user: "dev", target: "eu", cpu: 4, gpu: 0, memory: 8, disk: 20, public: true, labels: { a: "b" } };
    const box = await create({ ...given, env: { TOKEN: "plain" }, volumes: [] });
    expect(box).toMatchObject(given);
    expect(JSON.stringify(box)).not.toContain("plain");
  });

  it.each([
    ["an entry with two keys", { secrets: [{ A: "ONE", B: "TWO" }] }, 400],
    ["an entry without a key", { secrets: [{}] }, 400],
    ["an environment name twice", { secrets: [{ A: "ONE" }, { A: "TWO" }] }, 400],
    ["a bad environment name", { secrets: [{ "A-B": "ONE" }] }, 400],
    ["a map in place of the list", { secrets: { A: "ONE" } }, 400],
    ["an unknown secret", { secrets: [{ A: "ONE" }, { B: "NONE" }] }, 404],
    ["a source with bits beyond its prefix", { sources: ["10.0.0.5/8"] }, 400],
    ["an expiry in the past", { expiresAt: "2020-01-01T00:00:00Z" }, 400],
    ["an expiry that is no time", { expiresAt: "tomorrow" }, 400],
    ["a network rule that is not kept", { networkBlockAll: true }, 400],
    ["address rules that are not kept", { networkAllowList: "10.0.0.0/8" }, 400],
    ["a domain list with a port", { domainAllowList: "a.example:443" }, 400],
  ])("is not made from %s", async (_, body, status) => {
    const answer = await api.call("POST", "/sandbox", body);
    expect(answer.status).toBe(status);
  });

  it("says which of the secrets is missing by its place", async () => {
    const { body } = await api.call("POST", "/sandbox", { secrets: [{ A: "ONE" }, { B: "NONE" }] });
    expect(body.message).toContain("secrets[1]");
  });

  it("replaces its secrets as a whole", async () => {
    const box = await create({ secrets: [{ A: "ONE" }] });
    const put = async (secrets: unknown) => api.call("PUT", `/sandbox/${box.id}/secrets`, { secrets });
    expect((await put([{ B: "TWO" }])).body.secrets).toEqual([{ B: "TWO" }]);
    expect((await put([{ B: "NONE" }])).status).toBe(404);
    expect((await put(undefined)).status).toBe(400);
    expect((await egress(box.id)).body.grants.map((grant: { env: string }) => grant.env)).toEqual(["B"]);
    expect((await put([])).body.secrets).toEqual([]);
    expect((await egress(box.id)).body.grants).toEqual([]);
  });

  it("answers its last state when deleted, then 404", async () => {
    const box = await create();
    const { status, body } = await api.call("DELETE", `/sandbox/${box.id}`);
    expect([status, body.id, body.state]).toEqual([200, box.id, "destroyed"]);
    expect((await api.call("DELETE", `/sandbox/${box.id}`)).status).toBe(404);
    expect((await egress(box.id)).status).toBe(404);
  });

  it("expires: at once for proxies, then it is deleted", async () => {
    const box = await create({ expiresAt: new Date(now + 5_000).toISOString() });
    expect(box.autoDestroyAt).toBe(box.expiresAt);
    expect((await egress(box.id)).status).toBe(200);
    now += 5_000;
    expect((await egress(box.id)).status).toBe(404);
    expect((await api.call("GET", `/sandbox/${box.id}`)).status).toBe(404);
    const expired = `/audit?action=sandbox.expire&targetId=${box.id}`;
    await expect.poll(async () => (await api.call("GET", expired)).body.items.length).toBe(1);
  });

  it("takes Daytona's ttlMinutes for an expiry", async () => {
    const box = await create({ ttlMinutes: 2 });
    expect(Date.parse(box.expiresAt)).toBe(now + 120_000);
  });
});

describe("what proxies are told", () => {
  it("is all of it, in the documented form", async () => {
    const secret = (
      await api.call("POST", "/secret", {
        name: "NARROW",
        value: "välue",
        hosts: ["*.Example.com"],
        locations: ["header:x-api-key"],
        onViolation: "block",
      })
    ).body;
    const box = await create({
      secrets: [{ A: "NARROW" }],
      sources: ["10.1.0.5", "2001:db8::/64"],
      onViolation: "pass",
      egressPolicy: { allow: ["*.example.com"], deny: ["bad.example.com"] },
    });
    const { status, body, headers } = await egress(box.id);
    expect(status).toBe(200);
    expect(headers.get("etag")).toBe(`"${body.version}"`);
    expect(body).toEqual({
      sandboxId: box.id,
      organizationId: box.organizationId,
      version: expect.stringMatching(/^\d+$/),
      tokenHash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      sources: ["10.1.0.5/32", "2001:db8::/64"],
      onViolation: "pass",
      egress: { allow: ["*.example.com"], deny: ["bad.example.com"] },
      grants: [
        {
          env: "A",
          name: "NARROW",
          placeholder: secret.placeholder,
          value: "välue",
          hosts: ["*.Example.com"],
          locations: ["header:x-api-key"],
          onViolation: "block",
        },
      ],
    });
  });

  it("is not sent again until something changes", async () => {
    const box = await create({ secrets: [{ A: "ONE" }] });
    const first = await egress(box.id);
    const etag = first.headers.get("etag")!;
    const again = await egress(box.id, { "if-none-match": etag });
    expect([again.status, again.text, again.headers.get("etag")]).toEqual([304, "", etag]);
    const [secret] = (await api.call("GET", "/secret/paginated?name=ONE")).body.items;
    await api.call("PATCH", `/secret/${secret.id}`, { value: "rotated" });
    const changed = await egress(box.id, { "if-none-match": etag });
    expect([changed.status, changed.body.grants[0].value]).toEqual([200, "rotated"]);
    expect((await egress(box.id, { "if-none-match": `"x", W/"${changed.body.version}"` })).status).toBe(304);
  });

  it("has the sandbox's domain list as its egress rules", async () => {
    const box = await create({ domainAllowList: "a.example, *.b.example" });
    expect((await egress(box.id)).body.egress).toEqual({ allow: ["a.example", "*.b.example"], deny: [] });
  });

  it("maps source addresses to sandboxes; overlaps are refused with 409", async () => {
    const box = await create({ sources: ["10.9.0.0/24"] });
    const sources = (headers: Record<string, string> = {}) =>
      api.call("GET", "/egress/sources", undefined, { key: api.proxyKey, headers });
    const { body, headers } = await sources();
    expect(body.sources).toContainEqual({ cidr: "10.9.0.0/24", sandboxId: box.id });
    expect((await api.call("POST", "/sandbox", { sources: ["10.9.0.7"] })).status).toBe(409);
    expect((await api.call("POST", "/sandbox", { sources: ["10.10.0.1", "10.10.0.1"] })).status).toBe(409);
    expect((await sources({ "if-none-match": headers.get("etag")! })).status).toBe(304);
    await api.call("PATCH", `/sandbox/${box.id}`, { sources: ["10.9.1.0/24"] });
    const after = await sources({ "if-none-match": headers.get("etag")! });
    expect(after.body.sources).toContainEqual({ cidr: "10.9.1.0/24", sandboxId: box.id });
    expect((await api.call("PATCH", `/sandbox/${box.id}`, { sources: [] })).body.sources).toEqual([]);
  });

  it("is recorded", async () => {
    const box = await create({ secrets: [{ A: "TWO" }] });
    await egress(box.id);
    const resolves = `/audit?action=sandbox.resolve&targetId=${box.id}`;
    await expect
      .poll(async () => (await api.call("GET", resolves)).body.items, { timeout: 10_000 })
      .toMatchObject([{ actor: { kind: "proxy" }, details: { secrets: ["TWO"] } }]);
  });
});

describe("lists", () => {
  it("go by cursor, by page number, by label and by name", async () => {
    const one = await startSecretApi();
    try {
      for (let at = 0; at < 7; at++)
        await one.call("POST", "/sandbox", { name: `box-${at}`, labels: { parity: at % 2 === 0 ? "even" : "odd" } });
      const first = (await one.call("GET", "/sandbox?limit=4&sort=name&order=asc")).body;
      expect(first.items.map((item: { name: string }) => item.name)).toEqual(["box-0", "box-1", "box-2", "box-3"]);
      const rest = (await one.call("GET", `/sandbox?limit=4&sort=name&order=asc&cursor=${first.nextCursor}`)).body;
      expect(rest.items.map((item: { name: string }) => item.name)).toEqual(["box-4", "box-5", "box-6"]);
      expect(rest.nextCursor).toBeNull();
      const paged = (await one.call("GET", "/sandbox/paginated?limit=3&page=3&sort=name&order=asc")).body;
      expect(paged).toMatchObject({ total: 7, page: 3, totalPages: 3, items: [{ name: "box-6" }] });
      const labels = encodeURIComponent(JSON.stringify({ parity: "odd" }));
      expect((await one.call("GET", `/sandbox?labels=${labels}`)).body).toMatchObject({ total: 3 });
      expect((await one.call("GET", "/sandbox?name=X-3")).body.items).toMatchObject([{ name: "box-3" }]);
      expect((await one.call("GET", "/sandbox?labels=oops")).status).toBe(400);
      expect((await one.call("GET", "/sandbox?sort=lastActivityAt&order=desc")).status).toBe(200);
    } finally {
      await one.close();
    }
  });
});
