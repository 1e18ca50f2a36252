// POST /explain on a real store.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
let sandbox: string;
let placeholder: string;
const value = "real-value-of-the-explained-secret";
beforeAll(async () => {
  api = await startSecretApi();
  const secret = await api.call("POST", "/secret", { name: "OPENAI", value, hosts: ["*.openai.com"] });
  placeholder = secret.body.placeholder;
  await api.call("POST", "/secret", { name: "OPENAI_EU", value: "another-value", hosts: ["eu.openai.com"] });
  sandbox = (await api.call("POST", "/sandbox", { name: "box", secrets: [{ OPENAI_API_KEY: "OPENAI" }] })).body.id;
});
afterAll(() => api.close());

describe("POST /explain", () => {
  it.each(["id", "name"])("judges a request of a sandbox by its %s, with $ENV as in a shell", async (by) => {
    const { status, body, text } = await api.call("POST", "/explain", {
      sandbox: by === "id" ? sandbox : "box",
      url: "https://api.openai.com/v1/chat",
      headers: [{ name: "Authorization", value: "Bearer $OPENAI_API_KEY" }],
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      outcome: "substituted",
      authority: "api.openai.com:443",
      substituted: [{ secret: "OPENAI", surface: "header" }],
      grants: [{ env: "OPENAI_API_KEY", pattern: "*.openai.com" }],
    });
    expect(text).not.toContain(value);
  });

  it("finds a placeholder in the URL and the body", async () => {
    const { body } = await api.call("POST", "/explain", {
      sandbox,
      url: `api.openai.com/?key=${placeholder}`,
      method: "post",
      headers: [{ name: "content-type", value: "application/json" }],
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's spelling
      body: '{"key":"${OPENAI_API_KEY}"}',
    });
    expect(body.substituted).toEqual([
      { secret: "OPENAI", surface: "query" },
      { secret: "OPENAI", surface: "body" },
    ]);
  });

  it("tries a secret by itself, as a Bearer token", async () => {
    const good = await api.call("POST", "/explain", { secret: "OPENAI", url: "https://api.openai.com" });
    expect(good.body).toMatchObject({ outcome: "substituted", assumed: expect.arrayContaining([expect.any(String)]) });
    const bad = await api.call("POST", "/explain", { secret: "OPENAI_EU", url: "https://api.openai.com" });
    expect(bad.body).toMatchObject({
      outcome: "tunnelled",
      notSubstituted: [{ explain: "host api.openai.com is not on OPENAI_EU's list" }],
    });
  });

  it("assumes of an address nothing that it says itself", async () => {
    await api.call("POST", "/secret", {
      name: "ADDRESSED",
      value: "value-for-addresses",
      hosts: ["8.8.8.8", "10.1.2.3"],
    });
    const ask = async (url: string) => (await api.call("POST", "/explain", { secret: "ADDRESSED", url })).body;
    const sent = await ask("https://8.8.8.8/");
    expect(sent).toMatchObject({ outcome: "substituted" });
    expect(sent.assumed[0]).toBe("the destination has a certificate that verifies");
    expect(await ask("https://10.1.2.3/")).toMatchObject({ outcome: "denied", connection: { kind: "denied" } });
  });

  it("says which variables are no mounts, and leaves what only looks like one alone", async () => {
    const url = "https://api.openai.com/?k=$NOPE&l=$OPENAI_API_KEY";
    const { body } = await api.call("POST", "/explain", { sandbox, url, body: '{"$ref":"x","again":"$NOPE"}' });
    expect(body.substituted).toEqual([{ secret: "OPENAI", surface: "query" }]);
    expect(body.assumed.slice(1)).toEqual(["$NOPE is sent as it stands: it is no mount"]);
  });

  it.each([
    [{ url: "https://a.test" }, 400, "sandbox: name a sandbox"],
    [{ sandbox: "none", url: "https://a.test" }, 404, "Sandbox not found"],
    [{ secret: "NONE", url: "https://a.test" }, 404, "Secret not found"],
    [{ sandbox: "box", secret: "OPENAI_EU", url: "https://a.test" }, 400, "is not mounted"],
    [{ secret: "OPENAI", url: "https://[zzz]/" }, 400, "url: must be as"],
    [{ secret: "OPENAI", url: "ftp://a.test/" }, 400, "url: must be http or https"],
    [{ secret: "OPENAI" }, 400, "url"],
  ])("refuses %j with %i", async (question, status, message) => {
    const answer = await api.call("POST", "/explain", question);
    expect(answer.status).toBe(status);
    expect(answer.body.message).toContain(message);
  });

  it("is for those who manage secrets or sandboxes", async () => {
    const { body } = await api.call("POST", "/api-keys", { name: "auditor", permissions: ["read:audit_logs"] });
    const question = { secret: "OPENAI", url: "https://a.test" };
    expect((await api.call("POST", "/explain", question, { key: body.value })).status).toBe(403);
  });
});
