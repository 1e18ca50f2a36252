import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeWorkbench, type RunningKeyswap } from "../support/workbench.ts";

const root = resolve(import.meta.dirname, "../..");
const linux = process.platform === "linux";
const condition = linux ? "" : " (skipped: needs /proc)";
let clone: string;

/** A clone of its own: the bundle of this one is used by tests that run at the same time. */
beforeAll(() => {
  clone = mkdtempSync(join(tmpdir(), "keyswap-clone-"));
  for (const part of ["src", "tools", "package.json"]) cpSync(join(root, part), join(clone, part), { recursive: true });
  const packages = join(clone, "node_modules");
  mkdirSync(packages);
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name !== ".cache") symlinkSync(join(root, "node_modules", name), join(packages, name));
  }
});
afterAll(() => rmSync(clone, { recursive: true, force: true }));

function bundle(): void {
  const { status, stderr } = spawnSync(process.execPath, [join(clone, "tools/bundle.ts")], { encoding: "utf8" });
  expect(status, stderr).toBe(0);
}

/** Of the bundle that was made last. */
function mainFile(): string {
  const folder = join(clone, "node_modules/.cache/keyswap-service");
  const manifest = JSON.parse(readFileSync(join(folder, "sources.json"), "utf8"));
  return join(folder, manifest.folder, "main.js");
}

const commandOf = ({ pid }: RunningKeyswap) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");

test.runIf(linux)(
  `a service runs the bundle, with its threads, its processes and its files${condition}`,
  async () => {
    bundle();
    await using bench = makeWorkbench({ KEYSWAP_WORKERS: "2" }, join(clone, "src/main.ts"));
    const keyswap = await bench.start(["start"]);
    expect(commandOf(keyswap)).toContain(mainFile());
    const page = await fetch(new URL("/", keyswap.ready.api));
    const asset = /"(\/assets\/[^"]+main\.js)"/.exec(await page.text())?.[1];
    expect((await fetch(new URL(asset ?? "/none", keyswap.ready.api))).status).toBe(200);
    expect((await fetch(`http://${keyswap.ready.admin}/metrics`)).status).toBe(200);
    const { code, stderr } = await keyswap.stop();
    expect(code, stderr).toBe(0);
    expect(stderr).not.toMatch(/"level":"(?:error|fatal)"/);
  },
  60_000,
);

test.runIf(linux)(
  `what was changed since runs itself${condition}`,
  async () => {
    bundle();
    appendFileSync(join(clone, "src/core/errors.ts"), "\n");
    await using bench = makeWorkbench({}, join(clone, "src/main.ts"));
    const keyswap = await bench.start(["start"]);
    expect(commandOf(keyswap)).toContain(join(clone, "src/main.ts"));
    expect((await keyswap.stop()).code).toBe(0);
  },
  60_000,
);

test("one that is made anew leaves the last one to those who run it; one that is as it should be is left alone", () => {
  bundle();
  const first = mainFile();
  bundle();
  expect(mainFile()).toBe(first);
  for (const isLeft of [true, false]) {
    appendFileSync(join(clone, "src/core/errors.ts"), "\n");
    bundle();
    expect(mainFile()).not.toBe(first);
    expect(existsSync(first)).toBe(isLeft);
    expect(existsSync(mainFile())).toBe(true);
  }
});
