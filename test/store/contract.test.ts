// What every store promises, asked of each implementation.

import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { SecretValue } from "../../src/core/secret-value.ts";
import type { Actor, NewSandbox, NewSecret, PageQuery, Store } from "../../src/core/store.ts";
import { ChangeTable } from "../../src/store/change-table.ts";
import { formatMasterKey, makeMasterKey, parseMasterKeys } from "../../src/store/envelope.ts";
import { openStore } from "../../src/store/open.ts";
import { PostgresDatabase } from "../../src/store/postgres.ts";
import type { Sql } from "../../src/store/sql.ts";
import { SqliteDatabase } from "../../src/store/sqlite.ts";
import { type Cluster, postgresMissing, startCluster } from "../support/postgres.ts";

interface Place {
  open(masterKeys: string, clock?: () => number): Promise<Store>;
  /** The same database, beneath the store. */
  raw(): Promise<Sql>;
}

interface Implementation {
  readonly name: string;
  readonly missing: string | undefined;
  setUp(): Promise<void>;
  tearDown(): Promise<void>;
  /** An empty database. */
  place(): Promise<Place>;
}

const actor: Actor = { kind: "key", name: "tester" };

function sqlite(): Implementation {
  let directory = "";
  return {
    name: "SQLite",
    missing: undefined,
    setUp: async () => {
      directory = await mkdtemp(join(tmpdir(), "keyswap-store-"));
    },
    tearDown: () => rm(directory, { recursive: true, force: true }),
    place: async () => {
      const path = join(directory, `${randomUUID()}.db`);
      return {
        open: (masterKeys, clock) => openStore({ path, masterKeys, clock }),
        raw: async () => new SqliteDatabase(path, Date.now),
      };
    },
  };
}

function postgres(): Implementation {
  let cluster: Cluster | undefined;
  let count = 0;
  return {
    name: "PostgreSQL",
    missing: postgresMissing(),
    setUp: async () => {
      cluster = await startCluster();
    },
    tearDown: async () => cluster?.remove(),
    place: async () => {
      const databaseUrl = await cluster!.createDatabase(`contract_${++count}`);
      return {
        open: (masterKeys, clock) => openStore({ databaseUrl, masterKeys, clock }),
        raw: () => PostgresDatabase.open(databaseUrl, Date.now),
      };
    },
  };
}

