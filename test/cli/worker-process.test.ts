// A real worker process, and what it is told before it is ready.

import cluster from "node:cluster";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeConfig, type SentConfig } from "../../src/cli/worker-messages.ts";
import { WorkerProcess } from "../../src/cli/worker-process.ts";
import { loadConfig } from "../../src/config/load.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-worker-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A Secret API is not there: a worker starts all the same. */
async function fork(): Promise<{ readonly worker: WorkerProcess; readonly config: SentConfig }> {
  const env = {
    KEYSWAP_DATA_DIR: join(folder, "data"),
    KEYSWAP_CERTS_DIR: join(folder, "certs"),
    KEYSWAP_PROXY_LISTEN: "127.0.0.1:0",
    KEYSWAP_LOG_LEVEL: "silent",
  };
  const config = encodeConfig(await loadConfig({ command: "start", flags: new Map(), env }));
  cluster.setupPrimary({
    exec: fileURLToPath(new URL("../../src/cli/worker.ts", import.meta.url)),
    args: [],
    serialization: "advanced",
    stdio: ["inherit", "inherit", "pipe", "ipc"],
  });
  const apiUrl = "http://127.0.0.1:1/api";
  const begin = { type: "begin", index: 1, config, apiUrl, proxyKey: "key", listening: [] } as const;
  return { worker: new WorkerProcess(cluster.fork(), begin, async () => {}), config };
}

test("a worker that starts answers what it is asked meanwhile", async () => {
  const { worker, config } = await fork();
  const told = [worker.ask("metrics"), worker.ask("readiness"), worker.prepare(config)];
  await expect(Promise.all(told)).resolves.toMatchObject([expect.any(Array), { ready: false }, undefined]);
  await expect(worker.ready).resolves.toMatchObject({ proxy: expect.stringContaining("127.0.0.1:") });
  await worker.close(0);
  await expect(worker.ended).resolves.toMatchObject({ code: 0, signal: null });
});

test("a worker that is told to end while it starts ends by itself", async () => {
  const { worker } = await fork();
  await worker.close(0);
  await expect(worker.ended).resolves.toMatchObject({ code: 0, signal: null });
});
