import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki } from "../support/pki.ts";
import { waitUntil } from "../support/wait.ts";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

// The value as it must never show: not in output, logs, audit or database.
const VALUE = "hunter2-hunter2-hunter2";

let bench: Workbench;
let origin: Origin;

beforeAll(async () => {
  const pki = makePki();
  origin = await startOrigin({
    pki,
    names: ["localhost", "127.0.0.1"],
    // Echoes what it was told, so that scrubbing has something to do.
    handler: (request, response) => response.end(`told: ${request.headers["x-key"]}\n`),
  });
  bench = makeWorkbench({ KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8,::1" });
  const ca = join(bench.env.HOME!, "upstream-ca.pem");
  writeFileSync(ca, pki.caPem);
  bench = Object.assign(bench, { env: Object.assign(bench.env, { KEYSWAP_UPSTREAM_CA: ca }) });
  const created = await bench.run(["secret", "create", "API", "--host", "localhost", "--value-stdin"], {
    input: `${VALUE}\n`,
  });
  expect(created.code).toBe(0);
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  await origin.close();
});

/** Loopback goes past the proxy unless curl is told otherwise. */
const curl = (host: string) =>
  `curl -sS --max-time 20 --noproxy '' -H "X-Key: $KEY" https://${host}:${origin.port}/path`;

function sandboxes(): Promise<unknown> {
  return bench.run(["sandbox", "list", "--json"]).then(({ stdout }) => JSON.parse(stdout));
}

async function expectWholeWay(): Promise<void> {
  const { code, stdout, stderr } = await bench.run([
    "run",
    "--secret",
    "KEY=API",
    "--",
    "sh",
    "-c",
    `echo "$KEY"; ${curl("localhost")}`,
  ]);
  expect([code, stderr]).toEqual([0, ""]);
  const [placeholder, answer] = stdout.trimEnd().split("\n");
  expect(placeholder).toMatch(/^dtn_secret_[a-z0-9]{25,}$/);
  expect(origin.last().headers["x-key"]).toBe(VALUE);
  expect(answer).toBe(`told: ${placeholder}`);
}

describe("with a private keyswap", () => {
  test("no compiled code is kept or read below the temporary folder, where anybody could have put it", async () => {
    const folder = join(bench.env.HOME!, "temporary");
    mkdirSync(folder);
    const { code, stdout } = await bench.run(["run", "--", "echo", "ran"], {
      env: { TMPDIR: folder },
    });
    expect([code, stdout]).toEqual([0, "ran\n"]);
    expect(readdirSync(folder).filter((name) => name.includes("compile-cache"))).toEqual([]);
  });

  test("curl's placeholder becomes the value at the host, and the answer shows the placeholder again", async () => {
    await expectWholeWay();
    expect(existsSync(join(bench.dataDir, "run.json"))).toBe(false);
    expect(await sandboxes()).toEqual([]);
  });

  test("a host that is not on the secret's list gets the placeholder", async () => {
    const { code, stdout } = await bench.run([
      "run",
      "--secret",
      "KEY=API",
      "--",
      "sh",
      "-c",
      `${curl("127.0.0.1")} -k`,
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^told: dtn_secret_/);
    expect(origin.last().headers["x-key"]).toMatch(/^dtn_secret_/);
  });

  test("--host keeps the command from other hosts", async () => {
    const seen = origin.seen.length;
    const command = ["run", "--secret", "KEY=API", "--host", "other.example", "--", "sh", "-c", curl("localhost")];
    expect((await bench.run(command)).code).not.toBe(0);
    expect(origin.seen.length).toBe(seen);
  });

  test("two commands run side by side", async () => {
    const outcomes = await Promise.all(
      [1, 2].map(() => bench.run(["run", "--secret", "KEY=API", "--", "sh", "-c", curl("localhost")])),
    );
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0]);
  });

  test("Node's fetch goes through the proxy and trusts it", async () => {
    const script = `fetch("https://localhost:${origin.port}/", { headers: { "x-key": process.env.KEY } }).then((r) => r.text()).then((t) => process.stdout.write(t))`;
    // As a company would: its own list of direct hosts does not hold this one, ours holds all of loopback.
    const child = `process.env.NO_PROXY = process.env.no_proxy = "none.example"; require("node:child_process").spawnSync(process.execPath, ["-e", ${JSON.stringify(script)}], { stdio: "inherit" })`;
    const { code, stdout, stderr } = await bench.run([
      "run",
      "--secret",
      "KEY=API",
      "--",
      process.execPath,
      "-e",
      child,
    ]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^told: dtn_secret_/);
    expect(origin.last().headers["x-key"]).toBe(VALUE);
  });
});

describe("the command", () => {
  test("keeps its exit code, arguments and input", async () => {
    const { code, stdout } = await bench.run(["run", "--", "sh", "-c", 'cat; echo "$1"; exit 7', "sh", "--json"], {
      input: "in\n",
    });
    expect([code, stdout]).toEqual([7, "in\n--json\n"]);
  });

  test("ended by a signal answers 128 and its number", async () => {
    expect((await bench.run(["run", "--", "sh", "-c", "kill -KILL $$"])).code).toBe(137);
  });

  test("gets our signals, and we end when it does", async () => {
    const { child, ended, firstLine } = bench.launch([
      "run",
      "--",
      "sh",
      "-c",
      "trap 'echo got; exit 5' TERM; echo up; while :; do sleep 0.1; done",
    ]);
    expect(await firstLine()).toBe("up");
    child.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 5, stdout: "up\ngot\n" });
    expect(await sandboxes()).toEqual([]);
  });

  test("that does not exist answers 127, and one that cannot be run 126", async () => {
    const missing = await bench.run(["run", "--", "no-such-command"]);
    expect([missing.code, missing.stderr]).toEqual([127, "keyswap: no-such-command: command not found\n"]);
    expect((await bench.run(["run", "--", bench.env.HOME!])).code).toBe(126);
  });

  test("sees neither keyswap's settings nor its keys", async () => {
    const env = { KEYSWAP_API_KEY: "configured-key-of-a-test" };
    const { stdout } = await bench.run(["run", "--", "env"], { env });
    expect(stdout).toContain("HTTPS_PROXY=");
    expect(stdout).not.toMatch(/^KEYSWAP_/m);
    expect(stdout).not.toContain("configured-key-of-a-test");
  });

  test("finds the CA in a folder that is gone afterwards", async () => {
    const { stdout } = await bench.run(["run", "--", "sh", "-c", 'echo "$SSL_CERT_FILE"; cat "$NODE_EXTRA_CA_CERTS"']);
    const [path, ...ca] = stdout.split("\n");
    expect(path).toContain("keyswap-trust-");
    expect(existsSync(path!)).toBe(false);
    expect(ca.join("\n").trim()).toBe(readFileSync(join(bench.certsDir, "ca.pem"), "utf8").trim());
    expect(readdirSync(tmpdir())).not.toContain(path!.split("/").at(-2));
  });

  test("is not run with a secret that does not exist", async () => {
    const { code, stdout, stderr } = await bench.run(["run", "--secret", "KEY=NOPE", "--", "echo", "ran"]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("no secret named NOPE");
  });

  test("a mount that may hold a value by mistake is not repeated", async () => {
    const { code, stderr } = await bench.run(["run", "--secret", `KEY=${VALUE}!`, "--", "true"]);
    expect(code).toBe(2);
    expect(stderr).not.toContain("hunter2");
  });
});

