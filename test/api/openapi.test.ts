// The document is written from the routes: every route is in it, and nothing else.

import { afterAll, beforeAll, expect, it } from "vitest";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await startSecretApi();
});
afterAll(() => api.close());

it("describes every route of the contract, with statuses and permissions", async () => {
  const { status, body } = await api.call("GET", "/openapi.json", undefined, { key: null });
  expect(status).toBe(200);
  expect(body.openapi).toBe("3.1.0");
  const operations = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(operations.sort()).toEqual([
    "DELETE /api-keys/{name}",
    "DELETE /sandbox/{sandboxId}",
    "DELETE /secret/{secretId}",
    "DELETE /session",
    "GET /api-keys",
    "GET /api-keys/current",
    "GET /api-keys/{name}",
    "GET /audit",
    "GET /ca",
    "GET /changes",
    "GET /console/presence",
    "GET /console/secrets",
    "GET /console/secrets/{secretId}",
    "GET /console/status",
    "GET /docs",
    "GET /egress/sources",
    "GET /health",
    "GET /master-keys",
    "GET /openapi.json",
    "GET /organizations",
    "GET /organizations/{organizationId}",
    "GET /sandbox",
    "GET /sandbox/paginated",
    "GET /sandbox/{sandboxId}",
    "GET /sandbox/{sandboxId}/egress",
    "GET /sandbox/{sandboxId}/ready",
    "GET /sandbox/{sandboxId}/secrets",
    "GET /sandbox/{sandboxId}/toolbox-proxy-url",
    "GET /secret",
    "GET /secret/paginated",
    "GET /secret/{secretId}",
    "GET /session",
    "GET /traffic",
    "GET /traffic/stream",
    "GET /traffic/summary",
    "PATCH /organizations/{organizationId}",
    "PATCH /sandbox/{sandboxId}",
    "PATCH /secret/{secretId}",
    "POST /api-keys",
    "POST /egress/events",
    "POST /egress/proxies",
    "POST /explain",
    "POST /master-keys/rotate",
    "POST /organizations",
    "POST /sandbox",
    "POST /sandbox/{sandboxId}/token",
    "POST /secret",
    "POST /session",
    "PUT /sandbox/{sandboxId}/secrets",
  ]);
  expect(Object.keys(body.paths["/secret"].post.responses)).toEqual(
    expect.arrayContaining(["201", "400", "401", "409"]),
  );
  expect(body.paths["/sandbox/{sandboxId}/egress"].get["x-permissions"]).toEqual(["resolve:secrets"]);
  const create = body.paths["/secret"].post.requestBody.content["application/json"].schema;
  expect(create.required).toEqual(["name", "value"]);
  expect(create.properties.hosts.type).toBe("array");
  const ids = Object.values(body.paths).flatMap((methods) =>
    Object.values(methods as Record<string, { operationId: string }>).map((each) => each.operationId),
  );
  expect(new Set(ids).size).toBe(ids.length);
});

it("is shown as a page that loads nothing from elsewhere", async () => {
  const { text, headers } = await api.call("GET", "/docs", undefined, { key: null });
  expect(headers.get("content-type")).toContain("text/html");
  expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(text).toContain("POST /api/secret");
  expect(text).not.toMatch(/<script|src=|https?:\/\//);
});

it("serves the certificate to anyone", async () => {
  const { text, status } = await api.call("GET", "/ca", undefined, { key: null });
  expect([status, text.startsWith("-----BEGIN CERTIFICATE-----")]).toEqual([200, true]);
});
