// The proxy with all it stands on: grants from a Secret API, the dialler, the CA's leaves and the audit log.

import { readFileSync } from "node:fs";
import { type Config, variableName } from "../config/settings.ts";
import { CidrSet } from "../core/authority/ip.ts";
import { Dialler } from "../proxy/dial.ts";
import { NameResolver } from "../proxy/dns.ts";
import { defaultProxyLimits, type ProxyOptions } from "../proxy/options.ts";
import { ProxyServer } from "../proxy/server.ts";
import { SecretApiClient } from "../secrets/client.ts";
import { GrantCache } from "../secrets/grant-cache.ts";
import type { Readiness } from "../telemetry/admin-server.ts";
import { type AuditLog, openAuditLog } from "../telemetry/audit-log.ts";
import type { Logger } from "../telemetry/logger.ts";
import { CertificateAuthority } from "../tls/authority.ts";
import { LeafCache } from "../tls/leaf-cache.ts";
import { formatAddress, parseAddress } from "./address.ts";
import type { Assembly } from "./service.ts";
import { startStep } from "./start-failure.ts";

export interface ProxyPartOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly ca: CertificateAuthority;
  /** With `/api`. */
  readonly apiUrl: string;
  readonly proxyKey: string;
}

export interface ProxyPart {
  /** `host:port` it listens on. */
  readonly address: string;
  readonly readiness: () => Promise<Readiness>;
}

const clock = Date.now;
const MAX_LEAVES = 10_000;

/** Makes the CA where there is none. Throws CliError. */
export function openCertificateAuthority({ certsDir }: Config): Promise<CertificateAuthority> {
  return startStep(`the CA in ${certsDir}`, variableName("certsDir"), () => CertificateAuthority.open(certsDir, clock));
}

/** Resolves when the proxy listens. Throws CliError; what it opened is in the assembly's stack. */
export async function openProxyPart(assembly: Assembly, options: ProxyPartOptions): Promise<ProxyPart> {
  const { config, logger, ca, apiUrl, proxyKey } = options;
  const { stack, drain, listening } = assembly;
  const client = await startStep("the Secret API's client", variableName("secretApiUrl"), () => {
    return new SecretApiClient({ url: apiUrl, key: proxyKey });
  });
  stack.defer(() => client.close());
  const { cacheTtlMs, maxStaleMs } = config;
  const grantsLogger = logger.child({});
  const grants = new GrantCache({ client, cacheTtlMs, maxStaleMs, clock, logger: grantsLogger });
  stack.defer(() => {
    // A fetch that is cut off because we end is no failure to tell of.
    grantsLogger.level = "silent";
    return grants.close();
  });
  grants.start();
  const audit = await openAudit(config, logger);
  stack.defer(() => audit.close());
  const dialler = await startStep("the upstream CA", variableName("upstreamCa"), () => {
    const extraRoots = config.upstreamCa === undefined ? [] : [readFileSync(config.upstreamCa, "utf8")];
    const ownListeners = () => listening.map(({ host, port }) => ({ address: host, port }));
    const allowPrivate = new CidrSet(config.allowPrivate);
    return new Dialler({ resolver: new NameResolver({ clock }), allowPrivate, ownListeners, extraRoots });
  });
  const leaves = new LeafCache(ca, { maxLeaves: MAX_LEAVES, clock });
  const server = new ProxyServer({ options: proxyOptions(config), grants, leaves, dialler, audit, logger, clock });
  let isDraining = false;
  stack.defer(() => {
    isDraining = true;
    return server.close(drain.graceMs);
  });
  const where = `the proxy port ${formatAddress(config.proxyListen)}`;
  const { proxy } = await startStep(where, variableName("proxyListen"), () => server.listen());
  listening.push(parseAddress(proxy));
  const readiness = async (): Promise<Readiness> => {
    if (isDraining) return { ready: false, reason: "draining" };
    const { apiFailure } = grants.state;
    if (apiFailure !== undefined) return { ready: false, reason: `the Secret API does not answer: ${apiFailure}` };
    if (config.sandboxId === undefined) return { ready: true };
    const answer = await grants.get(config.sandboxId);
    if (answer.kind === "grants") return { ready: true };
    return { ready: false, reason: answer.kind === "unavailable" ? answer.detail : "the fixed sandbox is not known" };
  };
  return { address: proxy, readiness };
}

function proxyOptions(config: Config): ProxyOptions {
  const { sandboxId, sandboxToken } = config;
  const token = sandboxToken === undefined ? {} : { token: sandboxToken.reveal().toString("utf8") };
  return {
    listen: config.proxyListen,
    ...(sandboxId === undefined ? {} : { fixedSandbox: { id: sandboxId, ...token } }),
    intercept: config.intercept,
    tunnelHosts: config.tunnelHosts,
    plainHttpHosts: config.plainHttpHosts,
    egress: { allow: config.egressAllow, deny: config.egressDeny },
    defaults: { locations: config.surfaces, onViolation: config.onViolation },
    bufferBytes: config.bufferBytes,
    note: config.note,
    limits: defaultProxyLimits,
  };
}

function openAudit({ audit: target }: Config, logger: Logger): Promise<AuditLog> {
  const report = (message: string, error?: unknown) => logger.error(error === undefined ? {} : { err: error }, message);
  const where = target.kind === "file" ? `the audit log ${target.path}` : "the audit log";
  return startStep(where, variableName("audit"), () => openAuditLog({ target, clock, report }));
}
