// `/readyz` of real processes: what makes a proxy not ready, and that it says so.

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeAuthority } from "../../src/tls/authority.ts";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

let bench: Workbench;
beforeEach(() => {
  bench = makeWorkbench();
});
afterEach(() => bench[Symbol.asyncDispose]());

async function readyz(admin: string): Promise<{ readonly status: number; readonly reason: string | undefined }> {
  const answer = await fetch(`http://${admin}/readyz`);
  const { reason } = (await answer.json()) as { reason?: string };
  return { status: answer.status, reason };
}

test("a proxy whose CA is not the API's is not ready", async () => {
  const api = await bench.start(["api"]);
  const { certificate } = makeAuthority(Date.now());
  mkdirSync(bench.certsDir, { recursive: true });
  const otherCerts = join(bench.dataDir, "other-certs");
  const env = { KEYSWAP_SECRET_API_URL: api.ready.api, KEYSWAP_CERTS_DIR: otherCerts };
  // What sandboxes are told.
  writeFileSync(join(bench.certsDir, "ca.pem"), certificate);
  const proxy = await bench.start(["proxy"], { env });
  expect(await readyz(proxy.ready.admin)).toEqual({
    status: 503,
    reason: expect.stringContaining("give both the same"),
  });
});

test("a proxy is ready while the API is away for less than the bound, and not beyond it", async () => {
  const api = await bench.start(["api"]);
  const env = { KEYSWAP_SECRET_API_URL: api.ready.api };
  const patient = await bench.start(["proxy"], { env });
  const strict = await bench.start(["proxy"], { env: { ...env, KEYSWAP_MAX_STALE_MS: "0" } });
  expect((await readyz(patient.ready.admin)).status).toBe(200);
  // Answered once the API was heard or tried in vain; with a bound of nothing the first moment may be over, too.
  expect((await readyz(strict.ready.admin)).reason ?? "heard").not.toContain("never");
  await api.stop();
  await expect
    .poll(() => readyz(strict.ready.admin), { timeout: 20_000 })
    .toEqual({ status: 503, reason: expect.stringMatching(/^the Secret API has not been heard for \d+ s: /) });
  expect((await readyz(patient.ready.admin)).status).toBe(200);
});

test("a proxy that never heard its API is not ready", async () => {
  const env = { KEYSWAP_SECRET_API_URL: "http://127.0.0.1:9/api", KEYSWAP_PROXY_KEY: "k".repeat(20) };
  const proxy = await bench.start(["proxy"], { env });
  expect(await readyz(proxy.ready.admin)).toEqual({
    status: 503,
    reason: expect.stringMatching(/^the Secret API was never heard: /),
  });
});

test("a proxy whose key the API refuses is not ready", async () => {
  const api = await bench.start(["api"]);
  const env = { KEYSWAP_SECRET_API_URL: api.ready.api, KEYSWAP_PROXY_KEY: "wrong".repeat(5) };
  const proxy = await bench.start(["proxy"], { env });
  expect(await readyz(proxy.ready.admin)).toEqual({
    status: 503,
    reason: expect.stringContaining("refuses the proxy key"),
  });
});

test("a proxy whose clock is set back by hours serves as soon as the API is there", async () => {
  const first = await bench.start(["api"]);
  const made = await bench.run(["sandbox", "create", "--name", "waiting", "--json"]);
  const sandbox = (JSON.parse(made.stdout) as { id: string }).id;
  await first.stop();
  const [offset, draft] = [join(bench.dataDir, "clock-offset"), join(bench.dataDir, "clock-offset.new")];
  const jumpTo = (ms: number): void => {
    writeFileSync(draft, String(ms));
    renameSync(draft, offset);
  };
  jumpTo(7_200_000);
  const proxy = await bench.start(["proxy"], {
    env: {
      KEYSWAP_SECRET_API_URL: first.ready.api,
      KEYSWAP_SANDBOX_ID: sandbox,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(clockWithOffset(offset))}`,
    },
  });
  expect(await readyz(proxy.ready.admin)).toEqual({
    status: 503,
    reason: expect.stringMatching(/^no grants of the fixed sandbox: /),
  });
  jumpTo(0);
  await bench.start(["api"], { env: { KEYSWAP_API_LISTEN: new URL(first.ready.api).host } });
  await expect.poll(() => readyz(proxy.ready.admin), { timeout: 20_000 }).toEqual({ status: 200, reason: undefined });
});

/** A module in which the clock on the wall is ahead by the milliseconds that stand in a file, as they are at that moment. */
function clockWithOffset(path: string): string {
  return `import { readFileSync } from "node:fs";
    const now = Date.now;
    Date.now = () => now() + Number(readFileSync(${JSON.stringify(path)}, "utf8"));`;
}
