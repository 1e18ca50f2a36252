// A connection on the proxy port: requests in absolute-form are exchanges, CONNECT opens the way for what comes next.
//
//   CONNECT → identify → authority → policy → 200 → first bytes → intercept (TLS, HTTP) or tunnel

import type { Socket } from "node:net";
import { type Authority, type AuthorityResult, parseAuthority } from "../core/authority/authority.ts";
import { isIpLiteral } from "../core/authority/host.ts";
import { decideIntercept } from "../core/authority/policy.ts";
import { type ErrorCode, KeyswapError } from "../core/errors.ts";
import type { RequestHead } from "../core/message.ts";
import type { GrantsAnswer } from "../core/ports.ts";
import { writeResponseHead } from "../core/wire/writer.ts";
import { errorAnswer } from "./answer.ts";
import type { Connections } from "./connections.ts";
import { Http1Client, type Http1ClientOwner, type Routing } from "./http1-client.ts";
import { readCredentials, tokenMatches } from "./identify.ts";
import { Interception } from "./interception.ts";
import { Route } from "./route.ts";
import type { CompiledGrants, Services } from "./services.ts";
import { Tunnel } from "./tunnel.ts";

/** Who is calling, before the token was checked. */
interface Caller {
  readonly sandboxId: string;
  /** Undefined where none has to be shown. */
  readonly token: string | undefined;
}

export class ProxyPort implements Http1ClientOwner {
  readonly #services: Services;
  readonly #connections: Connections;

  constructor(services: Services, connections: Connections, socket: Socket) {
    this.#services = services;
    this.#connections = connections;
    connections.addClient(new Http1Client(services, socket, this));
  }

  route(head: RequestHead): Routing {
    const isConnect = head.method === "CONNECT";
    const split = isConnect ? undefined : splitAbsolute(head.target);
    // Who takes the proxy for a web server is told so, not asked for a password.
    if (!isConnect && split === undefined) return { kind: "refuse", code: "bad-target" };
    const caller = identify(head, this.#services);
    if (caller === undefined) return { kind: "refuse", code: "proxy-auth-required" };
    if (split === undefined) {
      const parsed = parseConnectTarget(head.target);
      if (parsed.kind === "invalid") return { kind: "refuse", code: "host-invalid", detail: parsed.detail };
      return {
        kind: "takeover",
        take: (socket, rest) => {
          void this.#connect(socket, rest, caller, parsed.authority).catch((error: unknown) => {
            this.#services.logger.error({ err: messageOf(error) }, "CONNECT failed");
            socket.destroy();
          });
        },
      };
    }
    const parsed = parseAuthority(split.authority, split.scheme);
    if (parsed.kind === "invalid") return { kind: "refuse", code: "host-invalid", detail: parsed.detail };
    const route = new Route(caller.sandboxId, "absolute", parsed.authority, caller.token);
    return { kind: "exchange", route, target: split.target };
  }

  onRefused(code: ErrorCode, detail: string | undefined): void {
    this.#connections.recordRefusal("absolute", undefined, undefined, code, detail);
  }

  onClosed(client: Http1Client): void {
    this.#connections.deleteClient(client);
  }

  async #connect(socket: Socket, rest: Buffer | undefined, caller: Caller, authority: Authority): Promise<void> {
    const services = this.#services;
    const refuse = (code: ErrorCode, detail?: string): void => {
      this.#connections.recordRefusal("connect", caller.sandboxId, authority, code, detail);
      answerAndClose(socket, code, detail);
    };
    let answer: GrantsAnswer = await services.parts.grants.get(caller.sandboxId);
    const known = check(answer, caller);
    if (typeof known === "string") return refuse(known, detailOf(answer));
    if (socket.destroyed) return;
    const compiled = services.compile(known.grants);
    if (compiled.egress.decide(authority).kind === "denied") return refuse("egress-denied");

    // An address says nothing about the host: the name in the ClientHello will (clients that resolve names themselves).
    if (isIpLiteral(authority.host) || this.#intercepts(compiled, authority)) {
      confirm(socket);
      this.#intercept(socket, rest, caller.sandboxId, authority);
      return;
    }
    // A tunnel is blind for as long as it lasts: the grants must be current.
    answer = await services.parts.grants.getCurrent(caller.sandboxId);
    const current = check(answer, caller);
    if (typeof current === "string") return refuse(current, detailOf(answer));
    if (socket.destroyed) return;
    if (this.#intercepts(services.compile(current.grants), authority)) {
      confirm(socket);
      this.#intercept(socket, rest, caller.sandboxId, authority);
      return;
    }
    await this.#tunnel(socket, rest, caller.sandboxId, authority, refuse);
  }

  #intercepts(compiled: CompiledGrants, authority: Authority): boolean {
    return (
      decideIntercept({
        granted: compiled.index.forHost(authority.host).granted,
        mode: this.#services.options.intercept,
        tunnelListed: this.#services.isTunnelListed(authority),
        blocks: compiled.index.onViolation === "block",
      }).kind === "intercept"
    );
  }

  #intercept(socket: Socket, rest: Buffer | undefined, sandboxId: string, authority: Authority): void {
    new Interception(this.#services, this.#connections, socket, rest, new Route(sandboxId, "connect", authority));
  }

  async #tunnel(
    socket: Socket,
    rest: Buffer | undefined,
    sandboxId: string,
    authority: Authority,
    refuse: (code: ErrorCode, detail?: string) => void,
  ): Promise<void> {
    const abandoned = new AbortController();
    const onClose = (): void => abandoned.abort();
    socket.once("close", onClose);
    try {
      const upstream = await this.#services.parts.dialler.connectTcp(authority, sandboxId, abandoned.signal);
      socket.off("close", onClose);
      if (socket.destroyed) {
        upstream.destroy();
        return;
      }
      confirm(socket);
      const reason = this.#services.isTunnelListed(authority) ? "tunnel-listed" : "host-not-granted";
      const route = { sandboxId, way: "connect" as const, authority, reason } as const;
      this.#connections.addTunnel(
        new Tunnel(this.#services, route, socket, upstream, rest, (tunnel) => this.#connections.deleteTunnel(tunnel)),
      );
    } catch (error) {
      socket.off("close", onClose);
      if (!(error instanceof KeyswapError)) throw error;
      if (!socket.destroyed) refuse(error.code, error.detail);
    }
  }
}

