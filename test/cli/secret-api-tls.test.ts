// A Secret API behind TLS with a certificate of a private authority, as a load balancer in front of it would have.

import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { makePki } from "../support/pki.ts";
import { makeWorkbench, type RunningKeyswap, type Workbench } from "../support/workbench.ts";

const pki = makePki();
const { certPem, keyPem } = pki.issue(["127.0.0.1"]);
let bench: Workbench;
let api: RunningKeyswap;
let env: Record<string, string>;
let caFile: string;

const terminator = createServer({ cert: certPem, key: keyPem }, (socket) => {
  const upstream = connect(Number(new URL(api.ready.api).port), "127.0.0.1");
  socket.on("error", () => upstream.destroy());
  upstream.on("error", () => socket.destroy());
  socket.pipe(upstream).pipe(socket);
});
terminator.on("tlsClientError", () => {});

beforeAll(async () => {
  bench = makeWorkbench();
  api = await bench.start(["api"]);
  await new Promise<void>((done) => terminator.listen(0, "127.0.0.1", done));
  const { port } = terminator.address() as AddressInfo; // a TCP server's address is an object
  env = {
    KEYSWAP_SECRET_API_URL: `https://127.0.0.1:${port}/api`,
    KEYSWAP_API_KEY: readFileSync(join(bench.dataDir, "api-key"), "utf8").trim(),
  };
  caFile = join(bench.env.HOME!, "internal-ca.pem");
  writeFileSync(caFile, pki.caPem);
});
afterAll(async () => {
  terminator.close();
  await bench?.[Symbol.asyncDispose]();
});

test("commands trust the authority that is named, and no other", async () => {
  const refused = await bench.run(["secret", "list"], { env });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("KEYSWAP_SECRET_API_CA");
  const listed = await bench.run(["secret", "list", "--secret-api-ca", caFile], { env });
  expect([listed.code, listed.stderr]).toEqual([0, ""]);
});

test("a proxy fetches grants and hears changes through it", async () => {
  const trusting = { ...env, KEYSWAP_SECRET_API_CA: caFile };
  const created = await bench.run(["sandbox", "create", "--json"], { env: trusting });
  const { id } = JSON.parse(created.stdout) as { id: string };
  const readiness = async (more: Record<string, string>) => {
    const proxy = await bench.start(["proxy"], {
      env: { KEYSWAP_SECRET_API_URL: env.KEYSWAP_SECRET_API_URL!, KEYSWAP_SANDBOX_ID: id, ...more },
    });
    try {
      // "live" is logged once the stream of changes was greeted.
      if (more.KEYSWAP_SECRET_API_CA !== undefined) {
        await vi.waitFor(() => expect(proxy.stderr()).toContain("change stream: live"), { timeout: 10_000 });
      }
      return (await fetch(`http://${proxy.ready.admin}/readyz`)).status;
    } finally {
      await proxy.stop();
    }
  };
  expect(await readiness({})).toBe(503);
  expect(await readiness({ KEYSWAP_SECRET_API_CA: caFile })).toBe(200);
});

test("a file without certificates stops the start", async () => {
  const empty = join(bench.env.HOME!, "empty.pem");
  writeFileSync(empty, "nothing\n");
  const { code, stderr } = await bench.run(["secret", "list"], { env: { ...env, KEYSWAP_SECRET_API_CA: empty } });
  expect(code).toBe(2);
  expect(stderr).toContain("holds no certificates");
});
