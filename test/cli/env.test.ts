import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeVariables } from "../../src/cli/env-file.ts";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

describe("lines of a .env file", () => {
  test("are added to an empty file", () => {
    expect(writeVariables(".env", "", { A: "1", B: "2" })).toBe("A=1\nB=2\n");
  });

  test("are replaced in their place; comments, blank lines and others stay", () => {
    const before = "# keys\nexport A = old\n\nAB=keep\nB='x'";
    expect(writeVariables(".env", before, { A: "1", C: "3" })).toBe("# keys\nexport A=1\n\nAB=keep\nB='x'\nC=3\n");
  });

  test("are replaced with all of a value of several lines", () => {
    const before = 'A="-----BEGIN KEY-----\nB=\n-----END KEY-----" # old\r\nB=keep\r\n';
    expect(writeVariables(".env", before, { A: "1" })).toBe("A=1\nB=keep\r\n");
    expect(writeVariables(".env", before, { B: "2" })).toBe(before.replace("B=keep\r", "B=2"));
  });

  test("are not written beside lines that are none", () => {
    const before = "A=-----BEGIN KEY-----\nhunter2=\n-----END KEY-----\n";
    expect(() => writeVariables(".env", before, { A: "1" })).toThrow(/^\.env is no \.env file$/);
  });
});

let bench: Workbench;
let file: string;

beforeAll(async () => {
  bench = makeWorkbench();
  file = join(bench.env.HOME!, ".env");
  const secret = ["secret", "create", "API", "--host", "api.example", "--value-stdin"];
  expect((await bench.run(secret, { input: "the value of it" })).code).toBe(0);
});

afterAll(() => bench[Symbol.asyncDispose]());

test("a .env file gets placeholders, and a command runs with what it says", async () => {
  writeFileSync(file, "MODE=test\nKEY=old\n", { mode: 0o640 });
  const written = await bench.run(["env", "KEY=API", "--output", file]);
  expect(written).toMatchObject({ code: 0, stdout: "", stderr: "" });
  expect(readFileSync(file, "utf8")).toMatch(/^MODE=test\nKEY=dtn_secret_[a-z0-9]{25,}\n$/);
  expect(statSync(file).mode & 0o777).toBe(0o640);
  const shown = await bench.run(["env", "KEY=API"]);
  expect(`MODE=test\n${shown.stdout}`).toBe(readFileSync(file, "utf8"));

  const script = 'echo "$MODE $FROM_CALLER"; echo "$KEY"; echo "$HTTPS_PROXY"';
  const run = await bench.run(["run", "--env-from", file, "--", "sh", "-c", script], {
    env: { FROM_CALLER: "stays" },
  });
  expect([run.code, run.stderr]).toEqual([0, ""]);
  const [first, placeholder, proxy] = run.stdout.split("\n");
  expect(first).toBe("test stays");
  expect(`KEY=${placeholder}\n`).toBe(shown.stdout);
  expect(proxy).toMatch(/^http:\/\/.+:.+@127\.0\.0\.1:\d+$/);
});

test.each([
  ["a secret that is not there", ["env", "KEY=NOPE"], "", /there is no secret named NOPE/, 1],
  ["a placeholder of none", ["run", "--env-from", ".env", "--", "true"], "K=dtn_secret_zz\n", /placeholder of K\n/, 2],
  ["a value of two lines", ["run", "--env-from", ".env", "--", "true"], "A=1\nhunter2==\n", /line 2 reads like/, 2],
  ["a value of two lines below", ["env", "K=API", "--output", ".env"], "A=1\nhunter2==\n", /line 2 reads like/, 2],
  ["a file that is not there", ["run", "--env-from", "nope.env", "--", "true"], "", /nope\.env cannot be read/, 2],
])("%s is told", async (_what, args, text, message, code) => {
  writeFileSync(file, text);
  const outcome = await bench.run(args.map((arg) => (arg.endsWith(".env") ? join(bench.env.HOME!, arg) : arg)));
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
  expect(outcome.stderr).not.toContain("hunter2");
});