/** Whose request this is; undefined where it must say so and does not. */
function identify(head: RequestHead, services: Services): Caller | undefined {
  const fixed = services.options.fixedSandbox;
  if (fixed !== undefined && fixed.token === undefined) return { sandboxId: fixed.id, token: undefined };
  const credentials = readCredentials(head.fields);
  if (credentials === undefined) return undefined;
  if (fixed === undefined) return { sandboxId: credentials.sandboxId, token: credentials.token };
  if (credentials.sandboxId !== fixed.id || !tokenMatches(credentials.token, services.fixedTokenHash)) return undefined;
  return { sandboxId: fixed.id, token: undefined };
}

/** The grants, or why there are none for this caller. A wrong token and an unknown sandbox look the same. */
function check(answer: GrantsAnswer, caller: Caller): Extract<GrantsAnswer, { kind: "grants" }> | ErrorCode {
  switch (answer.kind) {
    case "grants":
      if (caller.token !== undefined && !tokenMatches(caller.token, answer.grants.tokenHash))
        return "proxy-auth-required";
      return answer;
    case "unknown-sandbox":
      return "proxy-auth-required";
    case "unavailable":
      return "grants-unavailable";
    default:
      return answer satisfies never;
  }
}

function detailOf(answer: GrantsAnswer): string | undefined {
  return answer.kind === "unavailable" ? answer.detail : undefined;
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

function confirm(socket: Socket): void {
  socket.write("HTTP/1.1 200 Connection established\r\n\r\n", "latin1");
}

function answerAndClose(socket: Socket, code: ErrorCode, detail: string | undefined): void {
  const { head, body } = errorAnswer(code, detail);
  socket.write(writeResponseHead(head, body.length, true), "latin1");
  socket.end(body);
  socket.resume();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "unknown";
}
