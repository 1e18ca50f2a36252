// The only wiring: which parts a service is made of, in which order they open and close.
//
//   start   lock ─► CA, keys ─► API (worker thread) ─► proxy-part.ts ─► admin ─► run.json
//   proxy           CA, key ──────────────────────────► proxy-part.ts ─► admin
//                   with --workers: workers.ts, a proxy-part.ts in each of its processes
//   api     lock ─► keys ─► API (api-service.ts) ──────────────────────► admin ─► run.json
//
// Invariants: parts close in reverse order, so the API outlives the proxy's drain and the audit is flushed after it;
// what fails to open closes what was opened before it; a start that fails changes nothing that was there.

import { existsSync } from "node:fs";
import { type Config, variableName } from "../config/settings.ts";
import type { AuditEvent } from "../core/audit.ts";
import { AdminServer, type Readiness } from "../telemetry/admin-server.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MetricsText } from "../telemetry/metrics.ts";
import { formatAddress, parseAddress, reachable } from "./address.ts";
import { apiOptionsFor, apiReloadFor } from "./api-options.ts";
import { CliError } from "./cli-error.ts";
import { DataFolder, type RunRecord } from "./data-folder.ts";
import { lockDataFolder, shareStore } from "./data-lock.ts";
import { makeMetrics } from "./make-metrics.ts";
import type { ProxyPart, ProxyPartOptions } from "./proxy-part.ts";
import { type Assembly, assembled, newAssembly, type Service } from "./service.ts";
import { startStep } from "./start-failure.ts";

const never = new Promise<never>(() => {});

export interface StartOptions {
  readonly shared: boolean;
  /** Told of each audit event, in a turn of its own. */
  readonly observe?: ((event: AuditEvent) => void) | undefined;
}

/**
 * The API and the proxy in one process. A `shared` one has the data folder for itself and is found there by other
 * commands; several that are not may stand beside each other.
 */
export async function composeStart(config: Config, logger: Logger, options: StartOptions): Promise<Service> {
  await using assembly = newAssembly();
  const folder = DataFolder.open(config.dataDir);
  assembly.stack.use(options.shared ? lockDataFolder(folder) : shareStore(folder));
  const { startApiThread } = await import("./api-thread.ts");
  const apiOptions = apiOptionsFor(config, folder);
  // The thread loads its parts while this one loads the proxy's.
  const starting = startApiThread({ service: apiOptions, logLevel: config.logLevel });
  starting.catch(() => {});
  assembly.stack.defer(async () => (await starting.catch(() => undefined))?.close());
  const { openCertificateAuthority } = await import("./proxy-part.ts");
  const ca = await openCertificateAuthority(config);
  const apiUrl = starting.then(({ url }) => {
    assembly.listening.push(parseAddress(new URL(url).host));
    return localUrl(url);
  });
  apiUrl.catch(() => {});
  const proxy = await openProxy(assembly, options.shared, {
    config,
    logger,
    ca,
    apiUrl,
    proxyKey: apiOptions.proxyKey,
    observe: options.observe,
  });
  const api = await starting;
  const proxyAddress = formatAddress(reachable(parseAddress(proxy.addresses.proxy)));
  api.setProxyUrl(config.proxyUrl ?? `http://${proxyAddress}`);
  const admin = await openAdmin(assembly, config, proxy.readiness, proxy.metrics);
  proxy.announce?.();
  if (options.shared) publish(assembly, folder, { pid: process.pid, api: localUrl(api.url), proxy: proxyAddress });
  const prepareReload = async (next: Config) => {
    const apply = await proxy.prepareReload(next);
    return () => {
      api.reload(apiReloadFor(next));
      return apply();
    };
  };
  const addresses = { ...proxy.addresses, api: api.url, ...admin, ca: ca.certificatePath };
  return assembled(assembly, addresses, api.failed, prepareReload);
}

