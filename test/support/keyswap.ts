// A whole keyswap in this process: the real Secret API over a SQLite store, the grant cache, a CA, the proxy, all on
// loopback. Names that look public resolve to 127.0.0.1 by a hosts file of its own.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SecureContext } from "node:tls";
import type { AuditEvent, ExchangeEvent } from "../../src/core/audit.ts";
import type { Authority } from "../../src/core/authority/authority.ts";
import { CidrSet, parseCidr } from "../../src/core/authority/ip.ts";
import { type HostPattern, parseHostPattern } from "../../src/core/authority/pattern.ts";
import { type EgressPattern, parseEgressPattern } from "../../src/core/authority/policy.ts";
import type { Location } from "../../src/core/grants.ts";
import { parseLocation } from "../../src/core/location.ts";
import { Dialler, type DiallerOptions } from "../../src/proxy/dial.ts";
import { NameResolver } from "../../src/proxy/dns.ts";
import { defaultProxyLimits, type Logger, type ProxyLimits, type ProxyOptions } from "../../src/proxy/options.ts";
import { type ProxyAddresses, ProxyServer } from "../../src/proxy/server.ts";
import { SecretApiClient } from "../../src/secrets/client.ts";
import { GrantCache } from "../../src/secrets/grant-cache.ts";
import { CertificateAuthority } from "../../src/tls/authority.ts";
import { LeafCache } from "../../src/tls/leaf-cache.ts";
import { makePki, type Pki } from "./pki.ts";
import { startSecretApi, type TestApi } from "./secret-api.ts";
import { waitUntil } from "./wait.ts";

export interface KeyswapSetup {
  /** Beside those of `knownNames`. */
  readonly names?: readonly string[];
  readonly options?: Partial<Omit<ProxyOptions, "limits" | "tunnelHosts" | "plainHttpHosts">>;
  readonly limits?: Partial<ProxyLimits>;
  readonly tunnelHosts?: readonly string[];
  readonly plainHttpHosts?: readonly string[];
  /** CIDRs; loopback by default. */
  readonly allowPrivate?: readonly string[];
  /** Whether the proxy listens to the API's changes; it does by default. */
  readonly isPushed?: boolean;
  readonly cacheTtlMs?: number;
  /** Upstream's ports by those that clients mean: transparent ways know only 443 and 80. */
  readonly upstreamPorts?: Readonly<Record<number, number>>;
  /** What the proxy's deadlines go by. */
  readonly clock?: () => number;
  /** Where the dialler goes through a parent proxy. */
  readonly parent?: DiallerOptions["parent"];
  readonly proxyCertificate?: SecureContext;
  /** That of the origins; one of its own by default. */
  readonly pki?: Pki;
}

export interface MadeSecret {
  readonly id: string;
  readonly name: string;
  readonly placeholder: string;
  readonly value: string;
}

export interface MadeSandbox {
  readonly id: string;
  readonly token: string;
  /** What `Proxy-Authorization` has to say. */
  readonly credentials: string;
  readonly proxyUrl: string;
}

/** These resolve to 127.0.0.1. */
export const knownNames = [
  "api.good.test",
  "other.good.test",
  "evil.test",
  "plain.test",
  "tunnelled.test",
  "denied.test",
  "rare.test",
] as const;

export class TestKeyswap {
  readonly port: number;
  /** Of all its ports. */
  readonly addresses: ProxyAddresses;
  readonly caPem: string;
  readonly caPath: string;
  readonly pki: Pki;
  readonly api: TestApi;
  readonly proxy: ProxyServer;
  readonly grants: GrantCache;
  readonly leaves: LeafCache;
  readonly audit: AuditEvent[];
  /** What was logged at level error: a crash in an exchange would be here. */
  readonly errors: string[];
  readonly #close: () => Promise<void>;
  #secrets = 0;

