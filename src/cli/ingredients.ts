// What a proxy is made of that a reload replaces as a whole: rules, the way to destinations, certificates.

import { hash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import { type Config, variableName } from "../config/settings.ts";
import { CidrSet } from "../core/authority/ip.ts";
import { KeyswapError } from "../core/errors.ts";
import { Dialler } from "../proxy/dial.ts";
import { NameResolver } from "../proxy/dns.ts";
import { defaultProxyLimits, type ProxyLimits, type ProxyOptions } from "../proxy/options.ts";
import { ParentProxy } from "../proxy/parent-proxy.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { CertificateAuthority } from "../tls/authority.ts";
import { CliError } from "./cli-error.ts";
import type { Assembly } from "./service.ts";
import { startStep } from "./start-failure.ts";

export interface Ingredients {
  readonly config: Config;
  readonly options: ProxyOptions;
  readonly dialler: Dials;
  /** Differs where destinations are reached otherwise: what was dialled by another must not be used again. */
  readonly dialling: string;
  readonly proxyCertificate: SecureContext | undefined;
  readonly ca: CertificateAuthority;
}

export interface IngredientParts {
  readonly ca: CertificateAuthority;
  readonly listening: Assembly["listening"];
  readonly metrics: Metrics | undefined;
}

type Dials = Pick<Dialler, "connectTls" | "connectTcp">;

const clock = Date.now;

/** Throws CliError. */
export async function makeIngredients(
  config: Config,
  { ca, listening, metrics }: IngredientParts,
): Promise<Ingredients> {
  const parent = await startStep("the parent proxy", variableName("upstreamProxy"), () => parentProxy(config));
  const proxyCertificate = await startStep("the proxy's certificate", variableName("proxyCert"), () =>
    readCertificate(config),
  );
  const extraRoots = await startStep("the upstream CA", variableName("upstreamCa"), () =>
    config.upstreamCa === undefined ? [] : [readFileSync(config.upstreamCa, "utf8")],
  );
  const dialler = await startStep("the upstream CA", variableName("upstreamCa"), () => {
    const ownListeners = () => listening.map(({ host, port }) => ({ address: host, port }));
    const allowPrivate = new CidrSet(config.allowPrivate);
    const { dnsServers } = config;
    const named = dnsServers.length === 0 ? {} : { servers: dnsServers, useSystem: false };
    const resolver = new NameResolver({ clock, ...named });
    return new Dialler({ resolver, allowPrivate, ownListeners, extraRoots, parent });
  });
  return {
    config,
    options: proxyOptions(config),
    dialler: metrics === undefined ? dialler : timed(dialler, metrics),
    dialling: describeDialling(config, extraRoots),
    proxyCertificate,
    ca,
  };
}

/** The CA as its files are now. Never makes one: a CA that is missing in the middle of a run is a fault. */
export async function reopenCertificateAuthority({
  certificatePath,
}: CertificateAuthority): Promise<CertificateAuthority> {
  if (!existsSync(certificatePath)) throw new CliError(2, `${certificatePath} is missing`);
  const folder = dirname(certificatePath);
  return startStep(`the CA in ${folder}`, variableName("certsDir"), () => CertificateAuthority.open(folder, clock));
}

/** Equal where every setting of dialling is, and the files behind them. */
function describeDialling(config: Config, extraRoots: readonly string[]): string {
  const { upstreamProxy, upstreamNoProxy, allowPrivate, dnsServers } = config;
  const parent = upstreamProxy === undefined ? "" : hash("sha256", upstreamProxy.reveal(), "hex");
  const parts = [extraRoots, parent, upstreamNoProxy, allowPrivate, dnsServers];
  return JSON.stringify(parts, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}

function timed(dialler: Dials, metrics: Metrics): Dials {
  const time = async <T>(dial: Promise<T>): Promise<T> => {
    const began = performance.now();
    const tell = (outcome: string) => metrics.dialled((performance.now() - began) / 1000, outcome);
    try {
      const socket = await dial;
      tell("ok");
      return socket;
    } catch (error) {
      tell(error instanceof KeyswapError ? error.code : "internal");
      throw error;
    }
  };
  return {
    connectTls: (...dial) => time(dialler.connectTls(...dial)),
    connectTcp: (...dial) => time(dialler.connectTcp(...dial)),
  };
}

function parentProxy({ upstreamProxy, upstreamNoProxy }: Config): ParentProxy | undefined {
  if (upstreamProxy === undefined) return undefined;
  return new ParentProxy(upstreamProxy, {
    hosts: upstreamNoProxy.flatMap((rule) => (rule.kind === "host" ? [rule.pattern] : [])),
    cidrs: upstreamNoProxy.flatMap((rule) => (rule.kind === "cidr" ? [rule.cidr] : [])),
  });
}

/** Throws where the files hold no certificate and its key. */
function readCertificate({ proxyCert, proxyCertKey }: Config): SecureContext | undefined {
  if (proxyCert === undefined || proxyCertKey === undefined) return undefined;
  const [cert, key] = [readFileSync(proxyCert), readFileSync(proxyCertKey)];
  return createSecureContext({ cert, key, minVersion: "TLSv1.2" });
}

function proxyOptions(config: Config): ProxyOptions {
  const { sandboxId, sandboxToken } = config;
  const token = sandboxToken === undefined ? {} : { token: sandboxToken.reveal().toString("utf8") };
  return {
    listen: config.proxyListen,
    tlsListen: config.tlsListen,
    httpListen: config.httpListen,
    proxyProtocolFrom: config.proxyProtocolFrom,
    rawHosts: config.rawHosts,
    ...(sandboxId === undefined ? {} : { fixedSandbox: { id: sandboxId, ...token } }),
    intercept: config.intercept,
    tunnelHosts: config.tunnelHosts,
    plainHttpHosts: config.plainHttpHosts,
    egress: { allow: config.egressAllow, deny: config.egressDeny },
    defaults: { locations: config.surfaces, onViolation: config.onViolation },
    bufferBytes: config.bufferBytes,
    note: config.note,
    limits: limitsOf(config),
  };
}

/** The bounds that can be set; the others stay as they are. */
function limitsOf(config: Config): ProxyLimits {
  const { maxHeadBytes, maxFields, maxConnections, maxSandboxConnections, maxNewcomers, maxFailedLogins } = config;
  const { maxMints, maxHeldBytes, headTimeoutMs, bodyTimeoutMs, stallTimeoutMs, idleTimeoutMs, answerTimeoutMs } =
    config;
  return {
    ...defaultProxyLimits,
    message: { maxHeadBytes, maxFields },
    ...{ maxConnections, maxSandboxConnections, maxNewcomers, maxFailedLogins, maxMints, maxHeldBytes },
    ...{ headTimeoutMs, bodyTimeoutMs, stallTimeoutMs, idleTimeoutMs, answerTimeoutMs },
  };
}
