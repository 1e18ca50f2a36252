// The inside of an opened way: the first bytes decide. TLS is terminated with a minted leaf, plain HTTP is taken as it
// is, anything else is refused.

import type { Socket } from "node:net";
import { type SecureContext, TLSSocket, type TLSSocketOptions } from "node:tls";
import { isIpLiteral, parseWireHost } from "../core/authority/host.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { RequestHead } from "../core/message.ts";
import { parseClientHello, startsLikeTls, unrecognizedNameAlert } from "../core/wire/client-hello.ts";
import type { Connections } from "./connections.ts";
import type { Timed } from "./deadlines.ts";
import { Http1Client, type Http1ClientOwner, type Routing } from "./http1-client.ts";
import type { Route } from "./route.ts";
import type { Services } from "./services.ts";

/** No HTTP method of any registry is longer; more bytes without a blank are not HTTP. */
const maxMethodBytes = 32;
const bulkBytes = 256 * 1024;

export class Interception implements Http1ClientOwner, Timed {
  deadlineAt: number;
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #socket: Socket;
  #route: Route;
  #seen: Buffer | undefined;
  readonly #onData = (bytes: Buffer): void => this.#look(bytes);
  readonly #onClose = (): void => this.#services.deadlines.delete(this);

  /** Takes the socket over; `rest` is what the client sent already. */
  constructor(services: Services, connections: Connections, socket: Socket, rest: Buffer | undefined, route: Route) {
    this.#services = services;
    this.#connections = connections;
    this.#socket = socket;
    this.#route = route;
    this.deadlineAt = services.clock() + services.options.limits.headTimeoutMs;
    services.deadlines.add(this);
    socket.on("close", this.#onClose);
    socket.on("end", () => socket.end());
    socket.on("data", this.#onData);
    if (rest !== undefined) this.#look(rest);
    socket.resume();
  }

  onDeadline(): void {
    this.#socket.destroy();
  }

  // ---- the requests inside

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

  onClosed(client: Http1Client): void {
    this.#connections.deleteClient(client);
  }

  // ---- the first bytes

  #look(bytes: Buffer): void {
    const seen = this.#seen === undefined ? bytes : Buffer.concat([this.#seen, bytes]);
    this.#seen = seen;
    if (startsLikeTls(seen)) {
      const hello = parseClientHello(seen);
      if (hello.kind === "incomplete") return;
      if (hello.kind !== "hello") {
        this.#refuse("not-http", hello.kind === "malformed" ? hello.detail : undefined);
        return;
      }
      this.#onHello(seen, hello.serverName);
      return;
    }
    const text = seen.toString("latin1", 0, maxMethodBytes);
    if (/^(\r\n)*[!#$%&'*+\-.^_`|~0-9A-Za-z]+ /.test(text)) this.#onPlainHttp(seen);
    else if (!/^(\r\n)*[!#$%&'*+\-.^_`|~0-9A-Za-z]*$/.test(text) || seen.length > maxMethodBytes)
      this.#refuse("not-http");
  }

  #onHello(seen: Buffer, serverName: string | undefined): void {
    const { authority } = this.#route;
    if (serverName !== undefined) {
      const parsed = parseWireHost(serverName);
      const named = parsed.kind === "host" ? parsed.host : undefined;
      if (named !== undefined && isIpLiteral(authority.host) && !isIpLiteral(named)) {
        // The client resolved the name itself: the name counts, and is resolved by us (design: one authority).
        this.#route = this.#route.to({ ...authority, host: named });
      } else if (named !== authority.host) {
        this.#socket.end(unrecognizedNameAlert);
        this.#stopLooking();
        this.onRefused("authority-mismatch", "SNI");
        return;
      }
    }
    this.#stopLooking();
    try {
      this.#terminate(seen, this.#services.parts.leaves.contextFor(this.#route.authority.host));
    } catch (error) {
      // An expired CA, for one: its message says what to do.
      this.#services.logger.error({ err: error instanceof Error ? error.message : "unknown" }, "minting failed");
      this.#refuse("internal");
    }
  }

  #terminate(seen: Buffer, secureContext: SecureContext): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.unshift(seen);
    const secure = new TLSSocket(socket, {
      isServer: true,
      secureContext,
      ALPNProtocols: ["http/1.1"],
      allowHalfOpen: true,
      highWaterMark: bulkBytes,
    } as TLSSocketOptions);
    secure.on("error", () => secure.destroy());
    // A failed TLS record after the handshake is only told by this event unless a tls.Server owns the socket.
    secure.on("_tlsError", () => secure.destroy());
    this.#connections.addClient(new Http1Client(this.#services, secure, this));
  }

  #onPlainHttp(seen: Buffer): void {
    this.#stopLooking();
    const { authority } = this.#route;
    this.#route = this.#route.to({ ...authority, scheme: "http" });
    this.#socket.unshift(seen);
    this.#connections.addClient(new Http1Client(this.#services, this.#socket, this));
  }

  #refuse(code: ErrorCode, detail?: string): void {
    this.#stopLooking();
    this.onRefused(code, detail);
    this.#socket.destroy();
  }

  #stopLooking(): void {
    this.#seen = undefined;
    this.#socket.off("data", this.#onData);
    this.#socket.off("close", this.#onClose);
    this.#services.deadlines.delete(this);
    this.#socket.pause();
  }
}
