// /secret on the wire: exact statuses, required fields, bounds, and what a caller may and may not learn.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await startSecretApi();
});
afterAll(() => api.close());

let count = 0;
const fresh = () => `NAME_${++count}`;
const create = (more: Record<string, unknown> = {}, name = fresh()) =>
  api.call("POST", "/secret", { name, value: "some value", ...more });

describe("create", () => {
  it("answers 201 with exactly the required fields, and no value", async () => {
    const name = fresh();
    const { status, body, headers } = await create({}, name);
    expect(status).toBe(201);
    expect(Object.keys(body).sort()).toEqual(["createdAt", "hosts", "id", "name", "placeholder", "updatedAt"]);
    expect(body).toMatchObject({ name, hosts: [] });
    for (const time of [body.createdAt, body.updatedAt])
      expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(headers.get("cache-control")).toBe("no-store");
  });

  it("keeps hosts as given: order, case and repetition", async () => {
    const hosts = ["B.example.com", "a.example.com", "B.example.com", "*.Example.ORG", "localhost", "192.0.2.1"];
    expect((await create({ hosts })).body.hosts).toEqual(hosts);
  });

  it.each([1, 11, 36, 37, 64, 256, 257, 65_536])(
    "makes a placeholder that fits a value of %i bytes",
    async (length) => {
      const { status, body } = await create({ value: "x".repeat(length) });
      expect(status).toBe(201);
      const expected = length > 256 ? 36 : Math.max(36, length);
      expect(body.placeholder).toHaveLength(expected);
      expect(body.placeholder).toMatch(/^dtn_secret_[a-z0-9]+$/);
    },
  );

  it("counts bytes, not characters", async () => {
    expect((await create({ value: "é".repeat(30) })).body.placeholder).toHaveLength(60);
    expect((await create({ value: "é".repeat(32_768) })).status).toBe(201);
    expect((await create({ value: "é".repeat(32_769) })).status).toBe(400);
  });

  it.each([
    ["no name", { name: undefined }],
    ["a number for a name", { name: 5 }],
    ["an empty name", { name: "" }],
    ["a name with a final newline", { name: "GOOD\n" }],
    ["a name that is too long", { name: "n".repeat(257) }],
    ["no value", { value: undefined }],
    ["a null value", { value: null }],
    ["an empty value", { value: "" }],
    ["a lone surrogate", { value: "\ud800" }],
    ["hosts that are no array", { hosts: "a.example" }],
    ["null hosts", { hosts: null }],
    ["a number among the hosts", { hosts: [1] }],
    ["a port", { hosts: ["a.example:443"] }],
    ["an IPv6 address", { hosts: ["[::1]"] }],
    ["an inner wildcard", { hosts: ["a.*.example"] }],
    ["a wildcard over a public suffix", { hosts: ["*.co.uk"] }],
    ["too many hosts", { hosts: Array.from({ length: 101 }, (_, at) => `h${at}.example`) }],
    ["an unknown location", { locations: ["footer"] }],
    ["an unknown policy", { onViolation: "explode" }],
    ["a placeholder of the made form", { placeholder: `dtn_secret_${"a".repeat(25)}` }],
    ["a short placeholder", { placeholder: "sk-short" }],
    ["a placeholder with a blank", { placeholder: "sk-0123456789 0123456789" }],
    ["a description with NUL", { description: "a\0b" }],
  ])("refuses %s with 400 and stores nothing", async (_, more) => {
    const before = (await api.call("GET", "/secret/paginated")).body.total;
    const { status, body } = await create(more);
    expect(status).toBe(400);
    expect(typeof body.message).toBe("string");
    expect((await api.call("GET", "/secret/paginated")).body.total).toBe(before);
  });

  it("refuses a taken name with 409", async () => {
    const name = fresh();
    await create({}, name);
    expect((await create({}, name)).status).toBe(409);
  });

  it("warns of a wildcard below a suffix that many owners share", async () => {
    const { status, body } = await create({ hosts: ["*.github.io"] });
    expect(status).toBe(201);
    expect(body.warnings).toHaveLength(1);
    const audit = await api.call("GET", `/audit?targetId=${body.id}`);
    expect(audit.body.items[0].details.warnings).toEqual(body.warnings);
  });

  it.each([
    [3, "fewer than 4 bytes and is not scrubbed at all"],
    [4, "fewer than 8 bytes and is not scrubbed from bodies"],
    [7, "fewer than 8 bytes and is not scrubbed from bodies"],
  ])("keeps in the audit that a value has %i bytes only; the answer has no field more", async (length, words) => {
    // One character of two bytes: bytes count.
    const value = `\u00e4${"x".repeat(length - 2)}`;
    const created = (await create({ value })).body;
    await api.call("PATCH", `/secret/${created.id}`, { value: "x".repeat(8) });
    const { body, text } = await api.call("PATCH", `/secret/${created.id}`, { value });
    expect(Object.keys(body).sort()).toEqual(["createdAt", "hosts", "id", "name", "placeholder", "updatedAt"]);
    const audit = await api.call("GET", `/audit?targetId=${created.id}`);
    const warnings = audit.body.items.map((item: { details: { warnings?: string[] } }) => item.details.warnings);
    expect(warnings).toEqual([[expect.stringContaining(words)], undefined, [expect.stringContaining(words)]]);
    expect(text + audit.text).not.toContain(value);
  });

  it("takes a caller's own placeholder, but none that gives the value away", async () => {
    const value = randomBytes(12).toString("hex");
    const { status, body } = await create({ value, placeholder: "ghp_0123456789abcdefghijklmnopqrstuvwxyz" });
    expect([status, body.placeholder]).toEqual([201, "ghp_0123456789abcdefghijklmnopqrstuvwxyz"]);
    expect((await create({ value, placeholder: `sk-${value}-0123456789` })).status).toBe(400);
    expect((await create({ placeholder: "ghp_0123456789abcdefghijklmnopqrstuvwxyz" })).status).toBe(409);
  });

  it("ignores fields it does not know", async () => {
    expect((await create({ color: "green", id: "mine" })).body.id).not.toBe("mine");
  });
});

