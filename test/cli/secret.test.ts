import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWorkbench, type RunningKeyswap, type Workbench } from "../support/workbench.ts";

const VALUE = "hunter2-hunter2-hunter2";

/** Resolved as a proxy would: the only way to see what was stored. */
async function storedValue(bench: Workbench, api: string, name: string): Promise<string | undefined> {
  const created = await bench.run(["sandbox", "create", "--secret", `X=${name}`, "--json"]);
  const { id } = JSON.parse(created.stdout) as { id: string };
  const key = readFileSync(join(bench.dataDir, "proxy-key"), "utf8").trim();
  const answer = await fetch(`${api}/sandbox/${id}/egress`, { headers: { authorization: `Bearer ${key}` } });
  const { grants } = (await answer.json()) as { grants: { value: string }[] };
  return grants[0]?.value;
}

describe.each(["the keyswap that runs", "the data folder, where none runs"])("on %s", (where) => {
  let bench: Workbench;
  let keyswap: RunningKeyswap | undefined;
  beforeAll(async () => {
    bench = makeWorkbench();
    if (where === "the keyswap that runs") keyswap = await bench.start(["start"]);
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  test("a secret is created, listed, shown, changed and deleted; its value is never shown", async () => {
    const shown: string[] = [];
    const ok = async (args: readonly string[], input?: string) => {
      const outcome = await bench.run(args, input === undefined ? {} : { input });
      expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
      shown.push(outcome.stdout);
      return outcome.stdout;
    };
    await ok(
      ["secret", "create", "API", "--host", "a.example", "--host", "*.b.example", "--value-stdin"],
      `${VALUE}\n`,
    );
    const [secret] = JSON.parse(await ok(["secret", "list", "--json"]));
    expect(secret).toMatchObject({ name: "API", hosts: ["a.example", "*.b.example"] });
    expect(await ok(["secret", "list"])).toMatch(
      /^NAME +HOSTS +PLACEHOLDER\nAPI +a\.example, \*\.b\.example +dtn_secret_\w+\n$/,
    );
    await ok(["secret", "update", "API", "--value-stdin", "--description", "for tests"], `new-${VALUE}`);
    const changed = JSON.parse(await ok(["secret", "get", "API", "--json"]));
    expect(changed).toMatchObject({ description: "for tests", placeholder: secret.placeholder, hosts: secret.hosts });
    expect(JSON.parse(await ok(["secret", "get", secret.id, "--json"]))).toEqual(changed);
    await ok(["secret", "update", "API", "--location", "header:x-key", "--on-violation", "block"]);
    const narrowed = JSON.parse(await ok(["secret", "get", "API", "--json"]));
    expect(narrowed).toMatchObject({ locations: ["header:x-key"], onViolation: "block" });
    await ok(["secret", "update", "API", "--location", "default", "--on-violation", "default"]);
    const back = JSON.parse(await ok(["secret", "get", "API", "--json"]));
    expect({ ...back, updatedAt: changed.updatedAt }).toEqual(changed);
    await ok(["secret", "update", "API", "--unrestricted"]);
    expect(await ok(["secret", "get", "API"])).toContain("every host");
    await ok(["secret", "delete", "API"]);
    expect(JSON.parse(await ok(["secret", "list", "--json"]))).toEqual([]);
    expect(shown.join("")).not.toContain("hunter2");
  });

  test("a wildcard below a suffix that many owners share is taken with a warning, a public suffix is not", async () => {
    const create = (host: string) =>
      bench.run(["secret", "create", "WIDE", "--host", host, "--value-stdin"], { input: VALUE });
    const refused = await create("*.co.uk");
    expect([refused.code, refused.stderr.includes("public suffix")]).toEqual([2, true]);
    const taken = await create("*.github.io");
    expect(taken.code).toBe(0);
    expect(taken.stderr).toMatch(/^keyswap: warning: \*\.github\.io covers names of many owners/);
    expect((await bench.run(["secret", "delete", "WIDE"])).code).toBe(0);
  });

  test("a value that is too short to be scrubbed is taken with a warning", async () => {
    const args = ["secret", "create", "SHORT", "--host", "a.example", "--value-stdin"];
    const taken = await bench.run(args, { input: "hunter2" });
    expect(taken.code).toBe(0);
    expect(taken.stderr).toMatch(/^keyswap: warning: the value has fewer than 8 bytes .*\n$/);
    expect(taken.stdout + taken.stderr).not.toContain("hunter2");
    expect((await bench.run(["secret", "delete", "SHORT"])).code).toBe(0);
  });

  test("a sandbox is created, mounted, shown, listed and deleted", async () => {
    for (const name of ["ONE", "TWO"]) {
      await bench.run(["secret", "create", name, "--host", "a.example", "--value-stdin"], { input: VALUE });
    }
    const created = await bench.run(["sandbox", "create", "--name", "ci", "--secret", "A=ONE", "--json"]);
    const { id, egress } = JSON.parse(created.stdout);
    const shown = await bench.run(["sandbox", "create", "--name", "shown", "--secret", "A=ONE"]);
    expect(shown.stderr).toContain("keyswap: note: the token in the proxy URL is shown this once");
    // Values stand below one another.
    expect(shown.stdout).toMatch(
      /^id {9}\S+\nname {7}shown\nsecrets {4}A=ONE\nexpires {4}never\nproxy URL {2}http:\S+\n$/,
    );
    expect(created.stderr.includes("no keyswap is running")).toBe(keyswap === undefined);
    expect(egress.env.A).toMatch(/^dtn_secret_/);
    const mounted = await bench.run(["sandbox", "mount", "ci", "B=TWO", "ONE"]);
    expect(mounted.stdout).toContain("B=TWO, ONE=ONE");
    expect((await bench.run(["sandbox", "get", id])).stdout).toContain("B=TWO, ONE=ONE");
    expect((await bench.run(["sandbox", "list"])).stdout).toContain(id);
    expect((await bench.run(["sandbox", "delete", "ci"])).code).toBe(0);
    expect((await bench.run(["sandbox", "get", id])).code).toBe(1);
    expect((await bench.run(["sandbox", "list"])).stdout).not.toContain(id);
  });
});

describe("a value", () => {
  let bench: Workbench;
  let keyswap: RunningKeyswap;
  beforeAll(async () => {
    bench = makeWorkbench();
    keyswap = await bench.start(["start"]);
  });
  afterAll(() => bench[Symbol.asyncDispose]());
  const create = (name: string, ...args: string[]) => ["secret", "create", name, "--host", "a.example", ...args];

  test.each([
    ["one final newline is dropped", "value\n", "value"],
    ["one final CR LF is dropped", "value\r\n", "value"],
    ["only one newline is dropped", "value\n\n", "value\n"],
    ["all else is kept", " \tväl\nue ", " \tväl\nue "],
  ])("from stdin or a file: %s", async (about, input, wanted) => {
    const name = about.replaceAll(/[^a-z]/gi, "_");
    expect((await bench.run(create(name, "--value-stdin"), { input })).code).toBe(0);
    expect(await storedValue(bench, keyswap.ready.api, name)).toBe(wanted);
    const file = join(bench.env.HOME!, "value.txt");
    writeFileSync(file, input);
    expect((await bench.run(["secret", "update", name, "--value-file", file])).code).toBe(0);
    expect(await storedValue(bench, keyswap.ready.api, name)).toBe(wanted);
  });

  test.each([
    ["is empty", Buffer.from("\n")],
    ["is not UTF-8 text", Buffer.from([0x61, 0xff])],
    ["is longer than", Buffer.alloc(70_000, 0x61)],
  ])("that %s is refused", async (problem, input) => {
    const { code, stderr } = await bench.run(create("BAD", "--value-stdin"), { input });
    expect(code).toBe(2);
    expect(stderr).toContain(problem);
    expect((await bench.run(["secret", "get", "BAD"])).code).toBe(1);
  });

  test("is not taken from an argument", async () => {
    const { code, stderr } = await bench.run(create("ARG", "--value", VALUE));
    expect(code).toBe(2);
    expect(stderr).toContain("--value");
    expect((await bench.run(create("ARG", VALUE))).code).toBe(2);
  });

  test("has to be given, once", async () => {
    expect((await bench.run(create("NONE"))).code).toBe(2);
    expect((await bench.run(create("BOTH", "--value-stdin", "--value-file", "x"), { input: VALUE })).code).toBe(2);
    expect((await bench.run(create("MISSING", "--value-file", "/does/not/exist"))).code).toBe(2);
  });

  // Without script(1) there is no way to give a command a terminal.
  const noTerminal = !existsSync("/usr/bin/script");
  const whyNot = noTerminal ? " (skipped: no script(1) to give it a terminal)" : "";
  test.skipIf(noTerminal)(`typed on a terminal is asked for and not shown${whyNot}`, async () => {
    // script(1) gives the command a terminal; the typed line comes by its stdin.
    const command = [
      process.execPath,
      join(import.meta.dirname, "../../src/main.ts"),
      ...create("TYPED", "--value-stdin"),
    ];
    const quoted = command.map((word) => `'${word}'`).join(" ");
    const child = promisify(execFile)("script", ["-qec", quoted, "/dev/null"], { env: { ...bench.env } });
    let [screen, isTyped] = ["", false];
    child.child.stdout!.on("data", (part: string) => {
      screen += part;
      if (!isTyped && screen.includes("Value of TYPED:")) {
        isTyped = true;
        child.child.stdin!.write(`${VALUE}\r`);
      }
    });
    await child;
    expect(screen).toContain("Value of TYPED:");
    expect(screen).not.toContain("hunter2");
    expect(await storedValue(bench, keyswap.ready.api, "TYPED")).toBe(VALUE);
  });
});

describe("wrong usage", () => {
  let bench: Workbench;
  beforeAll(() => {
    bench = makeWorkbench();
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  test.each([
    [["secret", "create", "X", "--value-stdin"], "--unrestricted"],
    [["secret", "create", "X", "--host", "http://a.example", "--value-stdin"], "--host: remove the scheme"],
    [["secret", "update", "X", "--host", "a.example", "--host", "b.example:1"], "--host: remove the port"],
    [["secret", "update", "X", "--location", "body", "--location", "default"], "--location default stands alone"],
    [["sandbox", "create", "--allow", "https://x"], "--allow: remove the scheme"],
    [["sandbox", "create", "--secret", "DEMO-KEY=DEMO"], "a variable's name cannot hold a hyphen"],
    [["secret", "create", "not a name", "--host", "a.example", "--value-stdin"], "name"],
    [["secret", "update", "X"], "nothing to change"],
    [["secret", "frobnicate"], "unknown command"],
    [["frobnicate"], "unknown command"],
    [["start", "--frobnicate"], "unknown option"],
    [["start", "--api-key", "x"], "unknown option"],
    [["start", "surplus"], "too many arguments"],
    [["run"], "missing required argument"],
  ])("%j answers 2 and says what is wrong", async (args, part) => {
    const { code, stdout, stderr } = await bench.run(args, { input: VALUE });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(part);
    expect(stderr).not.toContain("hunter2");
  });

  test("a name that is not there answers 1", async () => {
    const { code, stderr } = await bench.run(["secret", "get", "NOPE"]);
    expect(code).toBe(1);
    expect(stderr).toContain('no secret named "NOPE"');
  });

  test("a Secret API that is not there, or does not know the key, is named", async () => {
    const env = { KEYSWAP_SECRET_API_URL: "http://127.0.0.1:9/api", KEYSWAP_API_KEY: "some-key-of-a-test" };
    const away = await bench.run(["secret", "list"], { env });
    expect(away.code).toBe(1);
    expect(away.stderr).toContain("http://127.0.0.1:9/api");
    await using other = makeWorkbench();
    const { ready } = await other.start(["api"]);
    const refused = await bench.run(["secret", "list", "--api-url", ready.api], {
      env: { KEYSWAP_API_KEY: "some-key-of-a-test" },
    });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("KEYSWAP_API_KEY");
    const elsewhere = await other.run(["secret", "list", "--api-url", new URL(ready.api).origin]);
    expect([elsewhere.code, elsewhere.stderr]).toEqual([1, expect.stringMatching(/no such route\n.*ends in \/api/)]);
  });
});
