// A worker process of `--workers`: the proxy, told by the control process what to do. It ends with it.

import { createLogging } from "../telemetry/logger.ts";
import { tuneEngine } from "./engine.ts";
import { harden } from "./hardening.ts";
import { type LocalProxyPart, openCertificateAuthority, openProxyPart } from "./proxy-part.ts";
import { newAssembly } from "./service.ts";
import { describeStartFailure } from "./start-failure.ts";
import { readVersion } from "./version.ts";
import { decodeConfig, type FromWorker, type Question, type ToWorker } from "./worker-messages.ts";

type Begin = Extract<ToWorker, { readonly type: "begin" }>;

function say(message: FromWorker): Promise<void> {
  return new Promise((done) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => done());
    else done();
  });
}

// Those of a terminal or a supervisor reach every process of the group; the control process acts on them.
for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
// Nobody is left to write the audit: better no proxy than one that leaves no trace.
process.on("disconnect", () => process.exit(1));
/** What comes before the proxy is open waits. Node keeps nothing back for a later listener: node:cluster has one of its own. */
const early: ToWorker[] = [];
let take = (message: ToWorker): void => {
  early.push(message);
};
process.on("message", (message: ToWorker) => {
  if (message.type === "begin") void begin(message);
  else take(message);
});

async function begin({ index, config: sent, apiUrl, proxyKey, listening }: Begin): Promise<void> {
  let config = decodeConfig(sent);
  const logging = createLogging({ level: config.logLevel });
  const logger = logging.logger.child({ worker: index });
  harden(logger);
  const audits = new Map<number, (problem: string | undefined) => void>();
  let lastAudit = 0;
  const forwardAudit = (bytes: Buffer) =>
    new Promise<void>((done, fail) => {
      lastAudit += 1;
      audits.set(lastAudit, (problem) => (problem === undefined ? done() : fail(new Error(problem))));
      void say({ type: "audit", id: lastAudit, bytes });
    });
  const assembly = newAssembly();
  assembly.listening.push(...listening);
  let proxy: LocalProxyPart;
  try {
    const ca = await openCertificateAuthority(config);
    proxy = await openProxyPart(assembly, { config, logger, ca, apiUrl, proxyKey, name: String(index), forwardAudit });
  } catch (error) {
    await assembly.stack.disposeAsync();
    await logging.flush();
    await say({ type: "failed", failure: describeStartFailure(error, "a worker", "KEYSWAP_WORKERS") });
    process.exit(1);
  }
  tuneEngine();
  let apply: (() => readonly string[]) | undefined;
  let _closing: Promise<void> | undefined;

  const answer = async (id: number, work: () => unknown): Promise<void> => {
    try {
      await say({ type: "answer", id, value: await work() });
    } catch (error) {
      await say({
        type: "answer-failed",
        id,
        failure: describeStartFailure(error, "the configuration", "KEYSWAP_CONFIG"),
      });
    }
  };
  const ask: Readonly<Record<Question, () => unknown>> = {
    metrics: () => proxy.metrics?.json(),
    readiness: () => proxy.readiness(),
    apply: () => {
      const renewed = apply?.();
      apply = undefined;
      logging.logger.level = config.logLevel;
      logger.level = config.logLevel;
      return renewed ?? [];
    },
  };
  const close = async (graceMs: number): Promise<void> => {
    assembly.drain.graceMs = graceMs;
    await assembly.stack.disposeAsync();
    await say({ type: "bye", metrics: await proxy.metrics?.json() });
    await logging.flush();
    process.exit(0);
  };
  take = (message) => {
    switch (message.type) {
      case "begin":
        break;
      case "listening":
        assembly.listening.push(...message.addresses);
        break;
      case "ask":
        void answer(message.id, ask[message.question]);
        break;
      case "prepare":
        void answer(message.id, async () => {
          const next = decodeConfig(message.config);
          const prepared = await proxy.prepareReload(next);
          apply = () => {
            config = next;
            return prepared();
          };
        });
        break;
      case "audit-written":
        audits.get(message.id)?.(message.problem);
        audits.delete(message.id);
        break;
      case "close":
        _closing ??= close(message.graceMs);
        break;
      default:
        message satisfies never;
    }
  };
  for (const message of early.splice(0)) take(message);
  // One worker alone may be replaced this way: another takes its place.
  process.on("SIGTERM", () => {
    _closing ??= close(config.drainMs);
  });
  logger.info({ version: readVersion() }, "worker ready");
  await say({ type: "ready", addresses: proxy.addresses });
}
