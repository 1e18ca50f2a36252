// Who may do what: credentials, permissions, organizations.

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
let now = Date.now();
beforeAll(async () => {
  api = await startSecretApi({ clock: () => now });
});
afterAll(() => api.close());

const makeKey = async (
  permissions: string[],
  more: Record<string, unknown> = {},
  headers: Record<string, string> = {},
) => {
  const { status, body } = await api.call(
    "POST",
    "/api-keys",
    { name: randomUUID(), permissions, ...more },
    { headers },
  );
  expect(status).toBe(201);
  return body as { name: string; value: string };
};

it.each([
  ["none", null],
  ["a wrong key", "dtn_wrong"],
  ["an empty one", ""],
])("answers 401 to credentials: %s", async (_, key) => {
  for (const [method, path] of [
    ["GET", "/secret"],
    ["POST", "/secret"],
    ["POST", "/sandbox"],
    ["GET", "/sandbox/x/egress"],
    ["GET", "/changes"],
    ["GET", "/audit"],
    ["GET", "/api-keys/current"],
  ] as const) {
    const { status, body, headers } = await api.call(method, path, method === "POST" ? {} : undefined, { key });
    expect([status, body.message], `${method} ${path}`).toEqual([401, "Invalid credentials"]);
    expect(headers.get("www-authenticate")).toBe("Bearer");
  }
});

it("does not take other schemes than Bearer, but any case of it", async () => {
  const headers = (authorization: string) => ({ key: null, headers: { authorization } });
  expect((await api.call("GET", "/secret", undefined, headers(`Basic ${api.apiKey}`))).status).toBe(401);
  expect((await api.call("GET", "/secret", undefined, headers(api.apiKey))).status).toBe(401);
  expect((await api.call("GET", "/secret", undefined, headers(`bearer ${api.apiKey}`))).status).toBe(200);
});

it("keeps values from the bootstrap key, and everything else from the proxy key", async () => {
  await api.call("POST", "/secret", { name: "GUARDED", value: "v" });
  const { id } = (await api.call("POST", "/sandbox", { secrets: [{ A: "GUARDED" }] })).body;
  for (const path of [`/sandbox/${id}/egress`, `/sandbox/${id}/secrets`, "/egress/sources", "/changes"]) {
    expect((await api.call("GET", path)).status, path).toBe(403);
  }
  const key = api.proxyKey;
  expect((await api.call("GET", `/sandbox/${id}/egress`, undefined, { key })).status).toBe(200);
  expect((await api.call("GET", "/secret", undefined, { key })).status).toBe(403);
  expect((await api.call("POST", "/sandbox", {}, { key })).status).toBe(403);
  expect((await api.call("DELETE", `/sandbox/${id}`, undefined, { key })).status).toBe(403);
  expect((await api.call("POST", "/api-keys", {}, { key })).status).toBe(403);
});

describe("API keys", () => {
  it("do what their permissions say and nothing else", async () => {
    const secrets = await makeKey(["manage:secrets"]);
    const boxes = await makeKey(["write:sandboxes"]);
    const status = async (key: { value: string }, method: string, path: string, body?: unknown) =>
      (await api.call(method, path, body, { key: key.value })).status;
    expect(await status(secrets, "POST", "/secret", { name: "BY_KEY", value: "v" })).toBe(201);
    expect(await status(secrets, "POST", "/sandbox", {})).toBe(403);
    expect(await status(secrets, "GET", "/audit")).toBe(403);
    expect(await status(boxes, "POST", "/sandbox", { secrets: [{ A: "BY_KEY" }] })).toBe(200);
    expect(await status(boxes, "GET", "/secret")).toBe(403);
    expect(await status(boxes, "POST", "/organizations", { name: "x" })).toBe(403);
  });

  it("are shown once, then masked, with their use", async () => {
    const key = await makeKey(["manage:secrets"]);
    expect(key.value).toMatch(/^dtn_[0-9a-f]{64}$/);
    const current = await api.call("GET", "/api-keys/current", undefined, { key: key.value });
    expect(current.body).toMatchObject({ name: key.name, permissions: ["manage:secrets"] });
    const listed = await api.call("GET", "/api-keys");
    expect(listed.text).not.toContain(key.value);
    expect(listed.body.find((each: { name: string }) => each.name === key.name)).toMatchObject({
      value: `${key.value.slice(0, 8)}********`,
    });
    await expect
      .poll(async () => (await api.call("GET", `/api-keys/${key.name}`)).body.lastUsedAt)
      .toBe(new Date(now).toISOString());
  });

  it("stop working when revoked or expired", async () => {
    const revoked = await makeKey(["manage:secrets"]);
    expect((await api.call("DELETE", `/api-keys/${revoked.name}`)).status).toBe(204);
    expect((await api.call("GET", "/secret", undefined, { key: revoked.value })).status).toBe(401);
    expect((await api.call("DELETE", `/api-keys/${revoked.name}`)).status).toBe(404);

    const brief = await makeKey(["manage:secrets"], { expiresAt: new Date(now + 1_000).toISOString() });
    expect((await api.call("GET", "/secret", undefined, { key: brief.value })).status).toBe(200);
    now += 1_000;
    expect((await api.call("GET", "/secret", undefined, { key: brief.value })).status).toBe(401);
  });

  it("give nothing that they do not have, and never the right to resolve", async () => {
    const manager = await makeKey(["manage:api_keys", "write:sandboxes"]);
    const give = async (permissions: string[], key = manager.value) =>
      (await api.call("POST", "/api-keys", { name: randomUUID(), permissions }, { key })).status;
    expect(await give(["write:sandboxes"])).toBe(201);
    expect(await give(["manage:secrets"])).toBe(403);
    expect(await give(["resolve:secrets"])).toBe(403);
    expect(await give(["manage:organizations"], api.apiKey)).toBe(400);
    expect(await give(["resolve:secrets", "manage:secrets"], api.apiKey)).toBe(400);
    expect(await give([], api.apiKey)).toBe(400);
    expect(await give(["fly"], api.apiKey)).toBe(400);
  });

  it("can be bound to one sandbox for resolving", async () => {
    const [mine, other] = [
      (await api.call("POST", "/sandbox", {})).body,
      (await api.call("POST", "/sandbox", {})).body,
    ];
    const { value: key } = await makeKey(["resolve:secrets"], { sandboxId: mine.id });
    expect((await api.call("GET", `/sandbox/${mine.id}/egress`, undefined, { key })).status).toBe(200);
    expect((await api.call("GET", `/sandbox/${other.id}/egress`, undefined, { key })).status).toBe(404);
    expect((await api.call("GET", "/egress/sources", undefined, { key })).status).toBe(403);
    const unknown = { name: "k", permissions: ["resolve:secrets"], sandboxId: "none" };
    expect((await api.call("POST", "/api-keys", unknown)).status).toBe(404);
  });
});

