// The real Daytona SDK from the registry against the real API, on each store.

import { Daytona, DaytonaConflictError, DaytonaNotFoundError, DaytonaValidationError } from "@daytona/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatMasterKey, makeMasterKey } from "../../src/store/envelope.ts";
import { openStore } from "../../src/store/open.ts";
import { type Cluster, postgresMissing, startCluster } from "../support/postgres.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

describe("@daytona/sdk on SQLite", () => contract(() => startSecretApi()));

const missing = postgresMissing();
describe.skipIf(missing !== undefined)(
  `@daytona/sdk on PostgreSQL${missing === undefined ? "" : ` (skipped: ${missing})`}`,
  () => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await startCluster();
    });
    afterAll(() => cluster?.remove());
    contract(async () => {
      const databaseUrl = await cluster.createDatabase("sdk");
      return startSecretApi({
        openStore: () => openStore({ databaseUrl, masterKeys: formatMasterKey(makeMasterKey()) }),
      });
    });
  },
);

function contract(start: () => Promise<TestApi>): void {
  let api: TestApi;
  let daytona: Daytona;
  beforeAll(async () => {
    api = await start();
    // Without this the SDK keeps looking for a Socket.IO server after a create.
    daytona = new Daytona({ apiKey: api.apiKey, apiUrl: api.url, useDeprecatedPolling: true });
  });
  afterAll(() => api?.close());

  it("creates, gets, updates and deletes; the placeholder stays", async () => {
    const created = await daytona.secret.create({ name: "LIFE", value: "first", hosts: ["api.example.com"] });
    expect(created).toMatchObject({ name: "LIFE", hosts: ["api.example.com"] });
    expect(created.placeholder).toMatch(/^dtn_secret_[a-z0-9]{25}$/);
    expect(JSON.stringify(created)).not.toContain("first");

    const updated = await daytona.secret.update(created.id, { value: "second", hosts: ["*.example.com"] });
    expect(updated).toMatchObject({ id: created.id, placeholder: created.placeholder, hosts: ["*.example.com"] });
    expect(await daytona.secret.get(created.id)).toEqual(updated);

    await daytona.secret.delete(created.id);
    await expect(daytona.secret.get(created.id)).rejects.toBeInstanceOf(DaytonaNotFoundError);
    await expect(daytona.secret.update(created.id, { value: "x" })).rejects.toBeInstanceOf(DaytonaNotFoundError);
    await expect(daytona.secret.delete(created.id)).rejects.toBeInstanceOf(DaytonaNotFoundError);
  });

  it("meets a taken name as a conflict, with our words", async () => {
    await daytona.secret.create({ name: "TWICE", value: "a" });
    const again = daytona.secret.create({ name: "TWICE", value: "b" });
    await expect(again).rejects.toBeInstanceOf(DaytonaConflictError);
    await expect(again).rejects.toThrow("A secret with this name already exists");
  });

  it("meets bad names and hosts as validation errors", async () => {
    for (const name of ["", "1st", "with space", "line\n", "ü"])
      await expect(daytona.secret.create({ name, value: "v" })).rejects.toBeInstanceOf(DaytonaValidationError);
    for (const host of ["https://a.example", "a.example:443", "*", "*.com", "a..b", " a.example", "a,b"])
      await expect(daytona.secret.create({ name: "BAD_HOST", value: "v", hosts: [host] })).rejects.toBeInstanceOf(
        DaytonaValidationError,
      );
    expect((await daytona.secret.list({ name: "BAD_HOST" })).total).toBe(0);
  });

  it("pages through 250 secrets in every order", async () => {
    const names = Array.from({ length: 250 }, (_, at) => `PAGED_${String(at).padStart(3, "0")}`);
    await Promise.all(names.map((name) => daytona.secret.create({ name, value: "v" })));
    for (const sort of ["name", "createdAt", "updatedAt"] as const) {
      for (const order of ["asc", "desc"] as const) {
        const seen: string[] = [];
        let cursor: string | undefined;
        for (let page = 0; page < 10; page++) {
          const answer = await daytona.secret.list({
            ...(cursor === undefined ? {} : { cursor }),
            limit: 60,
            name: "paged_",
            sort,
            order,
          });
          expect(answer.total).toBe(250);
          seen.push(...answer.items.map((secret) => secret.name));
          cursor = answer.nextCursor ?? undefined;
          if (cursor === undefined) break;
        }
        expect([...seen].sort(), `${sort} ${order}`).toEqual(names);
        if (sort === "name") expect(seen).toEqual(order === "asc" ? names : [...names].reverse());
      }
    }
  });

  it("creates a sandbox with secrets, replaces them, resolves and deletes", async () => {
    const secret = await daytona.secret.create({ name: "OPENAI", value: "sk-real", hosts: ["api.openai.com"] });
    await daytona.secret.create({ name: "OTHER", value: "other-real" });
    const sandbox = await daytona.create({ secrets: { OPENAI_API_KEY: "OPENAI" } });
    expect(sandbox.state).toBe("started");
    expect(sandbox.env).toEqual({ OPENAI_API_KEY: secret.placeholder });

    const resolve = () => api.call("GET", `/sandbox/${sandbox.id}/secrets`, undefined, { key: api.proxyKey });
    expect((await resolve()).body).toEqual([
      { env: "OPENAI_API_KEY", placeholder: secret.placeholder, value: "sk-real", hosts: ["api.openai.com"] },
    ]);

    await sandbox.updateSecrets({ OTHER_KEY: "OTHER" });
    expect((await resolve()).body).toMatchObject([{ env: "OTHER_KEY", value: "other-real", hosts: [] }]);
    await sandbox.updateSecrets({});
    expect((await resolve()).body).toEqual([]);

    expect((await daytona.get(sandbox.id)).id).toBe(sandbox.id);
    await sandbox.delete();
    await expect(daytona.get(sandbox.id)).rejects.toBeInstanceOf(DaytonaNotFoundError);
  });

  it("meets an unknown secret in a sandbox as not found", async () => {
    await expect(daytona.create({ secrets: { A: "NOWHERE" } })).rejects.toBeInstanceOf(DaytonaNotFoundError);
  });

  it("iterates over sandboxes by label", async () => {
    for (let at = 0; at < 5; at++) await daytona.create({ name: `listed-${at}`, labels: { suite: "list" } });
    const names: string[] = [];
    for await (const sandbox of daytona.list({ labels: { suite: "list" }, limit: 2 })) names.push(sandbox.name);
    expect(names.sort()).toEqual([0, 1, 2, 3, 4].map((at) => `listed-${at}`));
  });
}
