import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFolder } from "../../src/cli/make-folder.ts";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

describe("makeFolder", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "keyswap-make-folder-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("makes every level that is missing, for its owner alone, and leaves what is there", () => {
    const path = join(folder, "a", "b");
    makeFolder(path);
    makeFolder(path);
    for (const made of [path, join(folder, "a")]) {
      expect(statSync(made).isDirectory()).toBe(true);
      expect(statSync(made).mode & 0o777).toBe(0o700);
    }
  });

  test("a file in its place, or above it, is what the system says it is", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    expect(() => makeFolder(file)).toThrow(/EEXIST/);
    expect(() => makeFolder(join(file, "below"))).toThrow(/ENOTDIR/);
  });
});

// No folder can be made in /proc, whoever asks; Linux alone has it.
describe.skipIf(process.platform !== "linux")("where no folder can be made", () => {
  let bench: Workbench;
  beforeAll(() => {
    bench = makeWorkbench();
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  test("a data folder ends the command with what to set", async () => {
    const outcome = await bench.run(["secret", "list"], { env: { KEYSWAP_DATA_DIR: "/proc/nope/.keyswap" } });
    expect(outcome).toEqual({
      code: 2,
      stdout: "",
      stderr:
        "keyswap: the data folder /proc/nope/.keyswap cannot be made (ENOENT)\n" +
        "  Set KEYSWAP_DATA_DIR to a folder that can be written.\n",
    });
  });

  test("run says to set TMPDIR, and runs nothing", async () => {
    const outcome = await bench.run(["run", "--", "echo", "ran"], { env: { TMPDIR: "/dev/null" } });
    expect(outcome).toEqual({
      code: 2,
      stdout: "",
      stderr:
        "keyswap: a temporary folder cannot be made in /dev/null (ENOTDIR)\n" +
        "  Set TMPDIR to a folder that can be written.\n",
    });
  });
});
