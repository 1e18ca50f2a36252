import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
beforeAll(() => {
  bench = makeWorkbench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const commands = [
  "start",
  "proxy",
  "api",
  "run",
  "secret",
  "sandbox",
  "key",
  "organization",
  "master-key",
  "audit",
  "import",
  "export",
  "backup",
  "restore",
  "ca",
];

test("--help lists every command and answers 0", async () => {
  const { code, stdout, stderr } = await bench.run(["--help"]);
  expect([code, stderr]).toEqual([0, ""]);
  for (const name of commands) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
});

test("no command shows the help on stderr and answers 2", async () => {
  const { code, stdout, stderr } = await bench.run([]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("Commands:");
});

test("--version is the package's", async () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));
  expect((await bench.run(["--version"])).stdout).toBe(`keyswap ${version}\n`);
});

describe("help of", () => {
  test.each([
    ["start"],
    ["proxy"],
    ["api"],
    ["run"],
    ["ca"],
    ["secret", "create"],
    ["secret", "update"],
    ["sandbox", "create"],
    ["sandbox", "mount"],
    ["key", "create"],
    ["organization", "create"],
    ["master-key", "rotate"],
    ["audit"],
    ["import"],
    ["export"],
    ["backup"],
    ["restore"],
    ["ca", "export"],
    ["ca", "import"],
  ])("%s %s has examples", async (...words) => {
    const { code, stdout } = await bench.run([...words.filter((word) => word !== undefined), "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain("Examples:\n  keyswap");
  });

  test("`keyswap help start` is that of `keyswap start --help`; flags for keys are none but their files'", async () => {
    const { stdout } = await bench.run(["help", "start"]);
    expect(stdout).toContain("--proxy-listen");
    expect(stdout).toContain("--master-key-file");
    expect(stdout).not.toMatch(/--(master|api|proxy)-key </);
  });
});

describe("keyswap ca", () => {
  test("says what to do before there is a CA", async () => {
    const { code, stderr } = await bench.run(["ca"]);
    expect(code).toBe(1);
    expect(stderr).toContain("keyswap start");
  });

  test("prints the certificate, or its path", async () => {
    const keyswap = await bench.start(["start"]);
    const path = join(bench.certsDir, "ca.pem");
    expect((await bench.run(["ca"])).stdout).toBe(readFileSync(path, "utf8"));
    expect((await bench.run(["ca", "--path"])).stdout).toBe(`${path}\n`);
    await keyswap.stop();
  });
});
