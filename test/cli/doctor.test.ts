import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Finding } from "../../src/cli/finding.ts";
import { makeWorkbench, type Outcome, type Workbench } from "../support/workbench.ts";

let bench: Workbench;

beforeAll(() => {
  bench = makeWorkbench();
});

afterAll(() => bench[Symbol.asyncDispose]());

function findingsOf({ stdout }: Outcome): readonly Finding[] {
  return JSON.parse(stdout) as Finding[];
}

test("a sound machine: every check is told, and a real request brings the secret to its host", async () => {
  const outcome = await bench.run(["doctor", "curl", "--json"]);
  expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
  const findings = findingsOf(outcome);
  expect(findings.map(({ subject }) => subject)).toEqual(
    expect.arrayContaining(["configuration", "data folder", "CA", "keyswap", "upstream", "curl"]),
  );
  expect(findings.find(({ subject }) => subject === "curl")).toMatchObject({
    state: "ok",
    detail: expect.stringMatching(/^curl \d/),
  });
});

const found = ["wget", "php", "ruby", "git"].filter((command) => {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
});
const names: Readonly<Record<string, string>> = { wget: "wget", php: "PHP curl", ruby: "Ruby", git: "git" };

describe.each(Object.entries(names))("%s", (command, name) => {
  const isMissing = !found.includes(command);
  test.skipIf(isMissing)(`comes through${isMissing ? ` (skipped: ${command} is not installed)` : ""}`, async () => {
    const outcome = await bench.run(["doctor", name, "--json"]);
    expect(findingsOf(outcome).find(({ subject }) => subject === name)).toMatchObject({ state: "ok" });
  });
});

test("a program that goes past the proxy is named, with what to set", async () => {
  const folder = join(bench.env.HOME!, "bin");
  mkdirSync(folder);
  const stubborn = join(folder, "curl");
  const real = execFileSync("sh", ["-c", "command -v curl"], { encoding: "utf8" }).trim();
  writeFileSync(stubborn, `#!/bin/sh\nexec ${real} --noproxy '*' "$@"\n`);
  chmodSync(stubborn, 0o755);
  const outcome = await bench.run(["doctor", "curl"], { env: { PATH: `${folder}:${bench.env.PATH}` } });
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toMatch(/FAILED {2}curl .*did not use the proxy/);
  expect(outcome.stdout).toContain("Set HTTPS_PROXY and CURL_CA_BUNDLE");
});

test("a taken port is named, with the setting that moves it", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number }; // it listens on a port
  const env = { KEYSWAP_PROXY_LISTEN: `127.0.0.1:${port}` };
  const outcome = await bench.run(["doctor", "curl", "--json"], { env });
  server.close();
  expect(outcome.code).toBe(1);
  expect(findingsOf(outcome).filter(({ state }) => state === "failed")).toEqual([
    {
      subject: `port 127.0.0.1:${port}`,
      state: "failed",
      detail: "cannot be taken (EADDRINUSE)",
      advice: "Set KEYSWAP_PROXY_LISTEN.",
    },
  ]);
});

test("a configuration with a fault is a finding like others; the runtimes are still tried", async () => {
  const outcome = await bench.run(["doctor", "curl"], { env: { KEYSWAP_PROXY_LISTEN: "nonsense" } });
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toMatch(/FAILED {2}configuration/);
  expect(outcome.stdout).toContain("KEYSWAP_PROXY_LISTEN");
  expect(outcome.stdout).toMatch(/ok {6}curl/);
});

test("a runtime that is not known is refused, with those that are", async () => {
  const outcome = await bench.run(["doctor", "cobol"]);
  expect(outcome.code).toBe(2);
  expect(outcome.stderr).toMatch(/no runtime cobol\n.*curl, wget, git/);
});

