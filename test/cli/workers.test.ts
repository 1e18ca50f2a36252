// Worker processes, and this one as who holds them: where one is stopped, killed or replaced, the others go on.

import cluster from "node:cluster";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseAddress } from "../../src/cli/address.ts";
import { openCertificateAuthority, type ProxyPart } from "../../src/cli/proxy-part.ts";
import { newAssembly } from "../../src/cli/service.ts";
import { openWorkers } from "../../src/cli/workers.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/settings.ts";
import { createLogging } from "../../src/telemetry/logger.ts";
import { logged } from "../support/fleet.ts";
import { startSecretApi } from "../support/secret-api.ts";
import { waitUntil } from "../support/wait.ts";

let folder: string;
let stack: AsyncDisposableStack;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-workers-"));
  stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const pid of pids()) process.kill(pid, "SIGCONT");
  await stack.disposeAsync();
});

function configure(more: Readonly<Record<string, string>> = {}): Promise<Config> {
  const env = {
    KEYSWAP_DATA_DIR: join(folder, "data"),
    KEYSWAP_CERTS_DIR: join(folder, "certs"),
    KEYSWAP_PROXY_LISTEN: "127.0.0.1:0",
    KEYSWAP_LOG_LEVEL: "silent",
    KEYSWAP_WORKERS: "2",
    ...more,
  };
  return loadConfig({ command: "start", flags: new Map(), env });
}

interface Opened {
  readonly part: ProxyPart;
  /** What was logged with this message. */
  readonly logged: (message: string) => readonly Readonly<Record<string, unknown>>[];
}

/** Resolves when they are ready, as a probe sees it. */
async function open(): Promise<Opened> {
  const config = await configure();
  const ca = await openCertificateAuthority(config);
  const api = await startSecretApi({ caCertificate: () => ca.certificatePem });
  stack.defer(() => api.close());
  let log = "";
  const destination = {
    write: (line: string) => {
      log += line;
    },
    flush: async () => {},
  };
  const { logger } = createLogging({ level: "info", destination });
  const assembly = stack.use(newAssembly());
  const part = await openWorkers(assembly, { config, logger, ca, apiUrl: api.url, proxyKey: api.proxyKey });
  await waitUntil(async () => expect(await part.readiness()).toEqual({ ready: true }));
  return { part, logged: (message) => logged(log, message) };
}

/** Of the workers that run. */
function pids(): readonly number[] {
  return Object.values(cluster.workers ?? {}).flatMap((worker) => worker?.process.pid ?? []);
}

const replaced = "a worker ended; another takes its place";

/** As long as a probe waits for: less than a worker that does not answer is waited for. */
const PROBE_MS = 3_000;

async function probed<T>(answer: Promise<T>): Promise<T> {
  const tooLate = Promise.withResolvers<never>();
  const deadline = setTimeout(() => tooLate.reject(new Error("a probe had waited long enough")), PROBE_MS);
  try {
    return await Promise.race([answer, tooLate.promise]);
  } finally {
    clearTimeout(deadline);
  }
}

test("a worker that hangs keeps no probe and no scrape waiting, and what it had counted stays", async () => {
  const { part } = await open();
  for (let count = 0; count < 4; count++) await refusedConnection(part);
  await waitUntil(async () => expect(await part.metrics?.text()).toMatch(/^keyswap_refusals_total\{.*\} 4$/m));
  process.kill(pids()[0]!, "SIGSTOP");
  expect(await probed(part.readiness())).toEqual({ ready: true });
  const text = await probed(part.metrics!.text());
  expect(text).toMatch(/^keyswap_refusals_total\{.*\} 4$/m);
  expect(text).toMatch(/^keyswap_workers 2$/m);
});

test("a worker that takes another's place during a reload has the new configuration", async () => {
  const { part, logged } = await open();
  const [killed, busy] = pids();
  process.kill(killed!, "SIGKILL");
  await waitUntil(() => expect(logged(replaced)).toHaveLength(1));
  const listening = once(cluster, "listening");
  // It takes its time to prepare: longer than the pause before the killed one is replaced.
  process.kill(busy!, "SIGSTOP");
  const prepared = part.prepareReload(await configure({ KEYSWAP_PROXY_PROTOCOL_FROM: "127.0.0.1/32" }));
  await Promise.race([listening, new Promise((done) => setTimeout(done, 1_000))]);
  process.kill(busy!, "SIGCONT");
  (await prepared)();
  await listening;
  // Another reload begins when everyone has the last one.
  await part.prepareReload(await configure({ KEYSWAP_PROXY_PROTOCOL_FROM: "127.0.0.1/32" }));
  process.kill(busy!, "SIGKILL");
  await waitUntil(() => expect(logged(replaced)).toHaveLength(2));
  // A connection has to begin with a PROXY header now: there is no answer.
  for (let count = 0; count < 4; count++) expect(await refusedConnection(part)).toBe("");
});

test("a replacement that cannot start says why, and is tried again", async () => {
  const { part, logged } = await open();
  const key = join(folder, "certs", "ca-key.pem");
  const content = readFileSync(key);
  writeFileSync(key, "broken");
  process.kill(pids()[0]!, "SIGKILL");
  await waitUntil(() => expect(logged(replaced)[1]).toMatchObject({ code: 1, reason: expect.stringContaining(key) }));
  writeFileSync(key, content);
  await served(part);
});

test("workers that all end at once are replaced on the port that was announced", async () => {
  const { part, logged } = await open();
  for (const pid of pids()) process.kill(pid, "SIGKILL");
  await waitUntil(() => expect(logged(replaced)).toHaveLength(2));
  await served(part);
  // One that is replaced later shares it.
  process.kill(pids()[0]!, "SIGKILL");
  await waitUntil(() => expect(logged(replaced)).toHaveLength(3));
  await served(part);
});

/** Resolves when there are two workers, and one that answers. */
async function served(part: ProxyPart): Promise<void> {
  await waitUntil(async () => {
    expect(pids()).toHaveLength(2);
    expect(await refusedConnection(part)).toMatch(/^HTTP\/1.1 407 /);
  });
}

/** Without a sandbox's token; answers what came back. */
async function refusedConnection({ addresses }: ProxyPart): Promise<string> {
  const { host, port } = parseAddress(addresses.proxy);
  const socket = connect(port, host);
  socket.end("GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
  return readAll(socket);
}
