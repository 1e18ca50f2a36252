// Definitions of secrets in a repository: export and import, dry run, every fault at once, the same again changes nothing.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeWorkbench, type RunningKeyswap, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
let keyswap: RunningKeyswap;
beforeAll(async () => {
  bench = makeWorkbench();
  keyswap = await bench.start(["api"]);
});
afterAll(() => bench[Symbol.asyncDispose]());

function file(name: string, content: string): string {
  const path = join(bench.env.HOME!, name);
  writeFileSync(path, content);
  return path;
}

async function ok(args: readonly string[], options: { input?: string; env?: Record<string, string> } = {}) {
  const { code, stdout, stderr } = await bench.runHere(args, options);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).not.toContain("hunter2");
  return stdout;
}

const secrets = async () => JSON.parse(await ok(["secret", "list", "--json"]));

/** As a proxy would see them. */
async function valuesOf(...names: string[]): Promise<string[]> {
  const mounts = names.flatMap((name, at) => ["--secret", `V${at}=${name}`]);
  const { id } = JSON.parse(await ok(["sandbox", "create", ...mounts, "--json"]));
  const key = readFileSync(join(bench.dataDir, "proxy-key"), "utf8").trim();
  const answer = await fetch(`${keyswap.ready.api}/sandbox/${id}/egress`, {
    headers: { authorization: `Bearer ${key}` },
  });
  return ((await answer.json()) as { grants: { value: string }[] }).grants.map(({ value }) => value);
}

const yaml = `
secrets:
  FROM_ENV:
    hosts: [api.example.com, "*.example.org"]
    description: for the agents
    locations: ["header:authorization", body]
    onViolation: block
    valueFrom: {env: SOME_VARIABLE}
  FROM_FILE:
    hosts: [b.example]
    placeholder: sk-proj-abcdefghijklmnopqrstuvwxyz
    valueFrom: {file: value.txt}
  FROM_STDIN:
    unrestricted: true
`;

test("YAML: a dry run says what would be, the import does it, the same again changes nothing, an export reads back", async () => {
  const path = file("keyswap.yaml", yaml);
  file("value.txt", "hunter2 of a file\n");
  const options = { env: { SOME_VARIABLE: "hunter2 of the environment" }, input: 'FROM_STDIN="hunter2 of stdin"\n' };
  const dry = await ok(["import", path, "--values", "-", "--dry-run"], options);
  expect(dry).toBe(
    "FROM_ENV to be created\nFROM_FILE to be created\nFROM_STDIN to be created (may go to every host)\n",
  );
  expect(await secrets()).toEqual([]);
  expect(await ok(["import", path, "--values", "-"], options)).toContain("FROM_FILE created\n");
  expect(await valuesOf("FROM_ENV", "FROM_FILE", "FROM_STDIN")).toEqual([
    "hunter2 of the environment",
    "hunter2 of a file",
    "hunter2 of stdin",
  ]);
  const before = await secrets();
  expect(before).toMatchObject([
    { name: "FROM_ENV", locations: ["header:authorization", "body"], onViolation: "block" },
    { name: "FROM_FILE", placeholder: "sk-proj-abcdefghijklmnopqrstuvwxyz" },
    { name: "FROM_STDIN", hosts: [] },
  ]);

  const again = "FROM_ENV unchanged\nFROM_FILE unchanged\nFROM_STDIN unchanged\n";
  expect(await ok(["import", path, "--values", "-"], options)).toBe(again);
  const exported = await ok(["export"]);
  expect(await ok(["import", file("exported.yaml", exported)])).toBe(again);
  expect(await secrets()).toEqual(before);

  // What a definition leaves out is cleared; what the file does not name stays.
  const less = file("less.yaml", "secrets: {FROM_ENV: {hosts: [c.example]}}");
  const changed = JSON.parse(await ok(["import", less, "--json"]));
  expect(changed.secrets).toEqual([
    {
      name: "FROM_ENV",
      action: "update",
      fields: ["hosts", "description", "locations", "onViolation"],
      hosts: ["c.example"],
    },
  ]);
  const [first, ...others] = await secrets();
  expect([first.hosts, first.description, first.locations, others.length]).toEqual([
    ["c.example"],
    undefined,
    undefined,
    2,
  ]);

  // Values of secrets that are there are set only when that is asked for.
  const fresh = { env: { SOME_VARIABLE: "hunter2, the second" } };
  await ok(["import", path], fresh);
  expect(await valuesOf("FROM_ENV")).toEqual(["hunter2 of the environment"]);
  expect(await ok(["import", path, "--update-values"], fresh)).toContain("FROM_ENV changed: value\n");
  expect(await valuesOf("FROM_ENV")).toEqual(["hunter2, the second"]);
});

