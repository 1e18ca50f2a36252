// The inside of an intercepted connection: TLS is terminated with a minted leaf, plain HTTP is taken as it is, and every
// request goes to the one authority that was decided on.

import type { Socket } from "node:net";
import { type SecureContext, TLSSocket, type TLSSocketOptions } from "node:tls";
import type { ErrorCode } from "../core/errors.ts";
import type { RequestHead } from "../core/message.ts";
import { internalErrorAlert } from "../core/wire/client-hello.ts";
import type { Connections } from "./connections.ts";
import type { Hello } from "./first-bytes.ts";
import { Http1Client, type Http1ClientOwner, type Routing } from "./http1-client.ts";
import { Http2Client } from "./http2-client.ts";
import type { Route } from "./route.ts";
import type { Services } from "./services.ts";

const bulkBytes = 256 * 1024;

export class Interception implements Http1ClientOwner {
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #socket: Socket;
  readonly #route: Route;

  /** Takes the socket over, which is paused. */
  constructor(services: Services, connections: Connections, socket: Socket, route: Route) {
    this.#services = services;
    this.#connections = connections;
    this.#socket = socket;
    this.#route = route;
  }

  /** The client speaks TLS, and its ClientHello names the route's authority or none. `seen` is what it sent. */
  terminate(seen: Buffer, hello: Hello): void {
    const { leaves } = this.#services.parts;
    const { sandboxId, authority } = this.#route;
    try {
      const cached = leaves.cached(authority.host);
      if (cached === undefined && !this.#services.minting.take(sandboxId)) {
        this.onRefused("sandbox-overloaded", "certificates");
        this.#socket.end(internalErrorAlert);
        this.#socket.destroySoon();
        return;
      }
      this.#terminate(seen, hello, cached ?? leaves.contextFor(authority.host));
    } catch (error) {
      // An expired CA, for one: its message says what to do.
      this.#services.logger.error({ err: error instanceof Error ? error.message : "unknown" }, "minting failed");
      this.onRefused("internal", undefined);
      this.#socket.destroy();
    }
  }

  /** The client speaks HTTP without TLS. */
  takePlain(seen: Buffer): void {
    if (this.#socket.destroyed) return;
    this.#socket.unshift(seen);
    this.#connections.addClient(new Http1Client(this.#services, this.#socket, this));
  }

  route(head: RequestHead): Routing {
    if (head.method === "CONNECT") {
      return { kind: "refuse", code: "bad-request", detail: "CONNECT inside an intercepted connection" };
    }
    if (!head.target.startsWith("/") && head.target !== "*")
      return { kind: "refuse", code: "bad-request", detail: "target" };
    return { kind: "exchange", route: this.#route, target: head.target };
  }

  onRefused(code: ErrorCode, detail: string | undefined): void {
    const { way, sandboxId, authority } = this.#route;
    this.#connections.recordRefusal(way, sandboxId, authority, code, detail);
  }

  onClosed(client: Http1Client | Http2Client): void {
    this.#connections.deleteClient(client);
  }

  #terminate(seen: Buffer, hello: Hello, secureContext: SecureContext): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.unshift(seen);
    // Our order counts: a client that offers h2 gets it.
    const isHttp2 = hello.alpn.includes("h2");
    const secure = new TLSSocket(socket, {
      isServer: true,
      secureContext,
      ALPNProtocols: isHttp2 ? ["h2"] : ["http/1.1"],
      // An HTTP/2 client that ends its side has nothing more to hear.
      allowHalfOpen: !isHttp2,
      highWaterMark: bulkBytes,
    } as TLSSocketOptions);
    secure.on("error", () => secure.destroy());
    // A failed TLS record after the handshake is only told by this event unless a tls.Server owns the socket.
    secure.on("_tlsError", () => secure.destroy());
    this.#connections.addClient(
      isHttp2
        ? new Http2Client(this.#services, secure, this.#route, this)
        : new Http1Client(this.#services, secure, this),
    );
  }
}
