// A way is opened: the one decision that all ways in share.
//
//   caller → authority → policy → intercept, tunnel or refuse
//
// Where the client names a host (CONNECT, SOCKS), the decision comes first and its first bytes only say how it is carried
// out. Where it names an address, because it resolved the name itself, or nothing at all (a transparent port), the
// ClientHello names the host, and what was asked for counts no more. Invariants: only a name that was parsed is dialled,
// resolved by us; a tunnel is blind for as long as it lasts, so it is decided on current grants; nothing is minted for a
// host that was not decided on.

import type { Socket } from "node:net";
import type { TunnelEvent, Way } from "../core/audit.ts";
import type { Authority } from "../core/authority/authority.ts";
import { type Host, isIpLiteral, parseWireHost } from "../core/authority/host.ts";
import { decideIntercept } from "../core/authority/policy.ts";
import { type ErrorCode, KeyswapError } from "../core/errors.ts";
import type { GrantsAnswer } from "../core/ports.ts";
import { accessDeniedAlert, unrecognizedNameAlert } from "../core/wire/client-hello.ts";
import type { Connections } from "./connections.ts";
import { endWith } from "./farewell.ts";
import { type FirstBytes, FirstBytesReader } from "./first-bytes.ts";
import { HostRouting } from "./host-routing.ts";
import { admit, type Caller } from "./identify.ts";
import { Interception } from "./interception.ts";
import { Route } from "./route.ts";
import type { CompiledGrants, Services } from "./services.ts";
import { SilentClient } from "./silent-client.ts";
import { Tunnel } from "./tunnel.ts";

/** How a way answers its client, once. */
export interface Voice {
  confirm(socket: Socket): void;
  /** Ends the connection. */
  refuse(socket: Socket, code: ErrorCode, detail?: string): void;
}

export interface OpeningRequest {
  readonly socket: Socket;
  /** What the client sent already beyond its request. */
  readonly rest: Buffer | undefined;
  readonly caller: Caller;
  readonly way: Way;
  /** Undefined where the ClientHello has to name it; the port is then TLS's own. */
  readonly authority: Authority | undefined;
  /** Undefined where nobody waits for an answer. */
  readonly voice: Voice | undefined;
}

type TunnelReason = TunnelEvent["reason"];

const tlsPort = 443;

export class Opening {
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #socket: Socket;
  readonly #caller: Caller;
  readonly #way: Way;
  #authority: Authority | undefined;
  /** As long as the client waits for an answer. */
  #voice: Voice | undefined;
  /** Read and not yet passed on. */
  #seen: Buffer | undefined;
  /** Once the client has kept silent for a while. */
  #silent: SilentClient | undefined;
  /** The first bytes are a ClientHello: refusals are alerts. */
  #isTls = false;
  #placed = false;

  /** Takes the socket over. */
  constructor(services: Services, connections: Connections, request: OpeningRequest) {
    this.#services = services;
    this.#connections = connections;
    this.#socket = request.socket;
    this.#caller = request.caller;
    this.#way = request.way;
    this.#authority = request.authority;
    this.#voice = request.voice;
    this.#seen = request.rest;
    void this.#guarded(this.#open());
  }