test(".env: comments name the hosts, values come along, an export has none", async () => {
  const text =
    '# hosts: a.example, *.b.example\nENV_ONE="hunter2 one"\n\nENV_TWO=hunter2\n# hosts: every host\nENV_THREE=hunter2\n';
  const path = file("secrets.env", text);
  const refused = await bench.runHere(["import", path]);
  expect([refused.code, refused.stderr.includes("ENV_TWO: names no hosts")]).toEqual([2, true]);
  await ok(["import", path, "--host", "c.example"]);
  expect(await valuesOf("ENV_ONE")).toEqual(["hunter2 one"]);
  const exported = await ok(["export", "--format", "env", "ENV_ONE", "ENV_TWO", "ENV_THREE"]);
  expect(exported).toBe(
    "# hosts: a.example, *.b.example\nENV_ONE=\n# hosts: every host\nENV_THREE=\n# hosts: c.example\nENV_TWO=\n",
  );
  const again = await ok(["import", file("again.env", exported)]);
  expect(again.split("\n").filter((line) => line.endsWith("unchanged"))).toHaveLength(3);
});

test("every fault is told at once, nothing is changed and no value is shown", async () => {
  const before = await secrets();
  const path = file(
    "bad.yaml",
    `secrets:
  "not a name": {hosts: [a.example]}
  BAD_HOST: {hosts: ["https://a.example/"], valueFrom: {env: V}}
  OPEN: {valueFrom: {env: V}}
  WITH_VALUE: {hosts: [a.example], value: hunter2}
  BAD_PLACE: {hosts: [a.example], locations: [cookie]}
  NO_VALUE: {hosts: [a.example]}
  NO_FILE: {hosts: [a.example], valueFrom: {file: none.txt}}
  EMPTY_FILE: {hosts: [a.example], valueFrom: {file: empty.txt}}
  GOOD: {hosts: [a.example], valueFrom: {env: V}}
`,
  );
  file("empty.txt", "\n");
  const outcome = await bench.runHere(["import", path, "--values", "-"], {
    env: { V: "hunter2" },
    input: "STRANGER=hunter2\n",
  });
  expect([outcome.code, outcome.stdout]).toEqual([2, ""]);
  for (const part of [
    '"not a name": ',
    "BAD_HOST: hosts[0]: ",
    "OPEN: names no hosts",
    'WITH_VALUE: has no field "value"; values do not belong',
    "BAD_PLACE: locations[0]: ",
    "NO_VALUE: is new and has no value",
    "NO_FILE: ",
    "EMPTY_FILE: the value is empty",
    "--values: STRANGER is not defined",
  ])
    expect(outcome.stderr).toContain(part);
  expect(outcome.stderr).not.toContain("hunter2");
  expect(await secrets()).toEqual(before);
  const broken = await bench.runHere(["import", file("broken.yaml", "secrets: {A: hunter2")]);
  expect([broken.code, broken.stderr.includes("well-formed"), broken.stderr.includes("hunter2")]).toEqual([
    2,
    true,
    false,
  ]);
});

test("a key of several lines without quotes is refused: nothing of it is shown, stored or a name", async () => {
  const before = await secrets();
  const key =
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw\nhunter2A==\n-----END PRIVATE KEY-----\n";
  const path = file("pem.yaml", "secrets: {PEM: {hosts: [a.example]}}");
  const values = await bench.runHere(["import", path, "--values", "-"], { input: `PEM=${key}` });
  expect(values.stderr).toContain("--values: line 1 begins a PEM block; put a value of several lines in quotes");
  const wrapped = `${"hunter2A".repeat(8)}\nhunter2AAAA=\n`;
  const env = await bench.runHere(["import", file("wrapped.env", `KEY=${wrapped}`), "--host", "a.example"]);
  expect(env.stderr).toContain("line 2 reads like the end of a base64 text");
  for (const { code, stdout, stderr } of [values, env]) {
    expect([code, stdout, stderr.includes("hunter2")]).toEqual([2, "", false]);
  }
  expect(await secrets()).toEqual(before);
  await ok(["import", path, "--values", "-"], { input: `PEM="${key}"` });
  expect(await valuesOf("PEM")).toEqual([key]);
});

test("a name in .env that no secret can have, or that is there twice, is a fault", async () => {
  const outcome = await bench.runHere([
    "import",
    file("names.env", "a.b=x\nTWICE=1\nTWICE=2\n"),
    "--host",
    "a.example",
  ]);
  expect(outcome.code).toBe(2);
  expect(outcome.stderr).toContain("a.b: must start with");
  expect(outcome.stderr).toContain("TWICE: is there twice");
});

test("what the API refuses in the middle is told with what was done, and can be run again", async () => {
  const placeholder = "ghp_abcdefghijklmnopqrstuvwxyz";
  const path = file(
    "clash.yaml",
    `secrets:
  CLASH_1: {hosts: [a.example], placeholder: ${placeholder}}
  CLASH_2: {hosts: [a.example], placeholder: ${placeholder}}
`,
  );
  const options = { input: "CLASH_1=hunter2\nCLASH_2=hunter2\n" };
  const outcome = await bench.runHere(["import", path, "--values", "-"], options);
  expect(outcome.code).toBe(1);
  expect(outcome.stderr).toContain("CLASH_2: ");
  expect(outcome.stderr).toContain("1 of 2 secrets are done");
  writeFileSync(path, readFileSync(path, "utf8").replace(/(CLASH_2.*)ghp_/, "$1gho_"));
  expect(await ok(["import", path, "--values", "-"], options)).toBe("CLASH_1 unchanged\nCLASH_2 created\n");
});
