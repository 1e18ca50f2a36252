// The form of answers and errors, and that none of them repeats what was sent.

import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { connect } from "node:net";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
const logged: string[] = [];
beforeAll(async () => {
  const logger = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) });
  api = await startSecretApi({ logger });
});
afterAll(() => api.close());

it("has one form for errors, with a string for a message", async () => {
  const { status, body } = await api.call("GET", "/secret/none?name=secret-in-query");
  expect(status).toBe(404);
  expect(body).toEqual({
    path: "/api/secret/none",
    timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
    statusCode: 404,
    error: "Not Found",
    message: "Secret not found",
    source: "DAYTONA_API",
  });
});

it.each([
  ["an unknown route", "GET", "/nothing", undefined, 404],
  ["a known path with another method", "PUT", "/secret", {}, 404],
  ["malformed JSON", "POST", "/secret", '{"name":"A","value":"needle', 400],
  ["JSON that is no object", "POST", "/secret", '["needle"]', 400],
  ["an empty body", "POST", "/secret", "", 400],
  ["a body that is too large", "POST", "/secret", { name: "A", value: "needle".repeat(100_000) }, 413],
  ["a bad percent-escape", "GET", "/secret/%zz", undefined, 400],
  ["NUL in a path", "GET", "/secret/%00", undefined, 404],
])("answers %s in that form", async (_, method, path, body, status) => {
  const answer = await api.call(method, path, body);
  expect(answer.status).toBe(status);
  expect(answer.body).toMatchObject({ statusCode: status, message: expect.any(String), path: expect.any(String) });
  expect(answer.text).not.toContain("needle");
});

it("refuses other content types with 415", async () => {
  const headers = { "content-type": "text/plain" };
  expect((await api.call("POST", "/secret", "name=A", { headers })).status).toBe(415);
});

it("refuses text that is not UTF-8", async () => {
  const response = await fetch(`${api.url}/secret`, {
    method: "POST",
    headers: { authorization: `Bearer ${api.apiKey}`, "content-type": "application/json" },
    body: Buffer.concat([Buffer.from('{"name":"A","value":"'), Buffer.from([0xff]), Buffer.from('"}')]),
  });
  expect(response.status).toBe(400);
});

it("tolerates doubled slashes and a final one", async () => {
  expect((await api.call("POST", "//secret", { name: "SLASHED", value: "v" })).status).toBe(201);
  expect((await api.call("GET", "//secret///paginated/?limit=1")).status).toBe(200);
});

it("answers a request that is no HTTP in some error form and lives on", async () => {
  const { port } = new URL(api.url);
  const text = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), "127.0.0.1", () => socket.end("GARBAGE\r\n\r\n"));
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk;
    });
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
  });
  expect(text).toMatch(/^HTTP\/1\.1 400/);
  expect((await api.call("GET", "/health", undefined, { key: null })).body).toEqual({ status: "ok" });
});

it("judges the credential before it reads a body", async () => {
  const { hostname, port } = new URL(api.url);
  const status = await new Promise((resolve, reject) => {
    // The body never comes.
    const outgoing = request({
      hostname,
      port,
      path: "/api/secret",
      method: "POST",
      headers: { "content-length": "1000000", "content-type": "application/json" },
    });
    outgoing.on("response", (response) => {
      resolve(response.statusCode);
      outgoing.destroy();
    });
    outgoing.on("error", reject);
    outgoing.flushHeaders();
  });
  expect(status).toBe(401);
});

describe("a value", () => {
  // Put where each field goes, in every wrong form: nothing of it may come back or be logged.
  const needle = () => `needle-${randomBytes(8).toString("hex")}`;
  const attempts: readonly [string, string, (text: string) => unknown][] = [
    ["POST", "/secret", (text) => ({ name: `${text}.`, value: "v" })],
    ["POST", "/secret", (text) => ({ name: "OK_NAME", value: { [text]: text } })],
    ["POST", "/secret", (text) => ({ name: "OK_NAME", value: "v", hosts: [`https://${text}`] })],
    ["POST", "/secret", (text) => ({ name: "OK_NAME", value: "v", hosts: text })],
    ["POST", "/secret", (text) => ({ name: "OK_NAME", value: "v", locations: [text] })],
    ["POST", "/secret", (text) => ({ name: "OK_NAME", value: "v", onViolation: text })],
    ["POST", "/secret", (text) => ({ name: "OK_NAME", value: "v", placeholder: `${text} ` })],
    ["POST", "/secret", (text) => ({ name: "OK_NAME", value: "v", description: [text] })],
    ["POST", "/secret", (text) => `{"name":"A","value":"${text}`],
    ["POST", "/secret", (text) => `${text}{}`],
    ["POST", "/secret", (text) => JSON.stringify(text)],
    ["POST", "/sandbox", (text) => ({ secrets: [{ OPENAI_API_KEY: text }] })],
    ["POST", "/sandbox", (text) => ({ secrets: [{ [text]: "A" }] })],
    ["POST", "/sandbox", (text) => ({ secrets: { OPENAI_API_KEY: text } })],
    ["POST", "/sandbox", (text) => ({ secrets: [text] })],
    ["POST", "/sandbox", (text) => ({ labels: { [text]: 5 } })],
    ["POST", "/sandbox", (text) => ({ labels: { a: [text] } })],
    ["POST", "/sandbox", (text) => ({ sources: [text] })],
    ["POST", "/sandbox", (text) => ({ expiresAt: text })],
    ["POST", "/sandbox", (text) => ({ domainAllowList: `${text}:1` })],
    ["POST", "/sandbox", (text) => ({ networkAllowList: text })],
    ["POST", "/api-keys", (text) => ({ name: "k", permissions: [text] })],
    ["POST", "/organizations", (text) => ({ name: [text] })],
    ["GET", "/secret/paginated?sort=", () => undefined],
  ];
  it.each(attempts.map((attempt, index) => [index, ...attempt] as const))(
    "is not repeated by an error (%i: %s %s)",
    async (_, method, path, make) => {
      const text = needle();
      const answer = await api.call(method, path.endsWith("=") ? path + text : path, make(text));
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
      expect(answer.text).not.toContain(text);
      expect(logged.join("\n")).not.toContain(text);
    },
  );

  it("that is stored is in no answer, log or audit entry but the resolve calls", async () => {
    const text = needle();
    const created = await api.call("POST", "/secret", { name: "STORED", value: text });
    const box = await api.call("POST", "/sandbox", { secrets: [{ A: "STORED" }] });
    await api.call("PATCH", `/secret/${created.body.id}`, { value: `${text}-2` });
    const paths = [
      "/secret",
      "/secret/paginated",
      `/secret/${created.body.id}`,
      "/sandbox",
      `/sandbox/${box.body.id}`,
      "/audit",
      "/openapi.json",
    ];
    for (const path of paths) expect((await api.call("GET", path)).text, path).not.toContain(text);
    expect(box.text).not.toContain(text);
    const egress = await api.call("GET", `/sandbox/${box.body.id}/egress`, undefined, { key: api.proxyKey });
    expect(egress.text).toContain(`${text}-2`);
    expect(logged.join("\n")).not.toContain(text);
  });
});

it("logs requests by route, without query, headers or keys", async () => {
  await api.call("GET", "/secret/paginated?name=only-in-query");
  const all = logged.join("\n");
  expect(all).toContain('"route":"/api/secret/paginated"');
  expect(all).not.toContain("only-in-query");
  expect(all).not.toContain(api.apiKey);
});
