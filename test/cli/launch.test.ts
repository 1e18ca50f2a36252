import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const linux = process.platform === "linux";

test.runIf(linux)(
  `a service goes on in the same process under its limits${linux ? "" : " (needs /proc)"}`,
  async () => {
    bench = makeWorkbench();
    const keyswap = await bench.start(["start"]);
    const words = readFileSync(`/proc/${keyswap.pid}/cmdline`, "utf8").split("\0");
    expect(words).toContain("--max-semi-space-size=8");
    expect(words).toContain("start");
    expect((await keyswap.stop()).code).toBe(0);
  },
);

test.runIf(linux)(`limits that a user has set are left alone${linux ? "" : " (needs /proc)"}`, async () => {
  bench = makeWorkbench();
  const keyswap = await bench.start(["start"], { env: { NODE_OPTIONS: "--max-semi-space-size=8" } });
  expect(readFileSync(`/proc/${keyswap.pid}/cmdline`, "utf8")).not.toContain("semi-space");
});

test("compiled code is kept where only its owner can put it", async () => {
  bench = makeWorkbench();
  expect((await bench.run(["--version"])).code).toBe(0);
  const folder = join(import.meta.dirname, "../../node_modules/.cache/keyswap");
  expect(readdirSync(folder).length).toBeGreaterThan(0);
});
