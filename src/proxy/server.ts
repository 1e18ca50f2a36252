// The proxy: listens, hands every connection to its way, drains and closes.
//
// Nouns: a Connection comes in on a way (ProxyPort); Interception opens it up or Tunnel relays it; Http1Client reads
// requests and runs an Exchange for each; UpstreamPool lends it an UpstreamStream. Invariants: whoever is not an
// authenticated sandbox gets nothing; every socket has an error listener before anything else; one audit event each.

import { createServer, type Server, type Socket } from "node:net";
import { Connections } from "./connections.ts";
import type { ProxyParts } from "./options.ts";
import { ProxyPort } from "./proxy-port.ts";
import { Services } from "./services.ts";

const bulkBytes = 256 * 1024;
const drainPollMs = 50;

export class ProxyServer {
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #unsubscribe: () => void;
  #address = "";

  constructor(parts: ProxyParts) {
    this.#services = new Services(parts);
    this.#connections = new Connections(this.#services);
    this.#server = createServer({ noDelay: true, allowHalfOpen: true, highWaterMark: bulkBytes }, (socket) =>
      this.#accept(socket),
    );
    this.#server.maxConnections = parts.options.limits.maxConnections;
    this.#unsubscribe = parts.grants.onChange((id, answer) => this.#connections.onGrantsChange(id, answer));
  }

  /** Resolves when connections are taken; rejects with Node's listen error (EADDRINUSE, EACCES). */
  listen(): Promise<{ readonly proxy: string }> {
    const { host, port } = this.#services.options.listen;
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly proxy: string }>();
    this.#server.once("error", reject);
    this.#server.listen({ host, port }, () => {
      this.#server.off("error", reject);
      this.#server.on("error", (error) => this.#services.logger.error({ err: error.message }, "listener failed"));
      const address = this.#server.address();
      if (address === null || typeof address === "string") throw new Error("no address");
      const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
      this.#address = `${name}:${address.port}`;
      resolve({ proxy: this.#address });
    });
    return promise;
  }

  /** `host:port` once listening. */
  get address(): string {
    return this.#address;
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

  /** Takes no more connections, lets what runs end for `graceMs`, then closes the rest. */
  async close(graceMs: number): Promise<void> {
    this.#services.draining = true;
    this.#unsubscribe();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
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

  #accept(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    new ProxyPort(this.#services, this.#connections, socket);
  }
}