test("with a keyswap that runs, that one is used, and it keeps no sandbox", async () => {
  await using other = makeWorkbench({ ...bench.env });
  const keyswap = await other.start(["start"]);
  const { stdout } = await bench.run(["run", "--", "sh", "-c", 'echo "$HTTPS_PROXY"']);
  expect(new URL(stdout.trim()).host).toBe(keyswap.ready.proxy);
  await expectWholeWay();
  expect(await sandboxes()).toEqual([]);
  const { code, stderr } = await keyswap.stop();
  expect(code).toBe(0);
  expect(stderr).not.toContain("hunter2");
});

describe("with a keyswap that runs", () => {
  let other: Workbench;
  beforeAll(async () => {
    other = makeWorkbench({ ...bench.env });
    await other.start(["start"]);
  });
  afterAll(() => other[Symbol.asyncDispose]());

  test("settings that it would not heed are refused by name, and nothing is run", async () => {
    const before = origin.seen.length;
    const flags = ["--egress-deny", "localhost", "--audit", "off", "--note", "on"];
    const { code, stdout, stderr } = await bench.run([
      "run",
      ...flags,
      "--secret",
      "KEY=API",
      "--",
      "sh",
      "-c",
      `echo ran; ${curl("localhost")}`,
    ]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/a keyswap runs already.*: --egress-deny, --audit, --note would do nothing/);
    expect(stderr).toContain("--data-dir");
    expect(origin.seen.length).toBe(before);
  });

  test("flags that say which one is meant are taken, and so is what is the command's own", async () => {
    const flags = ["--data-dir", bench.dataDir, "--host", "localhost", "--on-violation", "block", "--no-summary"];
    expect(await bench.run(["run", ...flags, "--", "echo", "ran"])).toEqual({ code: 0, stdout: "ran\n", stderr: "" });
  });

  test("--secret-api-url means a keyswap that has its own settings, too", async () => {
    const { api } = JSON.parse(readFileSync(join(bench.dataDir, "run.json"), "utf8")) as { api: string };
    const flags = ["--secret-api-url", api, "--intercept", "all"];
    const { code, stderr } = await bench.run(["run", ...flags, "--", "true"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/secret-api-url names a keyswap.*: --intercept would do nothing/);
  });

  test("--summary names the audit that has it", async () => {
    const args = ["run", "--summary", "--secret", "KEY=API", "--", "sh", "-c", curl("localhost")];
    const { code, stderr } = await bench.run(args);
    expect(code).toBe(0);
    const [, sandbox] =
      /^keyswap: no summary: .*\(keyswap audit --of exchanges --sandbox (\S+)\)\n$/.exec(stderr) ?? [];
    const listed = await waitUntil(async () => {
      const audit = await bench.run(["audit", "--of", "exchanges", "--sandbox", sandbox!]);
      if (audit.stdout === "") throw new Error("not written yet");
      return audit.stdout;
    });
    expect(listed).toContain("API was written into a header");
  });
});

test("the value is in no file of the data folder", () => {
  const files = readdirSync(bench.dataDir);
  expect(files).toContain("keyswap.db");
  expect(files).toContain("audit.jsonl");
  for (const name of files)
    expect([name, readFileSync(join(bench.dataDir, name)).includes("hunter2")]).toEqual([name, false]);
  const audit = execFileSync("cat", [join(bench.dataDir, "audit.jsonl")], { encoding: "utf8" });
  expect(audit).toContain('"secret":"API"');
});

test("a summary is told on request, after what the command said", async () => {
  const args = ["run", "--summary", "--secret", "KEY=API", "--", "sh", "-c", curl("localhost")];
  const { code, stderr } = await bench.run(args);
  expect(code).toBe(0);
  expect(stderr).toBe("keyswap: 1 exchange, 0 tunnels, substituted: API, scrubbed: API\n");
});