for (const implementation of [sqlite(), postgres()]) {
  const { missing } = implementation;
  const title = missing === undefined ? implementation.name : `${implementation.name} (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(title, () => {
    beforeAll(() => implementation.setUp());
    afterAll(() => implementation.tearDown());
    contract(implementation);
  });
}

function contract(implementation: Implementation): void {
  const keys = formatMasterKey(makeMasterKey());
  let place: Place;
  let store: Store;
  let organizationId: string;

  const secret = (name: string, value = `value-of-${name}`, more: Partial<NewSecret> = {}): NewSecret => ({
    organizationId,
    name,
    value: new SecretValue(name, value),
    description: null,
    hosts: [],
    locations: null,
    onViolation: null,
    placeholder: `dtn_secret_${randomBytes(16).toString("hex").slice(0, 25)}`,
    ownPlaceholder: false,
    ...more,
  });
  const sandbox = (name: string, more: Partial<NewSandbox> = {}): NewSandbox => ({
    id: randomUUID(),
    organizationId,
    name,
    tokenHash: `sha256:${"0".repeat(64)}`,
    labels: {},
    attributes: {},
    onViolation: null,
    egress: { allow: [], deny: [] },
    sources: [],
    mounts: [],
    expiresAt: null,
    ...more,
  });
  const createSecret = async (...args: Parameters<typeof secret>) => {
    const outcome = await store.secrets.create(secret(...args), actor);
    if (outcome.kind !== "created") throw new Error(outcome.kind);
    return outcome.secret;
  };
  const createSandbox = async (...args: Parameters<typeof sandbox>) => {
    const outcome = await store.sandboxes.create(sandbox(...args), actor);
    if (outcome.kind !== "created") throw new Error(outcome.kind);
    return outcome.sandbox;
  };
  const range = (cidr: string, first: string, last: string) => ({
    cidr,
    first: `00000000000000000000ffff${first}`,
    last: `00000000000000000000ffff${last}`,
  });

  beforeEach(async () => {
    place = await implementation.place();
    store = await place.open(keys);
    organizationId = store.organizations.defaultId;
    const opened = store;
    onTestFinished(() => opened.close());
  });

  describe("secrets", () => {
    it("keeps what it is given, and never hands out the value", async () => {
      const given = secret("FULL", "päss\0wörd", {
        description: "text — with ümlauts",
        hosts: ["API.example.com", "*.example.org"],
        locations: ["header:x-api-key"],
        onViolation: "block",
      });
      const outcome = await store.secrets.create(given, actor);
      if (outcome.kind !== "created") throw new Error(outcome.kind);
      const { value: _, ownPlaceholder: __, ...expected } = given;
      expect(outcome.secret).toMatchObject(expected);
      expect(await store.secrets.get(organizationId, outcome.secret.id)).toEqual(outcome.secret);
      expect(JSON.stringify(outcome.secret)).not.toContain("päss");
    });

    it("lets one of many creates of the same name win", async () => {
      const attempts = Array.from({ length: 20 }, () => store.secrets.create(secret("SAME"), actor));
      const kinds = (await Promise.all(attempts)).map((outcome) => outcome.kind);
      expect(kinds.filter((kind) => kind === "created")).toHaveLength(1);
      expect(kinds.filter((kind) => kind === "name-taken")).toHaveLength(19);
    });

    it("updates only what the patch names", async () => {
      const before = await createSecret("PATCHED", "one", { description: "d", hosts: ["a.example"] });
      const outcome = await store.secrets.update(organizationId, before.id, { hosts: ["b.example"] }, actor);
      if (outcome.kind !== "updated") throw new Error(outcome.kind);
      expect(outcome.secret).toEqual({ ...before, hosts: ["b.example"], updatedAt: outcome.secret.updatedAt });
      const cleared = await store.secrets.update(organizationId, before.id, { description: null }, actor);
      expect(cleared).toMatchObject({ secret: { description: null, hosts: ["b.example"] } });
    });

    it("keeps a restriction against an empty list where asked to", async () => {
      const { id } = await createSecret("JAVA", "one", { hosts: ["a.example"] });
      const kept = await store.secrets.update(organizationId, id, { hosts: [], keepRestriction: true }, actor);
      expect(kept).toMatchObject({ secret: { hosts: ["a.example"] } });
      const opened = await store.secrets.update(organizationId, id, { hosts: [] }, actor);
      expect(opened).toMatchObject({ secret: { hosts: [] } });
    });

    it("does not know another organization's", async () => {
      const other = await store.organizations.create(
        { id: randomUUID(), name: "other", secretQuota: null, maxSecretsPerSandbox: null },
        actor,
      );
      if (other === "name-taken") throw new Error(other);
      const mine = await createSecret("MINE");
      expect(await store.secrets.get(other.id, mine.id)).toBeUndefined();
      expect(await store.secrets.update(other.id, mine.id, { hosts: [] }, actor)).toEqual({ kind: "not-found" });
      expect(await store.secrets.delete(other.id, mine.id, actor)).toBe(false);
      expect((await store.secrets.create(secret("MINE", "v", { organizationId: other.id }), actor)).kind).toBe(
        "created",
      );
    });

    it("keeps to the organization's quota", async () => {
      await store.organizations.update(organizationId, { secretQuota: 2 }, actor);
      const attempts = ["A", "B", "C", "D"].map((name) => store.secrets.create(secret(name), actor));
      const kinds = (await Promise.all(attempts)).map((outcome) => outcome.kind);
      expect(kinds.sort()).toEqual(["created", "created", "over-quota", "over-quota"]);
    });

    it("refuses a placeholder that is part of another or holds one", async () => {
      const own = (placeholder: string) => ({ placeholder, ownPlaceholder: true });
      await createSecret("OWN", "v", own("sk-0123456789abcdefghij"));
      const generated = await createSecret("GENERATED");
      for (const placeholder of [
        "sk-0123456789abcdefghij",
        "sk-0123456789abcdefghijk",
        "x-sk-0123456789abcdefghij",
        "k-0123456789abcdefghi",
        generated.placeholder.slice(3),
      ]) {
        const outcome = await store.secrets.create(secret("NEXT", "v", own(placeholder)), actor);
        expect(outcome.kind, placeholder).toBe("placeholder-taken");
      }
      expect((await store.secrets.create(secret("NEXT", "v", own("sk-another-9876543210")), actor)).kind).toBe(
        "created",
      );
    });

    it("refuses an update that would tangle value and placeholder", async () => {
      const created = await createSecret("TANGLED", "a-real-value");
      const tangled = { kind: "placeholder-in-value" };
      const same = new SecretValue("TANGLED", "a-real-value");
      const own = { placeholder: "look:a-real-value:here", value: same };
      expect(await store.secrets.update(organizationId, created.id, own, actor)).toEqual(tangled);
      const value = new SecretValue("TANGLED", `x${created.placeholder}y`);
      expect(await store.secrets.update(organizationId, created.id, { value }, actor)).toEqual(tangled);
    });

    it("compares no placeholder with the stored value: whoever tries some would learn of it", async () => {
      const created = await createSecret("STORED", "https://hooks.example/secret-part");
      for (const placeholder of ["https://hooks.example/secret", "https://hooks.example/public"]) {
        expect(await store.secrets.update(organizationId, created.id, { placeholder }, actor)).toEqual({
          kind: "placeholder-without-value",
        });
      }
      const { placeholder } = created;
      const unchanged = await store.secrets.update(organizationId, created.id, { placeholder }, actor);
      expect(unchanged).toMatchObject({ kind: "updated", secret: { placeholder } });
    });

    const sorts: readonly Pick<PageQuery, "sort" | "order">[] = (["name", "createdAt", "updatedAt"] as const).flatMap(
      (sort) => (["asc", "desc"] as const).map((order) => ({ sort, order })),
    );
    it("pages through all of them once, in every order", async () => {
      await Promise.all(Array.from({ length: 57 }, (_, at) => createSecret(`S_${at % 7}_${at}`)));
      for (const { sort, order } of sorts) {
        const seen: string[] = [];
        let after: PageQuery["after"];
        for (let page = 0; page < 20; page++) {
          const answer = await store.secrets.list(organizationId, { limit: 10, sort, order, after });
          expect(answer.total).toBe(57);
          seen.push(...answer.items.map((each) => each.name));
          const last = answer.items.at(-1);
          if (!answer.more || last === undefined) break;
          after = { value: last[sort], id: last.id };
        }
        expect(new Set(seen).size, `${sort} ${order}`).toBe(57);
        expect(seen).toHaveLength(57);
        if (sort === "name") expect(seen).toEqual(order === "asc" ? [...seen].sort() : [...seen].sort().reverse());
      }
    });

    it("does not skip or repeat when rows come and go between pages", async () => {
      const names = Array.from({ length: 20 }, (_, at) => `N_${String(at).padStart(2, "0")}`);
      for (const name of names) await createSecret(name);
      const query = { limit: 10, sort: "name", order: "asc" } as const;
      const first = await store.secrets.list(organizationId, query);
      const last = first.items.at(-1)!;
      await createSecret("A_BEFORE");
      await store.secrets.delete(organizationId, first.items[3]!.id, actor);
      const second = await store.secrets.list(organizationId, { ...query, after: { value: last.name, id: last.id } });
      expect(second.items.map((each) => each.name)).toEqual(names.slice(10));
    });

    it("filters by a literal part of the name, case aside", async () => {
      for (const name of ["a_b", "aXb", "A_B_C", "back"]) await createSecret(name);
      const names = async (name: string) =>
        (await store.secrets.list(organizationId, { limit: 10, sort: "name", order: "asc", name })).items.map(
          (each) => each.name,
        );
      expect(await names("A_b")).toEqual(["A_B_C", "a_b"]);
      expect(await names("%")).toEqual([]);
      expect(await names("\\")).toEqual([]);
      expect(await names("B")).toEqual(["A_B_C", "aXb", "a_b", "back"]);
    });
  });

  describe("values at rest", () => {
    it("are in the database as ciphertext alone", async () => {
      const value = `needle-${randomBytes(12).toString("hex")}`;
      await createSecret("HIDDEN", value);
      const raw = await place.raw();
      onTestFinished(() => raw.close());
      for (const table of ["secrets", "changes", "audit", "master_keys"]) {
        const rows = await raw.all(`SELECT * FROM ${table}`);
        expect(rows.length, table).toBeGreaterThan(0);
        for (const cell of rows.flatMap((row) => Object.values(row))) {
          const bytes = cell instanceof Uint8Array ? Buffer.from(cell) : Buffer.from(String(cell));
          expect(bytes.includes(value)).toBe(false);
        }
      }
    });

    it("do not open in another row's place", async () => {
      await createSecret("ONE", "first value");
      await createSecret("TWO", "second value");
      const created = await createSandbox("box", { mounts: [{ env: "A", secretName: "ONE" }] });
      const raw = await place.raw();
      onTestFinished(() => raw.close());
      await raw.write((tx) =>
        tx.run("UPDATE secrets SET box = (SELECT box FROM secrets WHERE name = 'TWO') WHERE name = 'ONE'"),
      );
      await expect(store.egress.resolve(created.id, 0)).rejects.toMatchObject({ code: "corrupt" });
    });

    it("need the master key: a wrong or missing one stops the start and changes nothing", async () => {
      await createSecret("KEPT", "the value");
      await createSandbox("box", { mounts: [{ env: "A", secretName: "KEPT" }] });
      const [key] = parseMasterKeys(keys);
      const impostor = formatMasterKey({ id: key.id, bytes: randomBytes(32) });
      await expect(place.open(impostor)).rejects.toMatchObject({ code: "master-key", message: /is not the one/ });
      const stranger = formatMasterKey(makeMasterKey());
      await expect(place.open(stranger)).rejects.toMatchObject({
        code: "master-key",
        message: expect.stringContaining(`"${key.id}"`),
      });
      const again = await place.open(keys);
      onTestFinished(() => again.close());
      const found = await again.sandboxes.get(organizationId, "box");
      const grants = (await again.egress.resolve(found!.id, 0))!.grants;
      expect(grants[0]!.value.reveal().toString()).toBe("the value");
    });

    it("move to a new master key while in use; the old one is needed no more", async () => {
      for (let at = 0; at < 230; at++) await createSecret(`R_${at}`, `value ${at}`);
      const box = await createSandbox("box", { mounts: [{ env: "A", secretName: "R_7" }] });
      const [old] = parseMasterKeys(keys);
      const fresh = makeMasterKey();
      const both = await place.open(`${formatMasterKey(fresh)},${keys}`);
      onTestFinished(() => both.close());
      const version = await both.changes.version();
      expect(await both.rotateMasterKey()).toEqual({ current: fresh.id, resealed: 230, retired: [old.id] });
      expect(await both.changes.version()).toBe(version);
      const alone = await place.open(formatMasterKey(fresh));
      onTestFinished(() => alone.close());
      expect((await alone.egress.resolve(box.id, 0))!.grants[0]!.value.reveal().toString()).toBe("value 7");
      await expect(place.open(keys)).rejects.toMatchObject({ code: "master-key" });

      // Nobody writes under the old key any more: whoever has taken it out would not open the store again.
      const refused = { code: "master-key", message: expect.stringContaining(`Master key "${old.id}" was retired`) };
      await expect(createSecret("LATE", "late value")).rejects.toMatchObject(refused);
      await expect(place.open(`${keys},${formatMasterKey(fresh)}`)).rejects.toMatchObject(refused);
      expect(await both.rotateMasterKey()).toEqual({ current: fresh.id, resealed: 0, retired: [] });
      const next = await place.open(`${formatMasterKey(fresh)},${keys}`);
      onTestFinished(() => next.close());
    });
  });

  describe("sandboxes", () => {
    it("resolve to their grants in the order given", async () => {
      await createSecret("ONE", "first", { hosts: ["a.example"], locations: ["header"], onViolation: "block" });
      await createSecret("TWO", "second");
      const created = await createSandbox("box", {
        mounts: [
          { env: "Z", secretName: "ONE" },
          { env: "A", secretName: "TWO" },
          { env: "M", secretName: "ONE" },
        ],
        egress: { allow: ["a.example"], deny: [] },
        onViolation: "block",
      });
      const record = await store.egress.resolve(created.id, Date.now());
      expect(record).toMatchObject({
        sandboxId: created.id,
        organizationId,
        version: created.version,
        onViolation: "block",
      });
      expect(record!.grants.map((grant) => [grant.env, grant.name, grant.value.reveal().toString()])).toEqual([
        ["Z", "ONE", "first"],
        ["A", "TWO", "second"],
        ["M", "ONE", "first"],
      ]);
      expect(record!.grants[0]).toMatchObject({ hosts: ["a.example"], locations: ["header"], onViolation: "block" });
    });

    it("are found by id before another one's name", async () => {
      const first = await createSandbox("first");
      await createSandbox("second");
      expect((await store.sandboxes.get(organizationId, first.id))?.name).toBe("first");
      expect((await store.sandboxes.get(organizationId, "second"))?.name).toBe("second");
      expect((await store.sandboxes.create(sandbox(first.id), actor)).kind).toBe("name-taken");
      expect((await store.sandboxes.create(sandbox("second"), actor)).kind).toBe("name-taken");
    });

    it("mount nothing where one of the secrets does not exist", async () => {
      await createSecret("ONE");
      const created = await createSandbox("box", { mounts: [{ env: "A", secretName: "ONE" }] });
      const mounts = [
        { env: "B", secretName: "ONE" },
        { env: "C", secretName: "MISSING" },
      ];
      const outcome = await store.sandboxes.update(organizationId, "box", { mounts }, actor);
      expect(outcome).toEqual({ kind: "unknown-secrets", names: ["MISSING"] });
      expect(await store.sandboxes.get(organizationId, "box")).toEqual(created);
      expect((await store.sandboxes.create(sandbox("new", { mounts }), actor)).kind).toBe("unknown-secrets");
      expect(await store.sandboxes.get(organizationId, "new")).toBeUndefined();
    });

    it("lose a deleted secret, and do not get it back by its name", async () => {
      const { id } = await createSecret("GONE");
      const box = await createSandbox("box", { mounts: [{ env: "A", secretName: "GONE" }] });
      await store.secrets.delete(organizationId, id, actor);
      const after = await store.egress.resolve(box.id, 0);
      expect(after!.grants).toEqual([]);
      expect(after!.version).toBeGreaterThan(box.version);
      await createSecret("GONE");
      expect((await store.egress.resolve(box.id, 0))!.grants).toEqual([]);
    });

    it("are counted and named for each secret that they mount", async () => {
      const outcomes = await Promise.all(["A", "B", "C"].map((name) => store.secrets.create(secret(name), actor)));
      const [a, b, c] = outcomes.map((outcome) => (outcome.kind === "created" ? outcome.secret.id : ""));
      const mounts = (...pairs: [string, string][]) => pairs.map(([env, secretName]) => ({ env, secretName }));
      await store.sandboxes.create(sandbox("two", { mounts: mounts(["X", "A"], ["Y", "A"], ["Z", "B"]) }), actor);
      await store.sandboxes.create(sandbox("one", { mounts: mounts(["K", "A"]) }), actor);
      expect([...(await store.secrets.mountCounts([a!, b!, c!]))].sort()).toEqual(
        [
          [a, 2],
          [b, 1],
        ].sort(),
      );
      expect(await store.secrets.mountCounts([])).toEqual(new Map());
      const found = await store.secrets.mountedIn(organizationId, a!, 10);
      expect(found.map(({ sandboxName, env }) => `${sandboxName} ${env}`)).toEqual(["one K", "two X", "two Y"]);
      expect(await store.secrets.mountedIn(organizationId, a!, 1)).toHaveLength(1);
      const other = await store.organizations.create(
        { id: randomUUID(), name: "elsewhere", secretQuota: null, maxSecretsPerSandbox: null },
        actor,
      );
      if (other === "name-taken") throw new Error(other);
      expect(await store.secrets.mountedIn(other.id, a!, 10)).toEqual([]);
    });

    it("keep to the organization's bound on mounts", async () => {
      await store.organizations.update(organizationId, { maxSecretsPerSandbox: 1 }, actor);
      await createSecret("ONE");
      const mounts = ["A", "B"].map((env) => ({ env, secretName: "ONE" }));
      expect(await store.sandboxes.create(sandbox("box", { mounts }), actor)).toEqual({
        kind: "too-many-secrets",
        max: 1,
      });
    });

    it("have source ranges that never overlap, in any organization", async () => {
      await createSandbox("a", { sources: [range("10.0.0.0/24", "0a000000", "0a0000ff")] });
      const taken = async (...sources: ReturnType<typeof range>[]) =>
        (await store.sandboxes.create(sandbox(randomUUID(), { sources }), actor)).kind;
      expect(await taken(range("10.0.0.5/32", "0a000005", "0a000005"))).toBe("source-taken");
      expect(await taken(range("10.0.0.0/8", "0a000000", "0affffff"))).toBe("source-taken");
      expect(await taken(range("0.0.0.0/0", "00000000", "ffffffff"))).toBe("source-taken");
      const twice = range("10.0.2.0/24", "0a000200", "0a0002ff");
      expect(await taken(twice, twice)).toBe("source-taken");
      expect(await taken(range("10.0.1.0/24", "0a000100", "0a0001ff"))).toBe("created");
      expect(await taken(range("9.255.255.255/32", "09ffffff", "09ffffff"))).toBe("created");
      expect((await store.egress.sources(null)).map((each) => each.cidr)).toEqual([
        "9.255.255.255/32",
        "10.0.0.0/24",
        "10.0.1.0/24",
      ]);
      const own = { sources: [range("10.0.0.0/25", "0a000000", "0a00007f")] };
      expect((await store.sandboxes.update(organizationId, "a", own, actor)).kind).toBe("updated");
    });

    it("expire: not found from then on, then deleted", async () => {
      const now = Date.now();
      const box = await createSandbox("short", { expiresAt: now + 60_000 });
      await createSandbox("long", { expiresAt: now + 120_000 });
      await createSandbox("endless");
      expect(await store.sandboxes.nextExpiry()).toBe(now + 60_000);
      expect(await store.egress.resolve(box.id, now + 59_999)).toBeDefined();
      expect(await store.egress.resolve(box.id, now + 60_000)).toBeUndefined();
      expect(await store.egress.find(box.id, now + 60_000)).toBeUndefined();
      const before = await store.changes.version();
      expect(await store.sandboxes.deleteExpired(now + 60_000, 10)).toBe(1);
      expect(await store.sandboxes.deleteExpired(now + 60_000, 10)).toBe(0);
      expect(await store.changes.since(before, 10)).toMatchObject({ changes: [{ sandboxes: [box.id] }] });
      expect(await store.sandboxes.get(organizationId, "short")).toBeUndefined();
      expect(await store.sandboxes.nextExpiry()).toBe(now + 120_000);
    });

    it("are listed by name, id and labels", async () => {
      await createSandbox("one", { labels: { team: "a", stage: 'pro"d' } });
      const two = await createSandbox("two", { labels: { team: "b" } });
      const list = async (query: Partial<Parameters<Store["sandboxes"]["list"]>[1]>) =>
        (await store.sandboxes.list(organizationId, { limit: 10, sort: "name", order: "asc", ...query })).items.map(
          (each) => each.name,
        );
      expect(await list({})).toEqual(["one", "two"]);
      expect(await list({ labels: { team: "a", stage: 'pro"d' } })).toEqual(["one"]);
      expect(await list({ labels: { team: "c" } })).toEqual([]);
      expect(await list({ id: two.id.slice(4, 12).toUpperCase() })).toEqual(["two"]);
      expect(await list({ name: "TW" })).toEqual(["two"]);
      await createSandbox("Übung İ");
      expect(await list({ name: "Übung İ" })).toEqual(["Übung İ"]);
      expect(await list({ name: "ÜBUNG" })).toEqual(["Übung İ"]);
      expect(await list({ offset: 2 })).toEqual(["Übung İ"]);
    });
  });

  describe("changes", () => {
    it("have one version for each write, without gaps, and name the sandboxes", async () => {
      const start = await store.changes.version();
      const one = await createSecret("ONE");
      await store.secrets.create(secret("ONE"), actor);
      const mounts = [{ env: "A", secretName: "ONE" }];
      const box = await createSandbox("box", { mounts });
      await createSandbox("bystander");
      await store.secrets.update(organizationId, one.id, { value: new SecretValue("ONE", "new") }, actor);
      await store.sandboxes.update(
        organizationId,
        "box",
        { sources: [range("10.0.0.1/32", "0a000001", "0a000001")] },
        actor,
      );
      await store.sandboxes.delete(organizationId, "box", actor);
      const answer = await store.changes.since(start, 100);
      if (answer.kind !== "changes") throw new Error(answer.kind);
      expect(answer.changes.map((change) => change.version)).toEqual([1, 2, 3, 4, 5, 6].map((at) => start + at));
      expect(answer.changes.map((change) => change.sandboxes?.includes(box.id))).toEqual([
        false,
        true,
        false,
        true,
        true,
        true,
      ]);
      expect(answer.changes.map((change) => change.sources)).toEqual([false, false, false, false, true, true]);
      expect(await store.changes.version()).toBe(start + 6);
      expect(await store.egress.sourcesVersion()).toBe(start + 6);
    });

    it("are gone after pruning, and a version from elsewhere is too old", async () => {
      const start = await store.changes.version();
      for (let at = 0; at < 10; at++) await createSecret(`P_${at}`);
      const version = start + 10;
      expect(await store.changes.since(start, 2)).toMatchObject({
        kind: "changes",
        changes: [{ version: start + 1 }, {}],
      });
      await store.changes.prune(4);
      expect(await store.changes.since(start + 5, 100)).toEqual({ kind: "too-old", version });
      expect(await store.changes.since(start + 6, 100)).toMatchObject({ changes: { length: 4 } });
      expect(await store.changes.since(version, 100)).toEqual({ kind: "changes", changes: [] });
      expect(await store.changes.since(version + 1, 100)).toEqual({ kind: "too-old", version });
    });

    it("are pruned by two replicas at the same time without a gap that nobody is told of", async () => {
      for (let at = 0; at < 20; at++) await createSecret(`P_${at}`);
      const raw = await place.raw();
      onTestFinished(() => raw.close());
      const overtaken = Promise.withResolvers<void>();
      let isHeldBack = false;
      const slow: Sql = {
        kind: raw.kind,
        dialect: raw.dialect,
        all: (...args) => raw.all(...args),
        get: (...args) => raw.get(...args),
        subscribe: (listener) => raw.subscribe(listener),
        close: () => raw.close(),
        write: async (work) => {
          if (isHeldBack) await overtaken.promise;
          return raw.write(work);
        },
      };
      const table = await ChangeTable.open(slow, Date.now);
      isHeldBack = true;
      const pruned = table.prune(10);
      await table.version(); // read after what the pruning has read
      await store.changes.prune(1);
      overtaken.resolve();
      await pruned;
      const version = await store.changes.version();
      expect(await store.changes.since(version - 5, 100)).toMatchObject({ kind: "too-old" });
      expect(await store.changes.since(version - 1, 100)).toMatchObject({ changes: { length: 1 } });
    });

    it("call subscribers after the commit", async () => {
      const heard: number[] = [];
      const unsubscribe = store.changes.subscribe((version) => heard.push(version));
      await createSecret("HEARD");
      await expect.poll(() => heard.at(-1)).toBe(await store.changes.version());
      unsubscribe();
      const count = heard.length;
      await createSecret("UNHEARD");
      expect(heard).toHaveLength(count);
    });

    it("name the secret, by what it was known, where too many sandboxes are concerned", async () => {
      const { id, placeholder } = await createSecret("SHARED");
      const mounts = [{ env: "A", secretName: "SHARED" }];
      await Promise.all(Array.from({ length: 1_001 }, (_, at) => createSandbox(`many-${at}`, { mounts })));
      const before = await store.changes.version();
      await store.secrets.update(organizationId, id, { hosts: ["a.example"] }, actor);
      const renamed = `${placeholder}x`;
      await store.secrets.update(
        organizationId,
        id,
        { placeholder: renamed, value: new SecretValue("SHARED", "v") },
        actor,
      );
      await store.secrets.delete(organizationId, id, actor);
      expect(await store.changes.since(before, 10)).toMatchObject({
        changes: [
          { sandboxes: null, placeholder },
          { sandboxes: null, placeholder },
          { sandboxes: null, placeholder: renamed },
        ],
      });
    });
  });

  describe("API keys and audit", () => {
    it("finds a key by its hash until it is revoked", async () => {
      const key = {
        id: randomUUID(),
        organizationId,
        name: "ci",
        hash: `sha256:${randomBytes(32).toString("hex")}`,
        hint: "dtn_abcd",
        permissions: ["manage:secrets"],
        sandboxId: null,
        expiresAt: 99,
      } as const;
      const created = await store.apiKeys.create(key, actor);
      expect(created).toMatchObject(key);
      expect(await store.apiKeys.create({ ...key, id: randomUUID(), hash: "other" }, actor)).toBe("name-taken");
      expect(await store.apiKeys.findByHash(key.hash)).toEqual(created);
      await store.apiKeys.touch(key.id, 1234);
      expect(await store.apiKeys.list(organizationId)).toMatchObject([{ name: "ci", lastUsedAt: 1234 }]);
      expect(await store.apiKeys.delete(organizationId, "ci", actor)).toBe(true);
      expect(await store.apiKeys.delete(organizationId, "ci", actor)).toBe(false);
      expect(await store.apiKeys.findByHash(key.hash)).toBeUndefined();
    });

    it("records every write with its actor, newest first, without values", async () => {
      const { id } = await createSecret("AUDITED", "first-value");
      await store.secrets.update(
        organizationId,
        id,
        { value: new SecretValue("AUDITED", "second-value"), hosts: ["h.example"] },
        actor,
      );
      await createSandbox("box", { mounts: [{ env: "A", secretName: "AUDITED" }] });
      await store.sandboxes.update(organizationId, "box", { mounts: [] }, actor);
      await store.sandboxes.delete(organizationId, "box", actor);
      await store.secrets.delete(organizationId, id, actor);
      const { items } = await store.audit.list({ organizationId, limit: 100 });
      expect(items.map((entry) => entry.action)).toEqual([
        "secret.delete",
        "sandbox.delete",
        "sandbox.update_secrets",
        "sandbox.create",
        "secret.update",
        "secret.create",
      ]);
      expect(items.every((entry) => entry.actor.name === "tester")).toBe(true);
      expect(items[4]!.details).toEqual({ value: "********", hosts: { from: [], to: ["h.example"] } });
      expect(items[2]!.details).toEqual({ secrets: { from: [{ A: "AUDITED" }], to: [] } });
      expect(JSON.stringify(items)).not.toMatch(/(first|second)-value/);
    });

    it("pages, filters and forgets audit entries", async () => {
      const clock = Date.now();
      await store.audit.record(
        Array.from({ length: 10 }, (_, at) => ({
          time: clock + at,
          organizationId,
          actor,
          action: at % 2 === 0 ? "secret.create" : "secret.delete",
          targetType: "test",
          targetId: `t${at}`,
          targetName: null,
          details: {},
        })),
      );
      const first = await store.audit.list({ organizationId, limit: 4 });
      expect(first.items.map((entry) => entry.targetId)).toEqual(["t9", "t8", "t7", "t6"]);
      expect(first.more).toBe(true);
      const rest = await store.audit.list({ organizationId, limit: 10, before: first.items[3]!.id });
      expect(rest.items.map((entry) => entry.targetId)).toEqual(["t5", "t4", "t3", "t2", "t1", "t0"]);
      expect(rest.more).toBe(false);
      const action = "secret.delete";
      const odd = await store.audit.list({ organizationId, limit: 10, action, from: clock + 3, to: clock + 8 });
      expect(odd.items.map((entry) => entry.targetId)).toEqual(["t7", "t5", "t3"]);
      expect(await store.audit.prune(clock + 5)).toBe(5);
      expect((await store.audit.list({ organizationId, limit: 10 })).items).toHaveLength(5);
      expect((await store.audit.list({ organizationId: randomUUID(), limit: 10 })).items).toEqual([]);
    });
  });

  it("keeps what proxies say of themselves: the last word counts, and each organization has its own", async () => {
    const report = {
      id: "p",
      organizationId: null,
      sandboxId: null,
      name: "gateway-1",
      caFingerprint: "ab".repeat(32),
      heardVersion: 7,
      grants: { box: "5" },
      isComplete: true,
      connections: { bySandbox: { box: 3 }, others: 2 },
      seenAt: 1000,
    };
    await store.proxies.report(report);
    const { connections: _, ...silent } = report;
    const later = { ...silent, heardVersion: null, grants: {}, isComplete: false, seenAt: 2000 };
    await store.proxies.report(later);
    const own = { ...report, organizationId, name: "another", seenAt: 3000 };
    await store.proxies.report(own);
    expect(await store.proxies.list(organizationId, 0)).toEqual([own, later]);
    expect(await store.proxies.list(organizationId, 2500)).toEqual([own]);
    expect(await store.proxies.list(randomUUID(), 0)).toEqual([later]);
    expect(await store.proxies.prune(2500)).toBe(1);
    await store.proxies.leave(report);
    expect(await store.proxies.list(organizationId, 0)).toEqual([own]);
    await store.proxies.leave(own);
    expect(await store.proxies.list(organizationId, 0)).toEqual([]);
  });

  it("keeps apart the proxies that are bound to one sandbox, and remembers the last 16 of each", async () => {
    const report = {
      ...{ id: "p", organizationId, sandboxId: null, name: "p", caFingerprint: null, heardVersion: null },
      ...{ grants: {}, isComplete: true, seenAt: 1000 },
    };
    const bound = (sandboxId: string, id: string, seenAt: number) => ({ ...report, sandboxId, id, name: id, seenAt });
    await store.proxies.report(report);
    // Ids of which one begins with the other.
    for (const sandboxId of ["box", "box0", "box-1"]) await store.proxies.report(bound(sandboxId, "p", 1000));
    for (let at = 0; at < 20; at++) await store.proxies.report(bound("box", `p${at}`, 2000 + at));
    const list = await store.proxies.list(organizationId, 0);
    const of = (sandboxId: string | null) => list.filter((each) => each.sandboxId === sandboxId).map(({ id }) => id);
    expect([of(null), of("box0"), of("box-1")]).toEqual([["p"], ["p"], ["p"]]);
    expect(of("box").toSorted()).toEqual(Array.from({ length: 16 }, (_, at) => `p${at + 4}`).toSorted());
    await store.proxies.leave(bound("box0", "p", 0));
    expect((await store.proxies.list(organizationId, 0)).filter(({ id }) => id === "p")).toHaveLength(2);
  });

  it("opens again with everything in it, and its default organization", async () => {
    const created = await createSecret("LASTING", "v");
    const again = await place.open(keys);
    onTestFinished(() => again.close());
    expect(again.organizations.defaultId).toBe(organizationId);
    expect(await again.secrets.get(organizationId, created.id)).toEqual(created);
    expect((await again.organizations.list()).map((each) => each.name)).toEqual(["default"]);
  });

  it("does not open a database of a newer version", async () => {
    const raw = await place.raw();
    await raw.write((tx) => tx.run("INSERT INTO schema_versions (version, applied_at) VALUES (999, 0)"));
    await raw.close();
    await expect(place.open(keys)).rejects.toMatchObject({ code: "schema-too-new" });
  });
}