describe("update", () => {
  it("changes what is given, keeps placeholder, name and the rest", async () => {
    const { body } = await create({ hosts: ["a.example"], description: "first" });
    const { status, body: after } = await api.call("PATCH", `/secret/${body.id}`, { value: "rotated", name: "OTHER" });
    expect(status).toBe(200);
    expect(after).toEqual({ ...body, updatedAt: after.updatedAt });
  });

  it("takes an empty patch", async () => {
    const { body } = await create();
    expect((await api.call("PATCH", `/secret/${body.id}`, {})).status).toBe(200);
  });

  it("applies nothing of a patch that is refused", async () => {
    const { body } = await create({ hosts: ["a.example"] });
    const patch = { description: "new", hosts: ["b.example", "https://bad"] };
    expect((await api.call("PATCH", `/secret/${body.id}`, patch)).status).toBe(400);
    expect((await api.call("GET", `/secret/${body.id}`)).body).toEqual(body);
  });

  it("takes an empty host list literally, but from the Java SDK, which sends one unasked", async () => {
    const java = { headers: { "x-daytona-source": "sdk-java" } };
    const { body } = await create({ hosts: ["a.example"] });
    const path = `/secret/${body.id}`;
    expect((await api.call("PATCH", path, { value: "r", hosts: [] }, java)).body.hosts).toEqual(["a.example"]);
    const audit = await api.call("GET", `/audit?targetId=${body.id}&action=secret.update`);
    expect(audit.body.items[0].details.hostsKept).toBe(true);
    expect((await api.call("PATCH", path, { hosts: ["b.example"] }, java)).body.hosts).toEqual(["b.example"]);
    expect((await api.call("PATCH", `${path}?unrestricted=true`, { hosts: [] }, java)).body.hosts).toEqual([]);
    expect((await api.call("PATCH", path, { hosts: ["c.example"] }, java)).body.hosts).toEqual(["c.example"]);
    expect((await api.call("PATCH", path, { hosts: [] })).body.hosts).toEqual([]);
  });

  it("refuses a value that holds the secret's own placeholder", async () => {
    const { body } = await create();
    const { status } = await api.call("PATCH", `/secret/${body.id}`, { value: body.placeholder });
    expect(status).toBe(400);
  });

  it("clears the extensions with null", async () => {
    const { body } = await create({ locations: ["header:x-api-key", "query:key"], onViolation: "block" });
    expect(body).toMatchObject({ locations: ["header:x-api-key", "query:key"], onViolation: "block" });
    const after = await api.call("PATCH", `/secret/${body.id}`, { locations: null, onViolation: null });
    expect(Object.keys(after.body)).not.toContain("locations");
    expect(Object.keys(after.body)).not.toContain("onViolation");
  });
});

