// Runs a service until a signal: ready line, drain, exit code. SIGHUP reads the configuration again.

import type { EffectiveConfig } from "../config/load.ts";
import type { Config } from "../config/settings.ts";
import { createLogging, type Logger } from "../telemetry/logger.ts";
import { type Cli, reportFailure } from "./command.ts";
import { tuneEngine } from "./engine.ts";
import { harden } from "./hardening.ts";
import { Reloader } from "./reload.ts";
import type { Service, ServiceAddresses } from "./service.ts";
import { readVersion } from "./version.ts";

/** Resolves with the exit code once everything is closed. Throws what `compose` throws. */
export async function serve(
  cli: Cli,
  load: () => Promise<EffectiveConfig>,
  compose: (config: Config, logger: Logger) => Promise<Service>,
): Promise<number> {
  // From the first moment: a signal during the start closes what was started.
  const stop = new StopSignals();
  let reloader: Reloader | undefined;
  const reload = () => reloader?.request();
  // On a terminal it says that the terminal is gone, and ends the process as ever.
  if (!cli.stdout.isTTY) process.on("SIGHUP", reload);
  const effective = await load().catch((error: unknown) => {
    stop.release();
    process.off("SIGHUP", reload);
    throw error;
  });
  const { config } = effective;
  const logging = createLogging({ level: config.logLevel });
  const { logger } = logging;
  harden(logger);
  try {
    const service = await compose(config, logger);
    tuneEngine();
    reloader = new Reloader(effective, { load, service, logger });
    cli.stdout.write(cli.stdout.isTTY ? readyPage(service.addresses, config) : readyLine(service.addresses));
    logger.info({ ...service.addresses, version: readVersion() }, "ready");
    let exitCode = 0;
    try {
      const signal = await Promise.race([stop.first, service.failed]);
      logger.info({ signal, graceMs: reloader.config.drainMs }, "draining");
    } catch (error) {
      exitCode = reportFailure(cli, error);
    }
    const closed = service.close(exitCode === 0 ? reloader.config.drainMs : 0);
    // Who asks twice does not want to wait.
    const isClosed = await Promise.race([closed.then(() => true), stop.second.then(() => false)]);
    logger.info(isClosed ? "closed" : "ended without waiting for the drain");
    await logging.flush();
    if (!isClosed) process.exit(1);
    return exitCode;
  } finally {
    stop.release();
    process.off("SIGHUP", reload);
    await logging.flush();
  }
}

const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;

class StopSignals {
  readonly first: Promise<NodeJS.Signals>;
  readonly second: Promise<NodeJS.Signals>;
  readonly #listener: (signal: NodeJS.Signals) => void;

  constructor() {
    const first = Promise.withResolvers<NodeJS.Signals>();
    const second = Promise.withResolvers<NodeJS.Signals>();
    this.first = first.promise;
    this.second = second.promise;
    let isStopping = false;
    this.#listener = (signal) => {
      (isStopping ? second : first).resolve(signal);
      isStopping = true;
    };
    for (const signal of STOP_SIGNALS) process.on(signal, this.#listener);
  }

  release(): void {
    for (const signal of STOP_SIGNALS) process.off(signal, this.#listener);
  }
}

/** For programs: one JSON line. */
function readyLine(addresses: ServiceAddresses): string {
  return `${JSON.stringify({ event: "ready", ...addresses })}\n`;
}

/** For people. */
function readyPage({ proxy, tls, http, dns, api, admin, ca }: ServiceAddresses, config: Config): string {
  const rows: (readonly [string, string | undefined])[] = [
    ["Proxy", proxy],
    ["TLS", tls],
    ["HTTP", http],
    ["DNS", dns],
    ["Secret API", api],
    ["Console", api?.replace(/\/api$/, "/")],
    ["Admin", admin],
    ["CA", ca],
    ["Data", config.dataDir],
  ];
  const lines = rows.flatMap(([name, value]) => (value === undefined ? [] : [`  ${name.padEnd(12)}${value}`]));
  return [
    `keyswap ${readVersion()} is ready`,
    "",
    ...lines,
    "",
    "  In another terminal:",
    "    keyswap secret create OPENAI --host api.openai.com --value-stdin",
    "    keyswap run --secret OPENAI_API_KEY=OPENAI -- your-command",
    "",
    "  Ctrl-C ends it.",
    "",
    "",
  ].join("\n");
}