describe("with a keyswap that runs", () => {
  test("an address among a secret's hosts is tried like a name", async () => {
    await using other = makeWorkbench();
    await other.start(["start"]);
    const secret = ["secret", "create", "API", "--host", "127.0.0.1", "--value-stdin"];
    expect((await other.run(secret, { input: "a value for an address" })).code).toBe(0);
    const outcome = await other.run(["doctor", "curl", "--json"]);
    expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
    const upstream = findingsOf(outcome).find(({ subject }) => subject === "upstream 127.0.0.1");
    expect(upstream).toMatchObject({ state: expect.stringMatching(/^(ok|note)$/) });
    const proxy = findingsOf(outcome).find(({ subject }) => subject.startsWith("proxy http://127.0.0.1:"));
    expect(proxy).toMatchObject({ state: "ok", detail: "takes connections" });
  });

  test("the API alone is not enough: its proxy has to take connections", async () => {
    await using other = makeWorkbench();
    const { ready } = await other.start(["api"]);
    const outcome = await other.run(["doctor", "curl", "--json"]);
    expect(outcome.code).toBe(1);
    expect(findingsOf(outcome).filter(({ state }) => state === "failed")).toEqual([
      {
        subject: expect.stringMatching(/^proxy http:/),
        state: "failed",
        detail: expect.stringContaining("takes no connections from here"),
        advice: "Start keyswap proxy, or set KEYSWAP_PROXY_URL to where sandboxes reach one.",
      },
    ]);
    // A machine whose API is elsewhere: the configuration is that of a proxy, or of commands alone.
    const elsewhere = await bench.run(["doctor", "curl", "--json"], {
      env: {
        KEYSWAP_SECRET_API_URL: ready.api,
        KEYSWAP_API_KEY: readFileSync(join(other.dataDir, "api-key"), "utf8").trim(),
      },
    });
    expect([elsewhere.code, elsewhere.stderr]).toEqual([0, ""]);
    expect(findingsOf(elsewhere)).toEqual(
      expect.arrayContaining([
        { subject: "configuration", state: "ok", detail: "no fault" },
        { subject: "Secret API", state: "ok", detail: `${ready.api} answers, 0 secrets` },
        expect.objectContaining({ subject: expect.stringMatching(/^proxy http:/), state: "note" }),
      ]),
    );
    // With the proxy's key alone, as a proxy's machine has it.
    await using third = makeWorkbench({ KEYSWAP_SECRET_API_URL: ready.api });
    const keyless = await third.run(["doctor", "curl", "--json"]);
    expect([keyless.code, keyless.stderr]).toEqual([0, ""]);
    expect(findingsOf(keyless)).toContainEqual(
      expect.objectContaining({ subject: "Secret API", state: "note", detail: expect.stringMatching(/no API key/) }),
    );
  });
});

test("where none runs, no secrets were read, and no data folder is made", async () => {
  await using other = makeWorkbench();
  const dataDir = join(other.dataDir, "below");
  const outcome = await other.run(["doctor", "curl", "--json"], { env: { KEYSWAP_DATA_DIR: dataDir } });
  expect(outcome.code).toBe(0);
  expect(findingsOf(outcome)).toEqual(
    expect.arrayContaining([
      { subject: "data folder", state: "note", detail: `${dataDir} is made by the first start` },
      { subject: "upstream", state: "skipped", detail: "secrets were not read" },
    ]),
  );
  expect(existsSync(dataDir)).toBe(false);
});

test("folders that cannot be written are findings like others", async () => {
  // Below a file, so that not even root could.
  const file = join(bench.env.HOME!, "file");
  writeFileSync(file, "");
  const env = { KEYSWAP_DATA_DIR: join(file, "data"), TMPDIR: file };
  const outcome = await bench.run(["doctor", "curl", "--json"], { env });
  expect([outcome.code, outcome.stderr]).toEqual([1, ""]);
  expect(findingsOf(outcome).filter(({ state }) => state === "failed")).toEqual([
    expect.objectContaining({ subject: "data folder", advice: expect.stringContaining("KEYSWAP_DATA_DIR") }),
    expect.objectContaining({ subject: "runtimes", advice: expect.stringContaining("TMPDIR") }),
  ]);
});
