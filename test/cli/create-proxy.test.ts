import cluster from "node:cluster";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createProxy } from "../../src/index.ts";
import { curl } from "../support/curl.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki } from "../support/pki.ts";

const VALUE = "embedded-value-4711";
let origin: Origin;
let folder: string;

beforeAll(async () => {
  const pki = makePki();
  folder = mkdtempSync(join(tmpdir(), "keyswap-embedded-"));
  writeFileSync(join(folder, "upstream.pem"), pki.caPem);
  origin = await startOrigin({ pki, names: ["api.localhost"], handler: (_request, response) => response.end("ok") });
});

afterAll(async () => {
  await origin.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a proxy of its own: secrets, a sandbox, events, and nothing left behind", async () => {
  const keyswap = await createProxy({
    settings: { upstreamCa: join(folder, "upstream.pem"), allowPrivate: ["127.0.0.0/8", "::1"] },
  });
  await keyswap.secrets.create({ name: "API", value: VALUE, hosts: ["api.localhost"] });
  const sandbox = await keyswap.createSandbox({ API_KEY: "API" });
  const placeholder = sandbox.placeholders.API_KEY;
  expect(placeholder).toMatch(/^dtn_secret_/);
  const ca = join(folder, "ca.pem");
  writeFileSync(ca, sandbox.caCertificate);

  const told = once(keyswap, "exchange");
  const url = `https://api.localhost:${origin.port}/path`;
  const outcome = await curl([
    "--noproxy",
    "",
    "--cacert",
    ca,
    "-x",
    sandbox.proxyUrl,
    "-H",
    `X-Key: ${placeholder}`,
    url,
  ]);
  expect(outcome).toMatchObject({ code: 0, body: "ok" });
  expect(origin.last().headers["x-key"]).toBe(VALUE);
  const [event] = await told;
  expect(event).toMatchObject({ type: "exchange", path: "/path", substituted: [{ secret: "API", surface: "header" }] });
  expect(JSON.stringify(event)).not.toContain(VALUE);

  await sandbox[Symbol.asyncDispose]();
  await keyswap.close();
  const refused = await curl(["-x", sandbox.proxyUrl, url]);
  expect(refused.code).not.toBe(0);
});

test("what is named stays: secrets are there at the next start", async () => {
  const settings = { dataDir: join(folder, "data"), certsDir: join(folder, "certs"), audit: "off" };
  const first = await createProxy({ settings });
  await first.secrets.create({ name: "KEPT", value: VALUE, hosts: ["api.localhost"] });
  await first.close();
  await using second = await createProxy({ settings });
  expect((await second.secrets.list()).map(({ name }) => name)).toEqual(["KEPT"]);
  expect(existsSync(dirname(settings.dataDir))).toBe(true);
});

test.each([2, "auto"])(
  "workers: %s is refused: the program stays one process, which is told every event",
  async (workers) => {
    const own = join(folder, `workers-${workers}`);
    const settings = { dataDir: join(own, "data"), certsDir: join(own, "certs"), workers };
    const before = Object.keys(cluster.workers ?? {});
    await expect(createProxy({ settings })).rejects.toThrow(/KEYSWAP_WORKERS.*one process/);
    expect(Object.keys(cluster.workers ?? {})).toEqual(before);
    expect(existsSync(own)).toBe(false);
    await expect(createProxy({ settings: { workers } })).rejects.toThrow(/KEYSWAP_WORKERS/);
    await (await createProxy({ settings: { ...settings, workers: 1 } })).close();
  },
);

test("every fault of the settings is told, and the secret that is not there", async () => {
  // A program in JavaScript may say anything.
  const settings = { proxyListen: "nonsense", intercept: "some", unknown: 1 } as Record<string, string | number>;
  const failed = await createProxy({ settings }).then(
    () => "",
    (error: Error) => error.message,
  );
  for (const name of ["KEYSWAP_PROXY_LISTEN", "KEYSWAP_INTERCEPT", "KEYSWAP_UNKNOWN"]) expect(failed).toContain(name);
  await using keyswap = await createProxy();
  await expect(keyswap.createSandbox({ KEY: "NOPE" })).rejects.toThrow("there is no secret named NOPE");
});