  async #guarded(step: Promise<void>): Promise<void> {
    try {
      await step;
    } catch (error) {
      this.#services.logger.error({ err: error instanceof Error ? error.message : "unknown" }, "opening a way failed");
      this.#socket.destroy();
    }
  }

  async #open(): Promise<void> {
    const authority = this.#authority;
    if (authority === undefined || isIpLiteral(authority.host)) {
      // An address says nothing about the host: nothing but the caller can be judged yet.
      if ((await this.#compiled("get")) === undefined) return;
      this.#confirm();
      this.#read(authority, (first) => this.#onUndecided(first));
      return;
    }
    const decision = await this.#decide(authority);
    if (decision === undefined) return;
    if (decision.kind === "tunnel") {
      await this.#tunnel(authority, decision.reason);
      return;
    }
    this.#confirm();
    const mayBeOther = !decision.granted || this.#services.isRawListed(authority);
    this.#read(mayBeOther ? authority : undefined, (first) => this.#onIntercepted(first, authority));
  }

  /** `other`: where the client goes if it speaks neither TLS nor HTTP, and may. */
  #read(other: Authority | undefined, then: (first: FirstBytes) => void): void {
    const rest = this.#seen;
    this.#seen = undefined;
    if (other === undefined) {
      new FirstBytesReader(this.#services, this.#socket, rest, then);
      return;
    }
    const reader = new FirstBytesReader(
      this.#services,
      this.#socket,
      rest,
      (first) => {
        const silent = this.#silent;
        if (silent === undefined) then(first);
        else if (first.kind === "other") silent.speak(first.seen);
        else {
          // It was merely slow.
          silent.abandon();
          then(first);
        }
      },
      () => void this.#guarded(this.#onSilence(other, reader)),
    );
  }

  // ---- first bytes

  /** To a host that is to be intercepted. */
  #onIntercepted(first: FirstBytes, authority: Authority): void {
    switch (first.kind) {
      case "tls":
        this.#isTls = true;
        if (first.hello.serverName !== undefined && hostOf(first.hello.serverName) !== authority.host) {
          this.#refuse("authority-mismatch", "SNI");
          return;
        }
        this.#interception(authority).terminate(first.seen, first.hello);
        break;
      case "http":
        this.#interception({ ...authority, scheme: "http" }).takePlain(first.seen);
        break;
      case "other":
        void this.#guarded(this.#relayRaw(authority, first.seen));
        break;
      case "malformed":
        this.#refuse("not-http", first.detail);
        break;
      default:
        first satisfies never;
    }
  }

  /** To an address, or to what the ClientHello says. */
  #onUndecided(first: FirstBytes): void {
    const asked = this.#authority;
    switch (first.kind) {
      case "tls": {
        this.#isTls = true;
        const authority = nameOf(first.hello.serverName, asked);
        if (authority === undefined) {
          this.#refuse("authority-mismatch", first.hello.serverName === undefined ? "no SNI" : "SNI");
          return;
        }
        this.#authority = authority;
        void this.#guarded(this.#settle(authority, first));
        break;
      }
      case "http":
        if (asked === undefined) {
          this.#refuse("not-http", "no TLS");
          return;
        }
        this.#socket.unshift(first.seen);
        new HostRouting(this.#services, this.#connections, this.#socket, this.#caller, this.#way, asked);
        break;
      case "other":
        if (asked === undefined) this.#refuse("not-http", "no TLS");
        else void this.#guarded(this.#relayRaw(asked, first.seen));
        break;
      case "malformed":
        this.#refuse("not-http", first.detail);
        break;
      default:
        first satisfies never;
    }
  }

  async #settle(authority: Authority, first: Extract<FirstBytes, { kind: "tls" }>): Promise<void> {
    const decision = await this.#decide(authority);
    if (decision === undefined) return;
    if (decision.kind === "intercept") {
      this.#interception(authority).terminate(first.seen, first.hello);
      return;
    }
    this.#seen = first.seen;
    await this.#tunnel(authority, decision.reason);
  }

  // ---- what is neither TLS nor HTTP

  async #relayRaw(authority: Authority, seen: Buffer): Promise<void> {
    const compiled = await this.#compiled("getCurrent");
    if (compiled === undefined) return;
    const judged = this.#judgeRaw(compiled, authority);
    if (judged.kind === "refused") {
      this.#refuse(judged.code);
      return;
    }
    this.#seen = seen;
    await this.#tunnel(authority, judged.reason);
  }

  /** The client may wait for the server to speak: dials ahead, and relays if the server does. */
  async #onSilence(authority: Authority, reader: FirstBytesReader): Promise<void> {
    const silent = new SilentClient();
    this.#silent = silent;
    const compiled = await this.#compiled("getCurrent");
    if (compiled === undefined || silent.isAbandoned) return;
    const judged = this.#judgeRaw(compiled, authority);
    if (judged.kind === "refused") {
      // What it says, once it does, may still be allowed.
      this.#silent = undefined;
      if (silent.spoken !== undefined) this.#refuse(judged.code);
      return;
    }
    const upstream = await this.#dial(authority, silent.signal);
    if (upstream === undefined) return;
    const relay = (seen: Buffer | undefined): void => {
      upstream.off("close", onClose);
      upstream.off("readable", onServerFirst);
      this.#seen = seen;
      this.#relay(authority, upstream, judged.reason);
    };
    const onServerFirst = (): void => {
      if (!silent.isAbandoned && !reader.looksLikeTls) relay(reader.stop());
    };
    const onClose = (): void => {
      if (!silent.isAbandoned) this.#socket.destroy();
    };
    upstream.once("close", onClose);
    silent.onAbandoned(() => upstream.destroy());
    if (silent.spoken !== undefined) {
      relay(silent.spoken);
      return;
    }
    silent.onSpoken(relay);
    upstream.on("readable", onServerFirst);
  }

  /** On a granted host a value could hide in it, so that takes the operator's word. */
  #judgeRaw(
    compiled: CompiledGrants,
    authority: Authority,
  ):
    | { readonly kind: "tunnel"; readonly reason: TunnelReason }
    | { readonly kind: "refused"; readonly code: ErrorCode } {
    if (compiled.egress.decide(authority).kind === "denied") return { kind: "refused", code: "egress-denied" };
    if (this.#services.isTunnelListed(authority)) return { kind: "tunnel", reason: "tunnel-listed" };
    const { granted } = compiled.index.forHost(authority.host);
    const mayPass = !granted || this.#services.isRawListed(authority);
    return mayPass ? { kind: "tunnel", reason: "not-http" } : { kind: "refused", code: "not-http" };
  }

  // ---- deciding

  /** What the grants say; undefined where it was refused. */
  async #decide(
    authority: Authority,
  ): Promise<
    | { readonly kind: "intercept"; readonly granted: boolean }
    | { readonly kind: "tunnel"; readonly reason: TunnelReason }
    | undefined
  > {
    const cached = await this.#judge("get", authority);
    return cached?.kind === "tunnel" ? this.#judge("getCurrent", authority) : cached;
  }

  async #judge(read: "get" | "getCurrent", authority: Authority) {
    const compiled = await this.#compiled(read);
    if (compiled === undefined) return undefined;
    if (compiled.egress.decide(authority).kind === "denied") {
      this.#refuse("egress-denied");
      return undefined;
    }
    const { granted } = compiled.index.forHost(authority.host);
    const decision = decideIntercept({
      granted,
      mode: this.#services.options.intercept,
      tunnelListed: this.#services.isTunnelListed(authority),
      blocks: compiled.index.onViolation === "block",
    });
    if (decision.kind === "tunnel") return { kind: "tunnel", reason: decision.reason } as const;
    return { kind: "intercept", granted } as const;
  }

  /** The caller's grants; undefined where the caller has none, or is gone. */
  async #compiled(read: "get" | "getCurrent"): Promise<CompiledGrants | undefined> {
    const answer: GrantsAnswer = await this.#services.parts.grants[read](this.#caller.sandboxId);
    const known = admit(answer, this.#caller, this.#services);
    if (typeof known === "string") {
      this.#refuse(known, answer.kind === "unavailable" ? answer.detail : undefined);
      return undefined;
    }
    if (this.#socket.destroyed || !this.#isPlaced()) return undefined;
    return this.#services.compile(known.grants);
  }

  /** It is known whose this is: it takes one of the sandbox's places. False where none is left, and it was refused. */
  #isPlaced(): boolean {
    if (this.#placed) return true;
    const { newcomers, occupancy } = this.#services;
    newcomers.settle(this.#socket);
    this.#placed = occupancy.takeFor(this.#caller.sandboxId, this.#socket);
    if (!this.#placed) this.#refuse("sandbox-overloaded");
    return this.#placed;
  }

  // ---- carrying out

  #interception(authority: Authority): Interception {
    const route = new Route(this.#caller.sandboxId, this.#way, authority);
    return new Interception(this.#services, this.#connections, this.#socket, route);
  }

  async #tunnel(authority: Authority, reason: TunnelReason): Promise<void> {
    const upstream = await this.#dial(authority);
    if (upstream !== undefined) this.#relay(authority, upstream, reason);
  }

  /** Undefined where it failed, the client was told; also where the client is gone, or `signal` gave it up. */
  async #dial(authority: Authority, signal?: AbortSignal): Promise<Socket | undefined> {
    const socket = this.#socket;
    const abandoned = new AbortController();
    const abandon = (): void => abandoned.abort();
    socket.once("close", abandon);
    signal?.addEventListener("abort", abandon);
    try {
      const { dialler } = this.#services.parts;
      const upstream = await dialler.connectTcp(authority, this.#caller.sandboxId, abandoned.signal);
      if (!socket.destroyed && !abandoned.signal.aborted) return upstream;
      upstream.destroy();
    } catch (error) {
      if (!(error instanceof KeyswapError)) throw error;
      if (!abandoned.signal.aborted && !socket.destroyed) this.#refuse(error.code, error.detail);
    } finally {
      socket.off("close", abandon);
      signal?.removeEventListener("abort", abandon);
    }
    return undefined;
  }

  #relay(authority: Authority, upstream: Socket, reason: TunnelReason): void {
    this.#confirm();
    const route = { sandboxId: this.#caller.sandboxId, way: this.#way, authority, reason };
    this.#connections.addTunnel(
      new Tunnel(this.#services, route, this.#socket, upstream, this.#seen, (tunnel) =>
        this.#connections.deleteTunnel(tunnel),
      ),
    );
  }

  #confirm(): void {
    this.#voice?.confirm(this.#socket);
    this.#voice = undefined;
  }

  #refuse(code: ErrorCode, detail?: string): void {
    this.#connections.recordRefusal(this.#way, this.#caller.sandboxId, this.#authority, code, detail);
    const socket = this.#socket;
    if (this.#voice !== undefined) this.#voice.refuse(socket, code, detail);
    else if (this.#isTls && !socket.destroyed) {
      endWith(socket, code === "authority-mismatch" ? unrecognizedNameAlert : accessDeniedAlert);
    } else socket.destroy();
  }
}

/**
 * The authority that a ClientHello means: the name counts, whatever address was asked for. Without one it is the address;
 * undefined where nothing was asked for, or where the name is no name.
 */
function nameOf(serverName: string | undefined, asked: Authority | undefined): Authority | undefined {
  if (serverName === undefined) return asked;
  const host = hostOf(serverName);
  if (host === undefined) return undefined;
  if (asked !== undefined && host === asked.host) return asked;
  return isIpLiteral(host) ? undefined : { scheme: "https", host, port: asked?.port ?? tlsPort };
}

function hostOf(serverName: string): Host | undefined {
  const parsed = parseWireHost(serverName);
  return parsed.kind === "host" ? parsed.host : undefined;
}
