// An HTTP proxy's connection: requests in absolute-form are exchanges, CONNECT opens a way (opening.ts).

import type { Socket } from "node:net";
import { type AuthorityResult, parseAuthority } from "../core/authority/authority.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { RequestHead } from "../core/message.ts";
import type { Connections } from "./connections.ts";
import { endWithAnswer } from "./farewell.ts";
import { Http1Client, type Http1ClientOwner, type Routing } from "./http1-client.ts";
import { identify } from "./identify.ts";
import { Opening, type Voice } from "./opening.ts";
import { Route } from "./route.ts";
import type { Services } from "./services.ts";

export class ProxyPort implements Http1ClientOwner {
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #socket: Socket;
  readonly #address: string;

  /** `address`: the client's, of which a load balancer may have told. */
  constructor(services: Services, connections: Connections, socket: Socket, address: string) {
    this.#services = services;
    this.#connections = connections;
    this.#socket = socket;
    this.#address = address;
    connections.addClient(new Http1Client(services, socket, this));
  }

  route(head: RequestHead): Routing {
    const isConnect = head.method === "CONNECT";
    const split = isConnect ? undefined : splitAbsolute(head.target);
    // Who takes the proxy for a web server is told so, not asked for a password.
    if (!isConnect && split === undefined) return { kind: "refuse", code: "bad-target" };
    const caller = identify(head, this.#services, this.#address);
    if (typeof caller === "string") return { kind: "refuse", code: caller };
    if (split === undefined) {
      const parsed = parseConnectTarget(head.target);
      if (parsed.kind === "invalid") return { kind: "refuse", code: "host-invalid", detail: parsed.detail };
      return {
        kind: "takeover",
        take: (socket, rest) => {
          const { authority } = parsed;
          new Opening(this.#services, this.#connections, { socket, rest, caller, way: "connect", authority, voice });
        },
      };
    }
    const parsed = parseAuthority(split.authority, split.scheme);
    if (parsed.kind === "invalid") return { kind: "refuse", code: "host-invalid", detail: parsed.detail };
    this.#services.newcomers.settle(this.#socket);
    const route = new Route(caller.sandboxId, "absolute", parsed.authority, caller.token, caller.address);
    return { kind: "exchange", route, target: split.target };
  }

  onRefused(code: ErrorCode, detail: string | undefined): void {
    this.#connections.recordRefusal("absolute", undefined, undefined, code, detail);
  }

  onClosed(client: Http1Client): void {
    this.#connections.deleteClient(client);
  }
}

/** CONNECT's target has a port (RFC 9110 section 9.3.6). */
function parseConnectTarget(target: string): AuthorityResult {
  if (!/:\d+$/.test(target)) return { kind: "invalid", detail: "CONNECT needs host:port" };
  return parseAuthority(target, "https");
}

const ABSOLUTE = /^(https?):\/\/([^/?]*)([/?].*)?$/i;

function splitAbsolute(target: string): { scheme: "http" | "https"; authority: string; target: string } | undefined {
  const match = ABSOLUTE.exec(target);
  if (match === null) return undefined;
  const [, scheme = "", authority = "", rest = "/"] = match;
  return {
    scheme: scheme.toLowerCase() === "https" ? "https" : "http",
    authority,
    target: rest.startsWith("?") ? `/${rest}` : rest,
  };
}

const voice: Voice = {
  confirm(socket) {
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n", "latin1");
  },
  refuse(socket, code, detail) {
    endWithAnswer(socket, code, detail);
  },
};