  constructor(
    parts: Pick<
      TestKeyswap,
      "port" | "caPem" | "caPath" | "pki" | "api" | "proxy" | "grants" | "leaves" | "audit" | "addresses"
    > & {
      readonly errors: string[];
    },
    close: () => Promise<void>,
  ) {
    this.port = parts.port;
    this.addresses = parts.addresses;
    this.caPem = parts.caPem;
    this.caPath = parts.caPath;
    this.pki = parts.pki;
    this.api = parts.api;
    this.proxy = parts.proxy;
    this.grants = parts.grants;
    this.leaves = parts.leaves;
    this.audit = parts.audit;
    this.errors = parts.errors;
    this.#close = close;
  }

  async secret(
    value: string,
    hosts: readonly string[],
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<MadeSecret> {
    this.#secrets += 1;
    const name = `SECRET_${this.#secrets}`;
    const answer = await this.#call("POST", "/secret", { name, value, hosts, ...more });
    return { id: answer.id, name: answer.name, placeholder: answer.placeholder, value };
  }

  /** With these secrets mounted, each under its own name. */
  async sandbox(secrets: readonly MadeSecret[], more: Readonly<Record<string, unknown>> = {}): Promise<MadeSandbox> {
    const answer = await this.#call("POST", "/sandbox", { secrets: mountsOf(secrets), ...more });
    const url = new URL(answer.egress.proxyUrl);
    const token = decodeURIComponent(url.password);
    const credentials = `Basic ${Buffer.from(`${answer.id}:${token}`).toString("base64")}`;
    return { id: answer.id, token, credentials, proxyUrl: answer.egress.proxyUrl };
  }

  async mount(sandbox: MadeSandbox, secrets: readonly MadeSecret[]): Promise<void> {
    await this.#call("PUT", `/sandbox/${sandbox.id}/secrets`, { secrets: mountsOf(secrets) });
  }

  async rotate(secret: MadeSecret, value: string): Promise<void> {
    await this.update(secret, { value });
  }

  async update(secret: MadeSecret, patch: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#call("PATCH", `/secret/${secret.id}`, patch);
  }

  async deleteSecret(secret: MadeSecret): Promise<void> {
    await this.#call("DELETE", `/secret/${secret.id}`);
  }

  async deleteSandbox(sandbox: MadeSandbox): Promise<void> {
    await this.#call("DELETE", `/sandbox/${sandbox.id}`);
  }

  /** Resolves once the proxy has heard of everything that was written. */
  async heard(): Promise<void> {
    const version = String(await this.api.store.changes.version());
    await waitUntil(() => {
      const { state } = this.grants;
      if (state.stream !== "live" || state.version !== version) throw new Error("not heard yet");
    });
  }

  /** The exchanges of a sandbox, once there are so many. */
  async exchanges(sandbox: MadeSandbox, count = 1): Promise<readonly ExchangeEvent[]> {
    return waitUntil(() => {
      const found = this.audit.filter((event) => event.type === "exchange" && event.sandbox === sandbox.id);
      if (found.length < count) throw new Error(`${found.length} exchanges`);
      return found as ExchangeEvent[]; // Narrowed by the filter above.
    });
  }

  /** Resolves once nothing is open any more but idle upstream connections. */
  async settled(): Promise<void> {
    await waitUntil(() => {
      const { sockets, clients, tunnels } = this.proxy.counts;
      if (sockets + clients + tunnels > 0) throw new Error(JSON.stringify(this.proxy.counts));
    });
  }

  close(): Promise<void> {
    return this.#close();
  }

  async #call(method: string, path: string, body?: unknown): Promise<TestAnswerBody> {
    const answer = await this.api.call(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  }
}

/** What the API answers with, as far as it is used here. */
interface TestAnswerBody {
  readonly id: string;
  readonly name: string;
  readonly placeholder: string;
  readonly egress: { readonly proxyUrl: string };
}

function mountsOf(secrets: readonly MadeSecret[]): readonly Readonly<Record<string, string>>[] {
  return secrets.map(({ name }) => ({ [name]: name }));
}

export async function startKeyswap(setup: KeyswapSetup = {}): Promise<TestKeyswap> {
  const clock = Date.now;
  const directory = await mkdtemp(join(tmpdir(), "keyswap-proxy-"));
  const hostsPath = join(directory, "hosts");
  await writeFile(hostsPath, `127.0.0.1 ${[...knownNames, ...(setup.names ?? [])].join(" ")}\n`);
  const ca = await CertificateAuthority.open(join(directory, "certs"), clock);
  let proxyUrl = "";
  const api = await startSecretApi({ proxyUrl: () => proxyUrl, caCertificate: () => ca.certificatePem });
  const client = new SecretApiClient({ url: api.url, key: api.proxyKey });
  const grants = new GrantCache({
    client,
    clock,
    ...(setup.cacheTtlMs === undefined ? {} : { cacheTtlMs: setup.cacheTtlMs }),
  });
  if (setup.isPushed !== false) grants.start();
  const pki = setup.pki ?? makePki();
  const dialler = new Dialler({
    // Nobody answers there: a name that the file does not have does not exist.
    resolver: new NameResolver({ clock, hostsPath, servers: ["127.0.0.1:1"], useSystem: false }),
    allowPrivate: new CidrSet((setup.allowPrivate ?? ["127.0.0.0/8"]).flatMap((text) => parseCidr(text) ?? [])),
    ownListeners: () => [{ address: "127.0.0.1", port: Number(new URL(proxyUrl).port) }],
    extraRoots: [pki.caPem],
    parent: setup.parent,
  });
  const moved = (authority: Authority): Authority => {
    return { ...authority, port: setup.upstreamPorts?.[authority.port] ?? authority.port };
  };
  const leaves = new LeafCache(ca, { maxLeaves: 100, clock });
  const audit: AuditEvent[] = [];
  const errors: string[] = [];
  const proxy = new ProxyServer({
    options: {
      listen: { host: "127.0.0.1", port: 0 },
      intercept: "granted",
      egress: { allow: [], deny: [] },
      defaults: { locations: ["header", "basic", "path", "query", "body"].map(location), onViolation: "pass" },
      bufferBytes: 1024 * 1024,
      note: false,
      ...setup.options,
      tunnelHosts: (setup.tunnelHosts ?? []).map(pattern),
      plainHttpHosts: (setup.plainHttpHosts ?? []).map(pattern),
      limits: { ...defaultProxyLimits, ...setup.limits },
    },
    grants,
    leaves,
    sources: grants,
    ...(setup.proxyCertificate === undefined ? {} : { proxyCertificate: setup.proxyCertificate }),
    dialler: {
      connectTls: (authority, ...rest) => dialler.connectTls(moved(authority), ...rest),
      connectTcp: (authority, ...rest) => dialler.connectTcp(moved(authority), ...rest),
    },
    audit: { record: (event) => audit.push(event) },
    logger: recordingLogger(errors),
    clock: setup.clock ?? clock,
  });
  const addresses = await proxy.listen();
  proxyUrl = `http://${addresses.proxy}`;
  const caPath = join(directory, "ca.pem");
  await writeFile(caPath, ca.certificatePem);
  const port = Number(new URL(proxyUrl).port);
  const parts = { port, addresses, caPem: ca.certificatePem, caPath, pki, api, proxy, grants, leaves, audit, errors };
  const keyswap = new TestKeyswap(parts, async () => {
    await proxy.close(0);
    await grants.close();
    await client.close();
    await api.close();
    await rm(directory, { recursive: true, force: true });
  });
  if (setup.isPushed !== false) await keyswap.heard();
  return keyswap;
}

export function pattern(text: string): HostPattern {
  const parsed = parseHostPattern(text);
  if (parsed.kind !== "pattern") throw new Error(parsed.detail);
  return parsed.pattern;
}

export function egressPattern(text: string): EgressPattern {
  const parsed = parseEgressPattern(text);
  if (parsed.kind !== "pattern") throw new Error(parsed.detail);
  return parsed.pattern;
}

function location(text: string): Location {
  const parsed = parseLocation(text);
  if (parsed.kind !== "location") throw new Error(parsed.detail);
  return parsed.location;
}

function recordingLogger(errors: string[]): Logger {
  return {
    info: () => {},
    debug: () => {},
    warn: () => {},
    error: (fields, message) => errors.push(`${message} ${JSON.stringify(fields)}`),
  };
}