/** The proxy alone, against a Secret API elsewhere. */
export async function composeProxy(config: Config, logger: Logger): Promise<Service> {
  // The rules of the configuration have asked for it.
  const apiUrl = config.secretApiUrl!;
  const proxyKey = config.proxyKey ?? DataFolder.open(config.dataDir).readKey("proxy-key");
  if (proxyKey === undefined) {
    throw new CliError(2, `${variableName("proxyKey")} is not set, and there is no proxy-key in ${config.dataDir}`, {
      hint: "It is the credential with which this proxy resolves values at the Secret API: give it the API's own.",
    });
  }
  await using assembly = newAssembly();
  const { openCertificateAuthority } = await import("./proxy-part.ts");
  const ca = await openCertificateAuthority(config);
  const key = proxyKey.reveal().toString("utf8");
  const proxy = await openProxy(assembly, true, { config, logger, ca, apiUrl, proxyKey: key });
  const admin = await openAdmin(assembly, config, proxy.readiness, proxy.metrics);
  proxy.announce?.();
  return assembled(assembly, { ...proxy.addresses, ...admin, ca: ca.certificatePath }, never, proxy.prepareReload);
}

/** The Secret API alone; it needs only the CA's certificate, and that not at once. */
export async function composeApi(config: Config, logger: Logger): Promise<Service> {
  await using assembly = newAssembly();
  const folder = DataFolder.open(config.dataDir);
  assembly.stack.use(lockDataFolder(folder));
  const { openApiService } = await import("./api-service.ts");
  const options = apiOptionsFor(config, folder);
  const api = await openApiService({ ...options, proxyUrl: options.proxyUrl ?? configuredProxyUrl(config) }, logger);
  assembly.stack.defer(() => api.close());
  const hasCa = existsSync(options.caPath);
  if (!hasCa)
    logger.warn({ path: options.caPath }, "there is no CA certificate yet: sandboxes are told none until it is there");
  const admin = await openAdmin(assembly, config, () => ({ ready: true }), await makeMetrics(config));
  publish(assembly, folder, { pid: process.pid, api: localUrl(api.url) });
  const prepareReload = async (next: Config) => () => {
    api.reload(apiReloadFor(next));
    return [];
  };
  const addresses = { api: api.url, ...admin, ...(hasCa ? { ca: options.caPath } : {}) };
  return assembled(assembly, addresses, never, prepareReload);
}

/** Where the proxy of this configuration would be reached, whether or not it runs. */
export function configuredProxyUrl(config: Config): string {
  return config.proxyUrl ?? `http://${formatAddress(reachable(config.proxyListen))}`;
}

async function openAdmin(
  assembly: Assembly,
  { adminListen }: Config,
  readiness: () => Readiness | Promise<Readiness>,
  metrics: MetricsText | undefined,
): Promise<{ readonly admin?: string }> {
  if (adminListen === undefined) return {};
  const where = `the admin port ${formatAddress(adminListen)}`;
  const open = () => AdminServer.listen({ ...adminListen, readiness, ...(metrics === undefined ? {} : { metrics }) });
  const admin = await startStep(where, variableName("adminListen"), open);
  assembly.stack.defer(() => admin.close());
  assembly.listening.push(admin.address);
  return { admin: formatAddress(admin.address) };
}

/** In this process, or in several of its own. */
async function openProxy(assembly: Assembly, isService: boolean, options: ProxyPartOptions): Promise<ProxyPart> {
  if (isService && options.config.workers > 1) {
    return (await import("./workers.ts")).openWorkers(assembly, { ...options, apiUrl: await options.apiUrl });
  }
  return (await import("./proxy-part.ts")).openProxyPart(assembly, options);
}

/** Lets other commands find this service. Withdrawn first of all when it closes. */
function publish(assembly: Assembly, folder: DataFolder, record: RunRecord): void {
  folder.writeRunRecord(record);
  assembly.stack.defer(() => folder.removeRunRecord());
}

/** An API's URL as this machine reaches it, also where it listens on all addresses. */
function localUrl(text: string): string {
  const url = new URL(text);
  const { host } = reachable(parseAddress(url.host));
  return text.replace(url.hostname, host.includes(":") ? `[${host}]` : host);
}
