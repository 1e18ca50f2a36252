import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  AuthenticationError,
  AuthorizationError,
  ConflictError,
  ConnectionError,
  NotFoundError,
  RateLimitError,
  type Secret,
  SecretService,
  SecretServiceError,
  ServerError,
  ValidationError,
} from "../../src/index.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

/** What a call rejects with. */
async function failure(call: Promise<unknown>): Promise<SecretServiceError> {
  const outcome = await call.then(
    () => new Error("it did not reject"),
    (error: unknown) => error,
  );
  if (!(outcome instanceof SecretServiceError)) throw outcome;
  return outcome;
}

describe("on the Secret API", () => {
  let api: TestApi;
  let secrets: SecretService;

  beforeAll(async () => {
    api = await startSecretApi();
    secrets = new SecretService({ apiUrl: api.url, apiKey: api.apiKey });
  });
  afterAll(() => api.close());

  it("creates, gets, updates and deletes", async () => {
    const value = randomBytes(16).toString("hex");
    const made = await secrets.create({
      name: "LIFE",
      value,
      description: "for life",
      hosts: ["api.example.com"],
      locations: ["header:x-key"],
      onViolation: "block",
    });
    expect(made).toMatchObject({
      name: "LIFE",
      description: "for life",
      hosts: ["api.example.com"],
      locations: ["header:x-key"],
      onViolation: "block",
      warnings: [],
    });
    expect(made.placeholder).toMatch(/^dtn_secret_[a-z0-9]{25,}$/);
    expect(made.createdAt.getTime()).toBeGreaterThan(Date.UTC(2026, 0));
    expect(inspect(made)).not.toContain(value);
    expect(await secrets.get(made.id)).toEqual(made);

    const updated = await secrets.update(made.id, {
      value: "another",
      hosts: ["*.example.com"],
      locations: null,
      description: null,
    });
    expect(updated).toMatchObject({
      id: made.id,
      placeholder: made.placeholder,
      hosts: ["*.example.com"],
      onViolation: "block",
    });
    expect(updated.locations).toBeUndefined();
    expect(await secrets.delete(made.id)).toBeUndefined();
    expect(await failure(secrets.get(made.id))).toBeInstanceOf(NotFoundError);
    expect(await failure(secrets.update(made.id, {}))).toMatchObject({ code: "not-found", status: 404 });
    expect(await failure(secrets.delete(made.id))).toBeInstanceOf(NotFoundError);
  });

  it("takes a placeholder of the caller's own", async () => {
    const placeholder = `sk-${randomBytes(12).toString("hex")}`;
    expect(
      (await secrets.create({ name: "OWN", value: randomBytes(9).toString("hex"), placeholder })).placeholder,
    ).toBe(placeholder);
  });

  it("says what is wrong by type", async () => {
    await secrets.create({ name: "TWICE", value: "a" });
    expect(await failure(secrets.create({ name: "TWICE", value: "b" }))).toBeInstanceOf(ConflictError);
    expect(await failure(secrets.create({ name: "1st", value: "b" }))).toBeInstanceOf(ValidationError);
    expect(await failure(secrets.create({ name: "HOST", value: "b", hosts: ["https://x"] }))).toMatchObject({
      code: "validation",
      status: 400,
    });
    const stranger = new SecretService({ apiUrl: api.url, apiKey: "dtn_nobody" });
    expect(await failure(stranger.list())).toBeInstanceOf(AuthenticationError);
    const proxy = new SecretService({ apiUrl: api.url, apiKey: api.proxyKey });
    expect(await failure(proxy.list())).toBeInstanceOf(AuthorizationError);
  });

  it("lists all over many pages, in every order, without gap or repetition", async () => {
    const names = Array.from({ length: 250 }, (_each, i) => `PAGED_${String(i).padStart(3, "0")}`);
    for (const name of names) await secrets.create({ name, value: "v" });
    for (const sort of ["name", "createdAt", "updatedAt"] as const) {
      for (const order of ["asc", "desc"] as const) {
        const listed = (await secrets.list({ name: "PAGED_", sort, order })).map((secret) => secret.name);
        expect(new Set(listed)).toEqual(new Set(names));
        expect(listed).toHaveLength(names.length);
        if (sort === "name") expect(listed).toEqual(order === "asc" ? names : names.toReversed());
      }
    }
    const first = await secrets.listPage({ name: "PAGED_", sort: "name", order: "asc", limit: 3 });
    expect(first).toMatchObject({ total: 250 });
    expect(first.items.map((secret) => secret.name)).toEqual(names.slice(0, 3));
    if (first.nextCursor === undefined) throw new Error("there is more");
    const second = await secrets.listPage({
      name: "PAGED_",
      sort: "name",
      order: "asc",
      limit: 3,
      cursor: first.nextCursor,
    });
    expect(second.items.map((secret) => secret.name)).toEqual(names.slice(3, 6));

    const taken: Secret[] = [];
    for await (const secret of secrets.iterate({ name: "PAGED_00" })) taken.push(secret);
    expect(taken).toHaveLength(10);
  });

  it("works with a slash at the URL's end", async () => {
    const other = new SecretService({ apiUrl: `${api.url}/`, apiKey: api.apiKey });
    expect((await other.listPage({ limit: 1 })).items.length).toBe(1);
  });

  it("ends with the caller's signal, with its reason", async () => {
    const reason = new Error("enough");
    await expect(secrets.list({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("on a server that misbehaves", () => {
  let server: Server | undefined;

  async function service(listener: RequestListener, timeoutMs = 5000): Promise<SecretService> {
    const made = createServer(listener);
    server = made;
    await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
    // A TCP server has an address object.
    const { port } = made.address() as AddressInfo;
    return new SecretService({ apiUrl: `http://127.0.0.1:${port}/api`, apiKey: "dtn_key", timeoutMs });
  }

  function answering(status: number, body: string, headers: Record<string, string> = {}): Promise<SecretService> {
    return service((request, response) => {
      request.resume();
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
    });
  }

  afterEach(async () => {
    server?.closeAllConnections();
    await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
    server = undefined;
  });

  it.each([
    [400, ValidationError, "validation"],
    [401, AuthenticationError, "authentication"],
    [403, AuthorizationError, "authorization"],
    [404, NotFoundError, "not-found"],
    [409, ConflictError, "conflict"],
    [413, ValidationError, "validation"],
    [422, ValidationError, "validation"],
    [429, RateLimitError, "rate-limited"],
    [500, ServerError, "server-error"],
    [503, ServerError, "server-error"],
    [418, ServerError, "unexpected-answer"],
    [302, ServerError, "unexpected-answer"],
  ])("%i is its own error", async (status, type, code) => {
    const secrets = await answering(status, JSON.stringify({ statusCode: status, message: "why" }), {
      location: "/elsewhere",
    });
    const error = await failure(secrets.get("id"));
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ code, status, name: type.name });
  });

  it("says when to come back", async () => {
    let secrets = await answering(429, "{}", { "retry-after": "7" });
    expect(await failure(secrets.get("id"))).toMatchObject({ retryAfterMs: 7000 });
    server?.close();
    secrets = await answering(429, "{}", { "retry-after": "soon" });
    expect(await failure(secrets.get("id"))).toMatchObject({ retryAfterMs: undefined });
  });

  it.each([
    ['{"message":["a","b"]}', "a, b"],
    ['{"error":"Bad Request"}', "Bad Request"],
    ["<html>", "The Secret API answered 400"],
    ["", "The Secret API answered 400"],
    ["[]", "The Secret API answered 400"],
  ])("reads the message of %s", async (body, message) => {
    const secrets = await answering(400, body);
    expect((await failure(secrets.get("id"))).message).toBe(message);
  });

  it.each([
    ["exactly", (value: string) => value],
    ["JSON-escaped", (value: string) => JSON.stringify(value)],
    ["percent-encoded", (value: string) => encodeURIComponent(value)],
    ["cut", (value: string) => `${value.slice(0, 12)}...`],
  ])("never repeats a value that the API repeats %s", async (_name, spell) => {
    const value = `top"secret\n${randomBytes(12).toString("hex")}`;
    const secrets = await service((request, response) => {
      request.resume();
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify({ message: `property value: ${spell(value)} is bad` }));
    });
    for (const call of [secrets.create({ name: "A", value }), secrets.update("id", { value })]) {
      const error = await failure(call);
      const shown = `${inspect(error, { depth: 10, showHidden: true })} ${JSON.stringify(error)} ${error.message}`;
      for (const part of [value, spell(value), value.slice(0, 12), value.slice(-12)]) expect(shown).not.toContain(part);
    }
  });

  it("does not carry the key or a value past a redirect", async () => {
    const seen: IncomingMessage[] = [];
    const secrets = await service((request, response) => {
      seen.push(request);
      request.resume();
      response.writeHead(307, { location: "/elsewhere" }).end();
    });
    expect(await failure(secrets.create({ name: "A", value: "v" }))).toBeInstanceOf(ServerError);
    expect(seen).toHaveLength(1);
  });

  it.each([
    "null",
    "[]",
    "not json",
    '{"id":1}',
    '{"id":"a","name":"A","placeholder":"p","hosts":null,"createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}',
    '{"id":"a","name":"A","placeholder":"p","hosts":[],"createdAt":"yesterday","updatedAt":"2026-01-01T00:00:00Z"}',
  ])("does not take %s for a secret", async (body) => {
    const secrets = await answering(200, body);
    expect(await failure(secrets.get("id"))).toMatchObject({ code: "unexpected-answer" });
  });

  it("takes what Daytona's API leaves out", async () => {
    const secret = {
      id: "a",
      name: "A",
      placeholder: "dtn_secret_a7f3b2c1e9d4",
      hosts: [],
      createdAt: "2026-01-01T00:00:00.000Z",
      updatedAt: "2026-01-01T00:00:00.000Z",
      later: true,
    };
    const secrets = await answering(200, JSON.stringify({ ...secret, description: null }));
    expect(await secrets.get("a")).toEqual({
      id: "a",
      name: "A",
      placeholder: "dtn_secret_a7f3b2c1e9d4",
      hosts: [],
      description: undefined,
      locations: undefined,
      onViolation: undefined,
      warnings: [],
      createdAt: new Date(Date.UTC(2026, 0)),
      updatedAt: new Date(Date.UTC(2026, 0)),
    });
  });

  it("leaves a list that does not end", async () => {
    const secrets = await answering(200, JSON.stringify({ items: [], total: 0, nextCursor: "again" }));
    expect(await failure(secrets.list())).toMatchObject({ code: "unexpected-answer" });
  });

  it("ends a list on an empty cursor", async () => {
    const secrets = await answering(200, JSON.stringify({ items: [], total: 0, nextCursor: "" }));
    expect(await secrets.list()).toEqual([]);
  });

  it("does not read an answer without end", async () => {
    const secrets = await service((request, response) => {
      request.resume();
      response.writeHead(200, { "content-type": "application/json" });
      const chunk = Buffer.alloc(1024 * 1024, 0x20);
      let sent = 0;
      const more = () => {
        while (sent < 64 * 1024 * 1024 && !response.destroyed) {
          sent += chunk.length;
          if (!response.write(chunk)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    });
    expect(await failure(secrets.get("id"))).toMatchObject({ code: "unexpected-answer" });
  });

  it("gives up in time, before the head and after it", async () => {
    const silent = await service(() => {}, 100);
    expect(await failure(silent.get("id"))).toMatchObject({ code: "timeout", status: undefined });
    server?.closeAllConnections();
    server?.close();
    const slow = await service((_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("{");
    }, 100);
    expect(await failure(slow.get("id"))).toBeInstanceOf(ConnectionError);
  });

  it("ends with the caller's signal while it waits", async () => {
    const controller = new AbortController();
    const secrets = await service(() => controller.abort(new Error("enough")));
    await expect(secrets.get("id", { signal: controller.signal })).rejects.toThrow("enough");
  });

  it("says that it cannot connect", async () => {
    const secrets = await service(() => {});
    await new Promise((resolve) => server?.close(resolve));
    server = undefined;
    expect(await failure(secrets.get("id"))).toMatchObject({
      code: "connection-failed",
      message: "The Secret API cannot be reached (ECONNREFUSED)",
    });
  });

  it("does not let an id reach anything but a secret", async () => {
    const paths: (string | undefined)[] = [];
    const secrets = await service((request, response) => {
      paths.push(request.url);
      response.writeHead(404, { "content-type": "application/json" }).end("{}");
    });
    for (const id of ["", ".", "..", "paginated", "\ud800"]) {
      expect(await failure(secrets.delete(id))).toBeInstanceOf(ValidationError);
    }
    expect(await failure(secrets.get("a/../b?c#d"))).toBeInstanceOf(NotFoundError);
    expect(paths).toEqual(["/api/secret/a%2F..%2Fb%3Fc%23d"]);
  });
});

describe("settings", () => {
  it.each(["", "nonsense", "file:///etc", "http://user:pass@a/", "http://a/?q"])("refuse the URL %j", (apiUrl) => {
    expect(() => new SecretService({ apiUrl, apiKey: "k" })).toThrow(ValidationError);
  });

  it("refuse a key that no header can carry, without telling it", () => {
    for (const given of [{ apiKey: "top secret" }, { apiKey: "k\n" }, { apiKey: "k", organizationId: "a\r\nb: c" }]) {
      expect(() => new SecretService({ apiUrl: "http://a/", ...given })).toThrow(/printable ASCII/);
    }
  });

  it("are not shown", () => {
    const secrets = new SecretService({ apiUrl: "http://a/", apiKey: "dtn_hidden" });
    expect(inspect(secrets, { depth: 10, showHidden: true })).not.toContain("dtn_hidden");
  });

  it("name the organization for a JWT", async () => {
    let seen: string | null = null;
    const fake: typeof fetch = async (_url, init) => {
      seen = new Headers(init?.headers).get("x-daytona-organization-id");
      return new Response("{}", { status: 404 });
    };
    const secrets = new SecretService({ apiUrl: "http://a/", apiKey: "jwt", organizationId: "org-1", fetch: fake });
    expect(await failure(secrets.get("id"))).toBeInstanceOf(NotFoundError);
    expect(seen).toBe("org-1");
  });
});
