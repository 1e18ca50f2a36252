import { afterAll, beforeAll, expect, test } from "vitest";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

const VALUE = "a value of its own 7Jq";
let bench: Workbench;

beforeAll(async () => {
  bench = makeWorkbench();
  const secret = ["secret", "create", "OPENAI", "--host", "api.openai.com", "--value-stdin"];
  expect((await bench.run(secret, { input: VALUE })).code).toBe(0);
  expect((await bench.run(["sandbox", "create", "--name", "ci", "--secret", "KEY=OPENAI"])).code).toBe(0);
});

afterAll(() => bench[Symbol.asyncDispose]());

test("a secret for the host would go out: 0", async () => {
  const outcome = await bench.run(["explain", "https://api.openai.com/v1/models", "--secret", "OPENAI"]);
  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  expect(outcome.stdout).toMatch(/^The value of OPENAI goes out to api\.openai\.com\.\n/);
});

test("a host that is not listed is named with the secret: 1", async () => {
  const outcome = await bench.run(["explain", "https://api.openai.com.evil.test/", "--secret", "OPENAI"]);
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toMatch(/not substituted +host api\.openai\.com\.evil\.test is not on OPENAI's list/);
});

test("a sandbox's request, surface by surface, as JSON without a value", async () => {
  const args = [
    "explain",
    "https://api.openai.com/",
    "--sandbox",
    "ci",
    "-d",
    '{"k":"$KEY"}',
    "-H",
    "User-Agent: $KEY",
  ];
  const outcome = await bench.run([...args, "--json"]);
  expect(outcome.code).toBe(1);
  expect(JSON.parse(outcome.stdout)).toMatchObject({
    outcome: "partly",
    substituted: [{ secret: "OPENAI", surface: "body" }],
    notSubstituted: [{ secret: "OPENAI", reason: "sink-header" }],
  });
  expect(outcome.stdout).not.toContain(VALUE);
});

test.each([
  [["explain", "https://a.example/"], /give --sandbox, --secret, or both/, 2],
  [["explain", "https://a.example/", "--secret", "OPENAI", "-H", "nonsense"], /"nonsense" is no header field/, 2],
  [["explain", "ftp://a.example/", "--secret", "OPENAI"], /must be http or https/, 2],
  [["explain", "https://a.example/", "--secret", "NOPE"], /no secret named "NOPE"\n.*keyswap secret list/, 2],
  [["explain", "https://a.example/", "--sandbox", "nope"], /no sandbox "nope"\n.*keyswap sandbox list/, 2],
])("%j is refused with what is wrong", async (args, message, code) => {
  const outcome = await bench.run(args);
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});
