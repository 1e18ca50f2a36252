// Plain HTTP on a connection that names no host: each request's Host field does, and is resolved by us.

import type { Socket } from "node:net";
import type { Way } from "../core/audit.ts";
import { type Authority, parseAuthority } from "../core/authority/authority.ts";
import { isIpLiteral } from "../core/authority/host.ts";
import type { ErrorCode } from "../core/errors.ts";
import { findField, type RequestHead } from "../core/message.ts";
import type { Connections } from "./connections.ts";
import { Http1Client, type Http1ClientOwner, type Routing } from "./http1-client.ts";
import type { Caller } from "./identify.ts";
import { Route } from "./route.ts";
import type { Services } from "./services.ts";

export class HostRouting implements Http1ClientOwner {
  readonly #connections: Connections;
  readonly #caller: Caller;
  readonly #way: Way;
  readonly #asked: Authority | undefined;
  #host: string | undefined;
  #route: Route | undefined;

  /** Takes the socket over. `asked`: the address that the client wanted to be connected with; undefined on a transparent port. */
  constructor(
    services: Services,
    connections: Connections,
    socket: Socket,
    caller: Caller,
    way: Way,
    asked: Authority | undefined,
  ) {
    this.#connections = connections;
    this.#caller = caller;
    this.#way = way;
    this.#asked = asked;
    connections.addClient(new Http1Client(services, socket, this));
  }

  route(head: RequestHead): Routing {
    if (!head.target.startsWith("/") && head.target !== "*") {
      return { kind: "refuse", code: "bad-request", detail: "target" };
    }
    const host = findField(head.fields, "host")?.value;
    if (host === undefined) return { kind: "refuse", code: "bad-request", detail: "no Host field" };
    // A connection's requests mostly say the same.
    if (host !== this.#host || this.#route === undefined) {
      const parsed = parseAuthority(host, "http", this.#asked?.port);
      if (parsed.kind === "invalid") return { kind: "refuse", code: "host-invalid", detail: parsed.detail };
      const { authority } = parsed;
      if (!this.#mayName(authority)) return { kind: "refuse", code: "authority-mismatch" };
      this.#host = host;
      this.#route = new Route(this.#caller.sandboxId, this.#way, authority, this.#caller.token, this.#caller.address);
    }
    return { kind: "exchange", route: this.#route, target: head.target };
  }

  /** Whoever asked for an address and port may name its host, not another address or port. */
  #mayName({ host, port }: Authority): boolean {
    const asked = this.#asked;
    return asked === undefined || (port === asked.port && (host === asked.host || !isIpLiteral(host)));
  }

  onRefused(code: ErrorCode, detail: string | undefined): void {
    this.#connections.recordRefusal(this.#way, this.#caller.sandboxId, this.#asked, code, detail);
  }

  onClosed(client: Http1Client): void {
    this.#connections.deleteClient(client);
  }
}