describe("delete", () => {
  it("answers 204 without a body, then 404", async () => {
    const { body } = await create();
    const { status, text } = await api.call("DELETE", `/secret/${body.id}`);
    expect([status, text]).toEqual([204, ""]);
    expect((await api.call("DELETE", `/secret/${body.id}`)).status).toBe(404);
  });

  it("tolerates a content type without a body", async () => {
    const { body } = await create();
    const headers = { "content-type": "application/json" };
    expect((await api.call("DELETE", `/secret/${body.id}`, undefined, { headers })).status).toBe(204);
  });

  it("frees the name, and a new secret gets a new placeholder", async () => {
    const name = fresh();
    const first = await create({}, name);
    await api.call("DELETE", `/secret/${first.body.id}`);
    const second = await create({}, name);
    expect(second.status).toBe(201);
    expect(second.body.placeholder).not.toBe(first.body.placeholder);
  });
});

describe("lists", () => {
  let many: TestApi;
  const names = Array.from({ length: 250 }, (_, at) => `S_${String((at * 97) % 250).padStart(3, "0")}`);
  beforeAll(async () => {
    many = await startSecretApi();
    await Promise.all(names.map((name) => many.call("POST", "/secret", { name, value: "v" })));
  });
  afterAll(() => many.close());

  it.each(["name", "createdAt", "updatedAt"].flatMap((sort) => [`${sort} asc`, `${sort} desc`]))(
    "pages through 250 secrets by %s",
    async (by) => {
      const [sort, order] = by.split(" ");
      const seen: string[] = [];
      let cursor: string | null = "";
      for (let page = 0; cursor !== null && page < 20; page++) {
        const at: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
        const { status, body } = await many.call(
          "GET",
          `/secret/paginated?sort=${sort}&order=${order}&limit=50.0${at}`,
        );
        expect([status, body.total, body.items.length]).toEqual([200, 250, 50]);
        seen.push(...body.items.map((item: { name: string }) => item.name));
        cursor = body.nextCursor;
      }
      expect(cursor).toBeNull();
      expect([...seen].sort()).toEqual([...names].sort());
      if (sort === "name") expect(seen).toEqual(order === "asc" ? [...names].sort() : [...names].sort().reverse());
    },
  );

  it("defaults to 100, newest first", async () => {
    const { body } = await many.call("GET", "/secret/paginated");
    const times = body.items.map((item: { createdAt: string }) => item.createdAt);
    expect(times).toHaveLength(100);
    expect(times).toEqual([...times].sort().reverse());
  });

  it("is a bare array on the old route", async () => {
    const { status, body } = await many.call("GET", "/secret");
    expect([status, body.length]).toEqual([200, 250]);
    expect(JSON.stringify(body)).not.toContain('"value"');
  });

  it("filters by name and counts what matches", async () => {
    const { body } = await many.call("GET", "/secret/paginated?name=s_00&limit=3");
    expect(body).toMatchObject({ total: 10, items: { length: 3 } });
    expect((await many.call("GET", "/secret/paginated?name=S%25")).body).toMatchObject({ total: 0, nextCursor: null });
  });

  it.each([
    "limit=0",
    "limit=201",
    "limit=-1",
    "limit=1.5",
    "limit=abc",
    "sort=value",
    "order=up",
    "cursor=garbage",
    `cursor=${Buffer.from('["name","asc","a","b"]').toString("base64url")}`,
    "name=a&name=b",
  ])("refuses ?%s with 400", async (query) => {
    expect((await many.call("GET", `/secret/paginated?${query}`)).status).toBe(400);
  });
});
