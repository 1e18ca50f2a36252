import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
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
  });
});
