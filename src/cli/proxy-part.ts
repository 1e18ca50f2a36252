// The proxy with all it stands on: grants from a Secret API, the dialler, the CA's leaves and the audit log.

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type Config, variableName } from "../config/settings.ts";
import type { AuditEvent } from "../core/audit.ts";
import type { AuditSink } from "../core/ports.ts";
import { type ProxyAddresses, ProxyServer } from "../proxy/server.ts";
import { SecretApiClient } from "../secrets/client.ts";
import { GrantCache } from "../secrets/grant-cache.ts";
import { Heartbeat } from "../secrets/heartbeat.ts";
import { steadyClock } from "../secrets/timers.ts";
import type { Readiness } from "../telemetry/admin-server.ts";
import { AuditLog, openAuditLog } from "../telemetry/audit-log.ts";
import { AuditForwarder } from "../telemetry/audit-relay.ts";
import { EventReporter } from "../telemetry/event-reporter.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics, MetricsText } from "../telemetry/metrics.ts";
import { isTracingWanted, openTracing } from "../telemetry/tracing.ts";
import { CertificateAuthority, dayMs, expiryWarning } from "../tls/authority.ts";
import { LeafCache } from "../tls/leaf-cache.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { makeIngredients, reopenCertificateAuthority } from "./ingredients.ts";
import { makeMetrics } from "./make-metrics.ts";
import { judgeReadiness, lastHeardAt } from "./readiness.ts";
import { readSecretApiCa } from "./secret-api-ca.ts";
import type { Assembly, PrepareReload } from "./service.ts";
import { startStep } from "./start-failure.ts";
import { readVersion } from "./version.ts";

export interface ProxyPartOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly ca: CertificateAuthority;
  /** With `/api`. A promise: what does not need it is opened meanwhile. */
  readonly apiUrl: string | Promise<string>;
  readonly proxyKey: string;
  /** Of several proxies on one machine. */
  readonly name?: string;
  /** Where audit batches go if this process does not write them itself. */
  readonly forwardAudit?: (bytes: Buffer) => Promise<void>;
  readonly observe?: ((event: AuditEvent) => void) | undefined;
}

export interface ProxyPart {
  /** `host:port` of each port. */
  readonly addresses: ProxyAddresses & { readonly dns?: string };
  readonly readiness: () => Promise<Readiness>;
  /** Makes all that a new configuration needs; throws CliError where that fails. What it answers puts it into force. */
  readonly prepareReload: PrepareReload;
  /** Undefined where nobody can scrape. */
  readonly metrics: MetricsText | undefined;
  /** To be called when further listeners have joined the assembly's. */
  readonly announce?: () => void;
}

const clock = Date.now;
/** At some 50 KB each; one that is made anew costs a third of the connection that wants it. */
const MAX_LEAVES = 1_000;

/** Makes the CA where there is none. Throws CliError. */
export function openCertificateAuthority({ certsDir }: Config): Promise<CertificateAuthority> {
  return startStep(`the CA in ${certsDir}`, variableName("certsDir"), () => CertificateAuthority.open(certsDir, clock));
}

/** One that runs in this process. */
export interface LocalProxyPart extends ProxyPart {
  readonly metrics: Metrics | undefined;
}

