// The real Daytona SDK from the registry against the real API.

import { Daytona, DaytonaConflictError, DaytonaNotFoundError, DaytonaValidationError } from "@daytona/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
let daytona: Daytona;

beforeAll(async () => {
  api = await startSecretApi();
  // Without this the SDK keeps looking for a Socket.IO server after a create.
  daytona = new Daytona({ apiKey: api.apiKey, apiUrl: api.url, useDeprecatedPolling: true });
});
afterAll(() => api.close());

describe("secrets through @daytona/sdk", () => {
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

  it("refuses a second secret of the same name as a conflict", async () => {
    await daytona.secret.create({ name: "TWICE", value: "a" });
    await expect(daytona.secret.create({ name: "TWICE", value: "b" })).rejects.toBeInstanceOf(DaytonaConflictError);
  });

  it("refuses bad names and hosts as validation errors", async () => {
    for (const name of ["", "1st", "with space", "line\n", "ü"])
      await expect(daytona.secret.create({ name, value: "v" })).rejects.toBeInstanceOf(DaytonaValidationError);
    for (const host of ["https://a.example", "a.example:443", "*", "*.com", "a..b", " a.example", "a,b"])
      await expect(daytona.secret.create({ name: "BAD_HOST", value: "v", hosts: [host] })).rejects.toBeInstanceOf(
        DaytonaValidationError,
      );
    expect((await daytona.secret.list({ name: "BAD_HOST" })).total).toBe(0);
  });
});

describe("sandboxes through @daytona/sdk", () => {
  it("creates with secrets, replaces them, resolves and deletes", async () => {
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
});
