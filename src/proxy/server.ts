// The proxy: listens, hands every connection to its way, drains and closes.
//
// Nouns: a connection comes in at a port (Front tells ProxyPort, SocksPort and HttpsPort apart; takeRedirected), an Opening
// decides where it goes, Interception opens it up or Tunnel relays it; Http1Client reads requests and runs an Exchange
// for each; UpstreamPool lends it an UpstreamStream. Invariants: whoever is not an authenticated sandbox gets nothing;
// every socket has an error listener before anything else; one audit event each.

import { createServer, type Server, type Socket } from "node:net";
import type { SecureContext } from "node:tls";
import { CidrSet, parseIp } from "../core/authority/ip.ts";
import type { ConnectionCounts } from "../core/ports.ts";
import { BalancerGate } from "./balancer-gate.ts";
import { Connections } from "./connections.ts";
import { Front } from "./front.ts";
import { HttpsPort } from "./https-port.ts";
import type { ListenAddress, ProxyOptions, ProxyParts } from "./options.ts";
import { Services } from "./services.ts";
import { takeRedirected } from "./transparent-port.ts";
import type { UpstreamPool } from "./upstream-pool.ts";

const bulkBytes = 256 * 1024;
const drainPollMs = 50;
/** A machine that went away without a word would hold its tunnels and quiet streams for ever. */
const keepAlive = { keepAlive: true, keepAliveInitialDelay: 60_000 };

/** `host:port` of each port that is open. */
export interface ProxyAddresses {
  readonly proxy: string;
  /** Transparent ports. */
  readonly tls?: string;
  readonly http?: string;
}

type PortKind = keyof ProxyAddresses;

export class ProxyServer {
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #https: HttpsPort;
  #balancers = new CidrSet([]);
  #hasBalancers = false;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #unsubscribe: () => void;
  #address = "";

  constructor(parts: ProxyParts) {
    this.#services = new Services(parts);
    this.#connections = new Connections(this.#services);
    this.#https = new HttpsPort(this.#services, this.#connections);
    this.#trustBalancers(parts.options);
    this.#unsubscribe = parts.grants.onChange((id, answer) => {
      this.#services.grantsChanged();
      this.#connections.onGrantsChange(id, answer);
    });
  }

  /** Resolves when connections are taken; rejects with Node's listen error (EADDRINUSE, EACCES); close it then. */
  async listen(): Promise<ProxyAddresses> {
    const { listen, tlsListen, httpListen } = this.#services.options;
    this.#address = await this.#open("proxy", listen);
    return {
      proxy: this.#address,
      ...(tlsListen === undefined ? {} : { tls: await this.#open("tls", tlsListen) }),
      ...(httpListen === undefined ? {} : { http: await this.#open("http", httpListen) }),
    };
  }

  /** `host:port` of the proxy port once listening. */
  get address(): string {
    return this.#address;
  }

  /**
   * New options (but for addresses and limits) and a new certificate, in force for the next decision on every connection.
   * Running exchanges go on; tunnels that would not be opened now end when they are idle. With `redial`, how destinations are
   * reached has changed: no request uses a connection that was dialled before.
   */
  reconfigure(options: ProxyOptions, proxyCertificate: SecureContext | undefined, redial: boolean): void {
    this.#services.options = options;
    this.#services.proxyCertificate = proxyCertificate;
    this.#trustBalancers(options);
    if (redial) this.#services.pool.renew();
    this.#connections.onReconfigured();
  }

  /** What is open; for metrics and tests. */
  get counts(): {
    readonly sockets: number;
    readonly clients: number;
    readonly tunnels: number;
    readonly upstream: number;
  } {
    return { sockets: this.#sockets.size, ...this.#connections.counts, upstream: this.#services.pool.size };
  }

  /**
   * What sandboxes have open now: at most `max` of them are listed, the busiest. On the proxy port, where each plain request names
   * its sandbox, one counts while it runs.
   */
  connectionCounts(max: number): ConnectionCounts {
    return this.#services.occupancy.counts(max);
  }

  /** Of connections to destinations; for metrics. */
  get poolCounts(): UpstreamPool["counts"] {
    return this.#services.pool.counts;
  }

  /** Takes no more connections, lets what runs end for `graceMs`, then closes the rest. */
  async close(graceMs: number): Promise<void> {
    this.#services.draining = true;
    this.#unsubscribe();
    const closed = Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
    this.#connections.drain();
    for (let waited = 0; waited < graceMs && !this.#connections.empty; waited += drainPollMs) {
      await new Promise((resolve) => setTimeout(resolve, drainPollMs));
    }
    this.#connections.destroy();
    for (const socket of [...this.#sockets]) socket.destroy();
    this.#services.pool.close();
    this.#services.deadlines.close();
    await closed;
  }

  #open(kind: PortKind, { host, port }: ListenAddress): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const options = { noDelay: true, allowHalfOpen: true, highWaterMark: bulkBytes, ...keepAlive };
    const server = createServer(options, (socket) => this.#accept(kind, socket));
    server.maxConnections = this.#services.options.limits.maxConnections;
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      server.on("error", (error) => this.#services.logger.error({ err: error.message }, "listener failed"));
      this.#servers.push(server);
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("no address");
      const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
      resolve(`${name}:${address.port}`);
    });
    return promise;
  }

  #trustBalancers({ proxyProtocolFrom = [] }: ProxyOptions): void {
    this.#balancers = new CidrSet(proxyProtocolFrom);
    this.#hasBalancers = proxyProtocolFrom.length > 0;
  }

  #accept(kind: PortKind, socket: Socket): void {
    socket.on("error", () => socket.destroy());
    this.#sockets.add(socket);
    this.#services.newcomers.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    const peer = socket.remoteAddress ?? "";
    if (!this.#hasBalancers || !this.#isBalancer(peer)) {
      this.#take(kind, socket, peer);
      return;
    }
    new BalancerGate(
      this.#services,
      socket,
      (source) => this.#take(kind, socket, source ?? peer),
      (detail) => this.#connections.recordRefusal(wayOf[kind], undefined, undefined, "bad-request", detail),
    );
  }

  #take(kind: PortKind, socket: Socket, source: string): void {
    if (kind === "proxy") new Front(this.#services, this.#connections, socket, source, this.#https);
    else takeRedirected(this.#services, this.#connections, socket, kind, source);
  }

  #isBalancer(peer: string): boolean {
    const ip = parseIp(peer);
    return ip !== undefined && this.#balancers.has(ip);
  }
}

/** For refusals, before a connection has said what it is. */
const wayOf = { proxy: "connect", tls: "tls", http: "http" } as const;