/** Resolves when the proxy listens. Throws CliError; what it opened is in the assembly's stack. */
export async function openProxyPart(assembly: Assembly, options: ProxyPartOptions): Promise<LocalProxyPart> {
  const { config, logger, ca, proxyKey } = options;
  /** By which the Secret API knows this proxy, in heartbeats and in reports of traffic. */
  const id = randomUUID();
  const metrics = await makeMetrics(config);
  const { stack, drain, listening } = assembly;
  const audit = await openAudit(options);
  stack.defer(() => audit.close());
  let ingredients = await makeIngredients(config, { ca, listening, metrics });
  const leaves = new LeafCache(ca, { maxLeaves: MAX_LEAVES, clock, onMinted: (seconds) => metrics?.minted(seconds) });
  const url = await options.apiUrl;
  const client = await startStep("the Secret API's client", variableName("secretApiUrl"), () => {
    const extraCa = readSecretApiCa(config);
    return new SecretApiClient({ url, key: proxyKey, ...(extraCa === undefined ? {} : { extraCa }) });
  });
  stack.defer(() => client.close());
  const { cacheTtlMs, maxStaleMs } = config;
  const grantsLogger = logger.child({});
  const grants = new GrantCache({ client, cacheTtlMs, maxStaleMs, clock: steadyClock, logger: grantsLogger });
  stack.defer(() => {
    // A fetch that is cut off because we end is no failure to tell of.
    grantsLogger.level = "silent";
    return grants.close();
  });
  grants.start();
  const reported = config.report ? reportedToo(assembly, audit, { id, client, logger }) : audit;
  const sink = await tracedToo(assembly, reported);
  const server = new ProxyServer({
    options: ingredients.options,
    grants,
    sources: grants,
    leaves,
    dialler: {
      connectTls: (...dial) => ingredients.dialler.connectTls(...dial),
      connectTcp: (...dial) => ingredients.dialler.connectTcp(...dial),
    },
    audit: observed(metrics?.counted(sink) ?? sink, options.observe),
    logger,
    clock: steadyClock,
    ...(ingredients.proxyCertificate === undefined ? {} : { proxyCertificate: ingredients.proxyCertificate }),
  });
  const heartbeat = new Heartbeat({
    client,
    cache: grants,
    id,
    name: options.name === undefined ? hostname() : `${hostname()}/${options.name}`,
    caFingerprint: () => ingredients.ca.fingerprint,
    connections: (max) => server.connectionCounts(max),
    clock: steadyClock,
  });
  stack.defer(() => heartbeat.close());
  metrics?.watch({
    connections: () => server.counts,
    pool: () => server.poolCounts,
    grants: () => {
      const { hits, misses, sandboxes, stream, apiFailure } = grants.state;
      const heardAt = lastHeardAt({ grants, heartbeat });
      const unheardMs = heardAt === undefined ? undefined : Math.max(0, steadyClock() - heardAt);
      return { hits, misses, sandboxes, isLive: stream === "live", isFailing: apiFailure !== undefined, unheardMs };
    },
    leaves: () => leaves.size,
    caNotAfter: () => ingredients.ca.notAfter,
    auditDropped: () => audit.dropped,
  });
  const warnOfExpiry = (): void => {
    const warning = expiryWarning(ingredients.ca, clock());
    if (warning !== undefined) logger.warn({ ca: ingredients.ca.certificatePath }, warning);
  };
  warnOfExpiry();
  const daily = setInterval(warnOfExpiry, dayMs).unref();
  stack.defer(() => clearInterval(daily));
  let isDraining = false;
  stack.defer(() => {
    isDraining = true;
    return server.close(drain.graceMs);
  });
  const addresses = await listen(server, config);
  for (const address of Object.values(addresses)) listening.push(parseAddress(address));
  const dns = await openDns(assembly, config, logger);
  const readiness = async (): Promise<Readiness> => {
    if (isDraining) return { ready: false, reason: "draining" };
    const { sandboxId } = config;
    const caFingerprint = () => ingredients.ca.fingerprint;
    const staleMs = () => ingredients.config.maxStaleMs;
    const timing = { maxStaleMs: staleMs, clock: steadyClock };
    const judged = await judgeReadiness({ grants, heartbeat, caFingerprint, sandboxId, ...timing });
    const warning = expiryWarning(ingredients.ca, clock());
    return warning === undefined ? judged : { ...judged, warning };
  };
  const prepareReload = async (next: Config): Promise<() => readonly string[]> => {
    const renewed = await makeIngredients(next, { ca: await reopenCertificateAuthority(ca), listening, metrics });
    return () => {
      const former = ingredients;
      ingredients = renewed;
      const isNewCa = renewed.ca.fingerprint !== former.ca.fingerprint;
      if (isNewCa) leaves.replaceAuthority(renewed.ca);
      grants.tune(next);
      server.reconfigure(renewed.options, renewed.proxyCertificate, renewed.dialling !== former.dialling);
      return isNewCa ? ["the CA"] : [];
    };
  };
  return { addresses: { ...addresses, ...dns }, readiness, prepareReload, metrics };
}

