// `--workers`: several proxy processes on the same ports, and this one that keeps them.
//
//   control process: Secret API, admin port, audit log, listening sockets ─► node:cluster ─► workers (worker.ts), a proxy each
//
// Connections are dealt out in turn. Each worker has caches, pools and minted leaves of its own; the CA is one. A worker that ends is
// replaced, with growing pauses while that goes on, and its counts are kept.

import cluster from "node:cluster";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { type Config, variableName } from "../config/settings.ts";
import type { Readiness } from "../telemetry/admin-server.ts";
import { openAuditWriter } from "../telemetry/audit-log.ts";
import { AuditCollector } from "../telemetry/audit-relay.ts";
import { JoinedMetrics } from "../telemetry/joined-metrics.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { type Address, parseAddress } from "./address.ts";
import type { ProxyPart, ProxyPartOptions } from "./proxy-part.ts";
import type { Assembly, PrepareReload } from "./service.ts";
import { siblingFile } from "./sibling-file.ts";
import { startStep } from "./start-failure.ts";
import { readVersion } from "./version.ts";
import { encodeConfig } from "./worker-messages.ts";
import { describeForkFailure, WorkerProcess } from "./worker-process.ts";

const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 10_000;
/** A worker that lived for so long has not failed at its start. */
const SETTLED_MS = 30_000;

type WorkersOptions = ProxyPartOptions & { readonly apiUrl: string };

/** As `openProxyPart`, with `config.workers` processes. Throws CliError where any of them cannot start. */
export async function openWorkers(assembly: Assembly, options: WorkersOptions): Promise<ProxyPart> {
  const { config, logger } = options;
  const target = config.audit;
  const writer = await startStep("the audit log", variableName("audit"), () =>
    openAuditWriter({ target, clock: Date.now }),
  );
  const collector = writer === undefined ? undefined : new AuditCollector(writer);
  if (collector !== undefined) assembly.stack.defer(() => collector.close());
  const workers = new Workers(assembly, options, collector);
  assembly.stack.defer(() => workers.close(assembly.drain.graceMs));
  const addresses = await startStep("a worker", variableName("workers"), () => workers.start());
  logger.info({ workers: config.workers }, "workers ready");
  return {
    addresses,
    metrics: workers.metrics,
    readiness: () => workers.judgeReadiness(),
    prepareReload: (next) => workers.prepareReload(next),
    announce: () => workers.announce(),
  };
}

class Workers {
  readonly metrics: JoinedMetrics | undefined;
  readonly #assembly: Assembly;
  readonly #options: WorkersOptions;
  readonly #collector: AuditCollector | undefined;
  readonly #running = new Map<number, WorkerProcess>();
  readonly #failures = new Map<number, number>();
  readonly #pauses = new Map<number, NodeJS.Timeout>();
  #config: Config;
  /** Resolves when every worker has the last reload, or is given up. */
  #applied: Promise<unknown> | undefined;
  /** As the first workers had them, and as they were announced. */
  #addresses: ProxyPart["addresses"] | undefined;
  /** Whether workers ask for the ports that were announced, also where a setting leaves the choice to the system. */
  #keepsPorts = false;
  #isClosing = false;

