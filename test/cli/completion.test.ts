import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
let script: string;

beforeAll(async () => {
  bench = makeWorkbench();
  const outcome = await bench.run(["completion", "bash"]);
  expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
  script = outcome.stdout;
});

afterAll(() => bench[Symbol.asyncDispose]());

function complete(words: readonly string[]): readonly string[] {
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const asked = `${script}\nCOMP_WORDS=(keyswap ${quoted}); COMP_CWORD=${words.length}; _keyswap; echo "\${COMPREPLY[*]}"`;
  const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-c", asked], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout.trim().split(" ");
}

describe("bash completes", () => {
  test.each([
    ["commands", ["st"], ["start"]],
    ["subcommands", ["secret", "cre"], ["create"]],
    ["options", ["secret", "create", "NAME", "--value-"], ["--value-stdin", "--value-file"]],
    ["settings", ["start", "--proxy-li"], ["--proxy-listen"]],
    ["nothing of ours after --", ["run", "--", "st"], [""]],
  ])("%s", (_what, words, answers) => {
    expect(complete(words)).toEqual(answers);
  });
});

test.each(["zsh", "fish"])("%s has a script of every command", async (shell) => {
  const { code, stdout } = await bench.run(["completion", shell]);
  expect(code).toBe(0);
  for (const word of ["master-key", "rotate", "value-stdin", "proxy-listen"]) expect(stdout).toContain(word);
  const isMissing = spawnSync(shell, ["--version"]).error !== undefined;
  // Where the shell is there, it reads its script.
  if (!isMissing) expect(spawnSync(shell, ["-n"], { input: stdout }).status).toBe(0);
});

test("an unknown shell is refused", async () => {
  expect(await bench.run(["completion", "tcsh"])).toMatchObject({ code: 2, stderr: expect.stringContaining("bash") });
});
