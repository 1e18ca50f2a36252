// The console's sessions: a cookie stands for an API key, for the console's own requests alone.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SESSION_MS, Sessions } from "../../src/api/sessions.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await startSecretApi({ version: "1.2.3" });
});
afterAll(() => api.close());

const ours = { "x-keyswap-console": "1" };

async function signIn(apiKey: string): Promise<{ cookie: string; header: string }> {
  const answer = await api.call("POST", "/session", { apiKey }, { key: null, headers: ours });
  expect(answer.status).toBe(200);
  const header = answer.headers.get("set-cookie") ?? "";
  return { cookie: header.split(";")[0]!, header };
}

const withSession = (cookie: string, headers: Record<string, string> = ours) => ({
  key: null,
  headers: { cookie, ...headers },
});

describe("a session", () => {
  it("is a cookie for this site and no script, and tells nothing of the key", async () => {
    const { header, cookie } = await signIn(api.apiKey);
    expect(header).toMatch(/^keyswap_session=[\w-]{43}; Path=\/api; Max-Age=43200; HttpOnly; SameSite=Strict$/);
    const { body, text } = await api.call("GET", "/session", undefined, withSession(cookie));
    expect(body).toMatchObject({ name: "bootstrap", version: "1.2.3" });
    expect(body.permissions).toContain("manage:secrets");
    expect(text).not.toContain(api.apiKey);
    const created = await api.call("POST", "/secret", { name: "S", value: "v-of-session" }, withSession(cookie));
    expect(created.status).toBe(201);
  });

  it("is for TLS alone where the browser came by TLS", async () => {
    const headers = { ...ours, origin: api.url.replace("http:", "https:").replace("/api", "") };
    const answer = await api.call("POST", "/session", { apiKey: api.apiKey }, { key: null, headers });
    expect(answer.headers.get("set-cookie")).toMatch(/; Secure$/);
  });

  it.each([
    ["without the console's header", {}],
    ["from another site", { ...ours, "sec-fetch-site": "cross-site" }],
    ["from another port of this host", { ...ours, "sec-fetch-site": "same-site" }],
    ["from another origin", { ...ours, origin: "http://127.0.0.1:1" }],
    ["from an opaque origin", { ...ours, origin: "null" }],
  ])("does not count %s", async (_, headers) => {
    const { cookie } = await signIn(api.apiKey);
    for (const [method, path] of [
      ["GET", "/secret"],
      ["POST", "/secret"],
      ["DELETE", "/session"],
    ] as const) {
      expect((await api.call(method, path, undefined, withSession(cookie, headers))).status).toBe(403);
    }
    const signsIn = await api.call("POST", "/session", { apiKey: api.apiKey }, { key: null, headers });
    expect(signsIn.status).toBe(403);
    expect(signsIn.headers.get("set-cookie")).toBeNull();
  });

  it("answers no browser that asks for another origin's leave", async () => {
    const headers = { origin: "http://evil.test", "access-control-request-method": "POST" };
    const answer = await api.call("OPTIONS", "/secret", undefined, { key: null, headers });
    expect(answer.status).toBe(404);
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  });

  it("ends with signing out, and with the key", async () => {
    const first = await signIn(api.apiKey);
    const out = await api.call("DELETE", "/session", undefined, withSession(first.cookie));
    expect([out.status, out.headers.get("set-cookie")]).toEqual([204, expect.stringContaining("Max-Age=0")]);
    expect((await api.call("GET", "/session", undefined, withSession(first.cookie))).status).toBe(401);

    const key = await api.call("POST", "/api-keys", { name: "short-lived", permissions: ["manage:secrets"] });
    const second = await signIn(key.body.value);
    expect((await api.call("GET", "/session", undefined, withSession(second.cookie))).status).toBe(200);
    await api.call("DELETE", "/api-keys/short-lived");
    expect((await api.call("GET", "/session", undefined, withSession(second.cookie))).status).toBe(401);
  });

  it("never resolves values, whatever its key may do", async () => {
    const key = await api.call("POST", "/api-keys", { name: "resolver", permissions: ["resolve:secrets"] });
    const { cookie } = await signIn(key.body.value);
    const sandbox = await api.call("POST", "/sandbox", {});
    for (const path of [`/sandbox/${sandbox.body.id}/egress`, `/sandbox/${sandbox.body.id}/secrets`, "/changes"]) {
      expect((await api.call("GET", path, undefined, withSession(cookie))).status).toBe(403);
    }
  });

  it("is not for unknown keys, nor for a proxy's", async () => {
    for (const [apiKey, status] of [
      ["no-such-key-at-all", 401],
      [api.proxyKey, 403],
      ["", 400],
      ["ä", 400],
    ] as const) {
      const answer = await api.call("POST", "/session", { apiKey }, { key: null, headers: ours });
      expect([answer.status, answer.headers.get("set-cookie")]).toEqual([status, null]);
      if (apiKey !== "") expect(answer.text).not.toContain(apiKey);
    }
    expect((await api.call("GET", "/session", undefined, withSession("keyswap_session=x"))).status).toBe(401);
  });
});

it("sessions end after their time", () => {
  let now = 0;
  const sessions = new Sessions(() => now);
  const cookie = `a=b; keyswap_session=${sessions.open("hash")}; c=d`;
  expect(sessions.find(cookie)).toBe("hash");
  now = SESSION_MS;
  expect(sessions.find(cookie)).toBeUndefined();
});