  constructor(assembly: Assembly, options: WorkersOptions, collector: AuditCollector | undefined) {
    this.#assembly = assembly;
    this.#options = options;
    this.#collector = collector;
    this.#config = options.config;
    if (options.config.adminListen !== undefined) {
      const own = new Metrics(readVersion());
      own.watchWorkers(
        () => this.#running.size,
        () => this.#restarts,
      );
      this.metrics = new JoinedMetrics(own, {
        refresh: () => this.#refreshMetrics(),
        latest: () => [...this.#running.values()].flatMap(({ metrics }) => (metrics === undefined ? [] : [metrics])),
      });
    }
    const exec = fileURLToPath(siblingFile(import.meta.url, "worker"));
    const stdio = ["inherit", "inherit", "pipe", "ipc"] as const;
    cluster.setupPrimary({ exec, args: [], serialization: "advanced", stdio: [...stdio] });
  }

  #restarts = 0;

  async start(): Promise<ProxyPart["addresses"]> {
    const indices = Array.from({ length: this.#config.workers }, (_, at) => at + 1);
    const started = await Promise.all(indices.map((index) => this.#spawn(index).ready));
    // All share the control process's sockets.
    this.#addresses = started[0]!;
    return this.#addresses;
  }

  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    for (const pause of this.#pauses.values()) clearTimeout(pause);
    await Promise.all([...this.#running.values()].map((worker) => worker.close(graceMs)));
  }

  /** Workers refuse to reach these ports, too. */
  announce(): void {
    const addresses = [...this.#assembly.listening];
    for (const worker of this.#running.values()) worker.send({ type: "listening", addresses });
  }

  /** Ready as soon as one worker is: that one can do the work. */
  async judgeReadiness(): Promise<Readiness> {
    if (this.#isClosing) return { ready: false, reason: "draining" };
    const workers = this.#readyWorkers();
    let notReady: Readiness = { ready: false, reason: workers.length === 0 ? "no worker runs" : "no worker answers" };
    const asked = workers.map(async (worker) => {
      const answer = await worker.judgeReadiness();
      if (answer.ready) return answer;
      notReady = answer;
      throw new Error(answer.reason);
    });
    return Promise.any(asked).catch(() => notReady);
  }

  /** All workers prepare, then all take over; where one cannot, none does. */
  readonly prepareReload: PrepareReload = async (next) => {
    await this.#applied;
    const sent = encodeConfig(next);
    const prepared = new Set(this.#running.values());
    await Promise.all([...prepared].map((worker) => worker.prepare(sent)));
    return () => {
      this.#config = next;
      const applied = [...this.#running.values()].map(async (worker) => {
        try {
          // One that took another's place meanwhile has begun with the former configuration.
          if (!prepared.has(worker)) await worker.prepare(sent);
          await worker.ask("apply");
        } catch (error) {
          // Where it has prepared, it has ended or hangs. Its successor begins with the new configuration.
          this.#options.logger.warn({ err: error, pid: worker.pid }, "a worker did not reload");
          if (!prepared.has(worker)) worker.kill();
        }
      });
      this.#applied = Promise.all(applied);
      return [];
    };
  };

  /** Throws the system's error where it refuses a process at once. */
  #spawn(index: number): WorkerProcess {
    const { apiUrl, proxyKey } = this.#options;
    // As long as anyone holds the first sockets, node:cluster knows them by what the settings say: by a port 0 where they say so.
    if (this.#addresses !== undefined && this.#running.size === 0) this.#keepsPorts = true;
    const begin = {
      type: "begin",
      index,
      config: encodeConfig(this.#keepsPorts ? withPorts(this.#config, this.#addresses) : this.#config),
      apiUrl,
      proxyKey,
      listening: [...this.#assembly.listening],
    } as const;
    const collector = this.#collector;
    const worker = new WorkerProcess(cluster.fork(), begin, async (bytes) => collector?.write(bytes));
    const startedAt = performance.now();
    this.#running.set(index, worker);
    worker.ready.then(
      (addresses) => this.#checkPorts(worker, addresses),
      () => {},
    );
    void worker.ended.then((end) => {
      this.#running.delete(index);
      if (worker.metrics !== undefined) this.metrics?.retire(worker.metrics);
      this.#replace(index, performance.now() - startedAt, { pid: worker.pid, ...end });
    });
    return worker;
  }

  /** The last one that held the first sockets may go while this one starts: then it has got others. */
  #checkPorts(worker: WorkerProcess, addresses: ProxyPart["addresses"]): void {
    if (this.#addresses === undefined || isDeepStrictEqual(addresses, this.#addresses)) return;
    this.#keepsPorts = true;
    worker.kill("it did not get the ports that were announced");
  }

  #replace(index: number, livedMs: number, end: Readonly<Record<string, unknown>>): void {
    if (this.#isClosing) return;
    const failures = livedMs >= SETTLED_MS ? 1 : (this.#failures.get(index) ?? 0) + 1;
    this.#failures.set(index, failures);
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 20));
    this.#options.logger.error({ worker: index, ...end, pauseMs }, "a worker ended; another takes its place");
    const spawn = () => {
      if (this.#isClosing) return;
      this.#restarts += 1;
      try {
        this.#spawn(index);
      } catch (error) {
        this.#replace(index, 0, { reason: describeForkFailure(error).message });
      }
    };
    this.#pauses.set(index, setTimeout(spawn, pauseMs));
  }

  async #refreshMetrics(): Promise<void> {
    await Promise.allSettled(this.#readyWorkers().map((worker) => worker.refreshMetrics()));
  }

  #readyWorkers(): readonly WorkerProcess[] {
    return [...this.#running.values()].filter(({ isReady }) => isReady);
  }
}

function withPorts(config: Config, addresses: ProxyPart["addresses"] | undefined): Config {
  const at = <T extends Address | undefined>(listen: T, address: string | undefined): T =>
    listen === undefined || address === undefined ? listen : { ...listen, port: parseAddress(address).port };
  return {
    ...config,
    proxyListen: at(config.proxyListen, addresses?.proxy),
    tlsListen: at(config.tlsListen, addresses?.tls),
    httpListen: at(config.httpListen, addresses?.http),
    dnsListen: at(config.dnsListen, addresses?.dns),
  };
}