describe("organizations", () => {
  it("do not see each other: another's ids answer 404", async () => {
    const { body: other } = await api.call("POST", "/organizations", { name: "other" });
    const inOther = { "x-daytona-organization-id": other.id };
    const secret = (await api.call("POST", "/secret", { name: "THEIRS", value: "v" }, { headers: inOther })).body;
    const box = (
      await api.call("POST", "/sandbox", { name: "theirs", secrets: [{ A: "THEIRS" }] }, { headers: inOther })
    ).body;
    expect(box.organizationId).toBe(other.id);
    for (const [method, path, body] of [
      ["GET", `/secret/${secret.id}`],
      ["PATCH", `/secret/${secret.id}`, {}],
      ["DELETE", `/secret/${secret.id}`],
      ["GET", `/sandbox/${box.id}`],
      ["GET", "/sandbox/theirs"],
      ["PUT", `/sandbox/${box.id}/secrets`, { secrets: [] }],
      ["PATCH", `/sandbox/${box.id}`, {}],
      ["DELETE", `/sandbox/${box.id}`],
      ["POST", "/sandbox", { secrets: [{ A: "THEIRS" }] }],
    ] as const) {
      expect((await api.call(method, path, body)).status, `${method} ${path}`).toBe(404);
    }
    expect((await api.call("GET", "/secret/paginated?name=THEIRS")).body.total).toBe(0);

    // A key belongs to one organization, whatever the header says.
    const { value: key } = await makeKey(["manage:secrets"], {}, inOther);
    const headers = { "x-daytona-organization-id": api.store.organizations.defaultId };
    const seen = await api.call("GET", "/secret", undefined, { key, headers });
    expect(seen.body.map((each: { name: string }) => each.name)).toEqual(["THEIRS"]);

    const { value: resolver } = await makeKey(["resolve:secrets"], {}, inOther);
    const mine = (await api.call("POST", "/sandbox", {})).body;
    expect((await api.call("GET", `/sandbox/${box.id}/egress`, undefined, { key: resolver })).status).toBe(200);
    expect((await api.call("GET", `/sandbox/${mine.id}/egress`, undefined, { key: resolver })).status).toBe(404);
  });

  it("have quotas that can be changed", async () => {
    const { body } = await api.call("POST", "/organizations", {
      name: "small",
      secretQuota: 1,
      maxSecretsPerSandbox: 1,
    });
    const headers = { "x-daytona-organization-id": body.id };
    const create = async (name: string) =>
      (await api.call("POST", "/secret", { name, value: "v" }, { headers })).status;
    expect(await create("A")).toBe(201);
    expect(await create("B")).toBe(400);
    const patched = await api.call("PATCH", `/organizations/${body.id}`, { secretQuota: null });
    expect(patched.body).toMatchObject({ name: "small", secretQuota: null, maxSecretsPerSandbox: 1 });
    expect(await create("B")).toBe(201);
    const secrets = [{ X: "A" }, { Y: "B" }];
    expect((await api.call("POST", "/sandbox", { secrets }, { headers })).status).toBe(400);
  });

  it("answer 404 where the chosen one does not exist, 409 where a name is taken", async () => {
    const headers = { "x-daytona-organization-id": randomUUID() };
    expect((await api.call("GET", "/secret", undefined, { headers })).status).toBe(404);
    expect((await api.call("POST", "/organizations", { name: "default" })).status).toBe(409);
    expect((await api.call("GET", "/organizations")).body[0]).toMatchObject({ name: "default", isDefault: true });
  });
});

it("audits keys and organizations without their secrets", async () => {
  const key = await makeKey(["manage:secrets"]);
  const { text, body } = await api.call("GET", "/audit?limit=5");
  expect(body.items[0]).toMatchObject({ action: "api_key.create", targetName: key.name, actor: { kind: "bootstrap" } });
  expect(text).not.toContain(key.value);
});

it("does not start with one key for both roles", async () => {
  const same = "one-and-the-same-key";
  const both = { apiKey: same, proxyKey: same };
  await expect(startSecretApi(both)).rejects.toThrow("must differ");
});
