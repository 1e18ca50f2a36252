// API keys, organizations and master keys by the command line, on a keyswap that runs and on a data folder alone.

import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWorkbench, type RunningKeyswap, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
let keyswap: RunningKeyswap;
beforeAll(async () => {
  bench = makeWorkbench();
  keyswap = await bench.start(["start"]);
});
afterAll(() => bench[Symbol.asyncDispose]());

async function json(...args: string[]) {
  const { code, stdout, stderr } = await bench.runHere([...args, "--json"]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

function call(path: string, key: string): Promise<Response> {
  return fetch(keyswap.ready.api + path, { headers: { authorization: `Bearer ${key}` } });
}

describe("keyswap key", () => {
  test("makes a key that works until it is revoked, and shows it once", async () => {
    const made = await bench.runHere(["key", "create", "ci", "--permission", "manage:secrets"]);
    expect(made.code).toBe(0);
    const key = /dtn_[0-9a-f]{64}/.exec(made.stdout)?.[0] ?? "none";
    expect((await call("/secret", key)).status).toBe(200);
    expect((await call("/sandbox", key)).status).toBe(403);
    const listed = await bench.runHere(["key", "list"]);
    expect(listed.stdout).toContain(`${key.slice(0, 8)}****`);
    expect(listed.stdout + JSON.stringify(await json("key", "list"))).not.toContain(key);
    expect((await bench.runHere(["key", "revoke", "ci"])).code).toBe(0);
    expect((await call("/secret", key)).status).toBe(401);
    expect((await bench.runHere(["key", "revoke", "ci"])).code).toBe(1);
  });

  test("binds a proxy's key to one sandbox", async () => {
    const { id } = await json("sandbox", "create", "--name", "bound");
    const { id: other } = await json("sandbox", "create", "--name", "other");
    const { value } = await json("key", "create", "sidecar", "--permission", "resolve:secrets", "--sandbox", id);
    expect((await call(`/sandbox/${id}/egress`, value)).status).toBe(200);
    expect((await call(`/sandbox/${other}/egress`, value)).status).toBe(404);
  });

  test("says what is wrong with a permission", async () => {
    const { code, stderr } = await bench.runHere(["key", "create", "x", "--permission", "everything"]);
    expect(code).toBe(2);
    expect(stderr).toContain("manage:secrets");
    expect((await bench.runHere(["key", "create", "x"])).code).toBe(2);
  });
});

test("an organization has its own secrets and keys, and a quota that holds", async () => {
  const { id } = await json("organization", "create", "team", "--secret-quota", "1", "--max-secrets-per-sandbox", "1");
  const create = (name: string) =>
    bench.runHere(["secret", "create", name, "--host", "a.example", "--value-stdin", "--organization", id], {
      input: "v",
    });
  expect((await create("MINE")).code).toBe(0);
  expect(await json("secret", "list")).toEqual([]);
  expect(await json("secret", "list", "--organization", id)).toHaveLength(1);
  const over = await create("MORE");
  expect([over.code, over.stderr.includes("quota")]).toEqual([2, true]);
  expect(await json("organization", "update", id, "--secret-quota", "none")).toMatchObject({ secretQuota: null });
  expect((await create("MORE")).code).toBe(0);
  const mounts = ["--secret", "A=MINE", "--secret", "B=MORE", "--organization", id];
  expect((await bench.runHere(["sandbox", "create", ...mounts])).code).toBe(2);
  const { value } = await json("key", "create", "theirs", "--permission", "manage:secrets", "--organization", id);
  const theirs = (await (await call("/secret", value)).json()) as { name: string }[];
  expect(theirs.map(({ name }) => name).sort()).toEqual(["MINE", "MORE"]);
  expect((await bench.runHere(["organization", "list"])).stdout).toMatch(new RegExp(`${id} +no bound +1 +team`));
  expect((await bench.runHere(["organization", "update", id, "--secret-quota", "few"])).code).toBe(2);
});

describe("keyswap master-key rotate", () => {
  const file = (name: string) => readFileSync(join(bench.dataDir, name), "utf8").trim();

  test("seals values under a new key while keyswap runs, and the next start needs only that", async () => {
    await bench.runHere(["secret", "create", "SEALED", "--host", "a.example", "--value-stdin"], {
      input: "sealed value",
    });
    const { id } = await json("sandbox", "create", "--secret", "SEALED");
    const value = async () => {
      const answer = await call(`/sandbox/${id}/egress`, file("proxy-key"));
      return ((await answer.json()) as { grants: { value: string }[] }).grants[0]?.value;
    };
    const before = file("master-key");
    const rotated = await bench.runHere(["master-key", "rotate"]);
    expect([rotated.code, rotated.stderr]).toEqual([0, ""]);
    expect(rotated.stdout).toContain("sealed anew");
    const after = file("master-key");
    expect(after).not.toContain(before);
    expect(after.split(",")).toHaveLength(1);
    expect(file("master-key.retired")).toBe(before);
    for (const name of ["master-key", "master-key.retired"])
      expect(statSync(join(bench.dataDir, name)).mode & 0o777).toBe(0o600);
    expect(rotated.stdout + keyswap.stderr()).not.toContain(after.split(":")[1]);
    expect(await value()).toBe("sealed value");
    const [key, ...more] = await json("master-key", "list");
    expect([key.isCurrent, more]).toEqual([true, []]);

    await keyswap.stop("SIGKILL");
    keyswap = await bench.start(["start"]);
    expect(await value()).toBe("sealed value");
  });

  test("works on the data folder where none runs", async () => {
    await using other = makeWorkbench();
    await other.runHere(["secret", "create", "S", "--host", "a.example", "--value-stdin"], { input: "v" });
    const { code, stdout } = await other.runHere(["master-key", "rotate", "--json"]);
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { resealed: 1, retired: [expect.any(String)] }]);
    expect((await other.runHere(["secret", "list"])).code).toBe(0);
  });

  test("a configured key is changed by its operator: the new one first, then rotate, then the old one out", async () => {
    await using other = makeWorkbench();
    const [old, fresh] = ["k1", "k2"].map((id, at) => `${id}:${Buffer.alloc(32, at).toString("base64")}`);
    const run = (keys: string, ...args: string[]) =>
      other.runHere(args, { env: { KEYSWAP_MASTER_KEY: keys }, input: "value" });
    await run(old!, "secret", "create", "S", "--host", "a.example", "--value-stdin");
    expect((await run(old!, "master-key", "rotate")).stderr).toContain("put a new one first");
    expect((await run(fresh!, "secret", "list")).code).toBe(2);
    const rotated = await run(`${fresh},${old}`, "master-key", "rotate");
    expect(rotated.stdout).toBe("1 values sealed anew under k2\nno longer needed, but by older backups: k1\n");
    expect((await run(fresh!, "secret", "list")).code).toBe(0);
    expect(existsSync(join(other.dataDir, "master-key"))).toBe(false);
  });
});