function listen(server: ProxyServer, config: Config): Promise<ProxyAddresses> {
  const ports = { proxyListen: "proxy", tlsListen: "transparent TLS", httpListen: "transparent HTTP" } as const;
  return server.listen().catch((error: unknown) => {
    // Node says which one it was.
    const port = error instanceof Error && "port" in error ? error.port : undefined;
    const failed = (["tlsListen", "httpListen"] as const).find((key) => config[key]?.port === port) ?? "proxyListen";
    const address = config[failed] ?? config.proxyListen;
    const subject = `the ${ports[failed]} port ${formatAddress(address)}`;
    return startStep(subject, variableName(failed), () => Promise.reject(error));
  });
}

async function openDns(assembly: Assembly, config: Config, logger: Logger): Promise<{ readonly dns?: string }> {
  const { dnsListen, dnsAnswer } = config;
  if (dnsListen === undefined) return {};
  const { DnsListener } = await import("../proxy/dns-listener.ts");
  // The rules of the configuration have seen to it that there is one.
  const addresses = dnsAnswer.length > 0 ? dnsAnswer : [dnsListen.host];
  const where = `the DNS port ${formatAddress(dnsListen)}`;
  const open = () => DnsListener.open({ listen: dnsListen, addresses, logger });
  const listener = await startStep(where, variableName("dnsListen"), open);
  assembly.stack.defer(() => listener.close());
  assembly.listening.push(parseAddress(listener.address));
  return { dns: listener.address };
}

/** By the standard OTEL_ variables; without them nothing is loaded. */
async function tracedToo({ stack }: Assembly, audit: AuditSink): Promise<AuditSink> {
  if (!isTracingWanted(process.env)) return audit;
  const tracing = await openTracing(readVersion());
  stack.defer(() => tracing.close());
  return tracing.traced(audit);
}

/** An observer may throw: it does so in a turn of its own, as a listener of any event would. */
function observed(audit: AuditSink, observe: ProxyPartOptions["observe"]): AuditSink {
  if (observe === undefined) return audit;
  return {
    record(event) {
      audit.record(event);
      queueMicrotask(() => observe(event));
    },
  };
}

interface Reporting {
  /** The proxy's. */
  readonly id: string;
  readonly client: SecretApiClient;
  readonly logger: Logger;
}

/** Events go to the audit log, and besides to the Secret API, for its console. */
function reportedToo({ stack }: Assembly, audit: AuditLog, { id, client, logger }: Reporting): AuditSink {
  const reporter = new EventReporter({
    proxy: id,
    send: (report) => client.reportTraffic(report),
    log: (message) => logger.info(message),
  });
  stack.defer(() => reporter.close());
  return {
    record: (event) => {
      audit.record(event);
      reporter.record(event);
    },
  };
}

function openAudit({ config: { audit: target }, logger, forwardAudit }: ProxyPartOptions): Promise<AuditLog> {
  const report = (message: string, error?: unknown) => logger.error(error === undefined ? {} : { err: error }, message);
  if (forwardAudit !== undefined && target.kind !== "off") {
    return Promise.resolve(new AuditLog(new AuditForwarder(forwardAudit), { clock, report }));
  }
  const where = target.kind === "file" ? `the audit log ${target.path}` : "the audit log";
  return startStep(where, variableName("audit"), () => openAuditLog({ target, clock, report }));
}
