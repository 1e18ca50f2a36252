// Connections to upstreams.
//
//   authority → resolve → admit (address-guard.ts) → connect that very address (happy-eyeballs.ts) → TLS, verified
//
// With a parent proxy (parent-proxy.ts) names go by name: only addresses and internal names are judged here, the rest is
// the parent's duty. Where the parent fails, the dial fails.
//
// Invariants: no name is looked up after its addresses were checked; the certificate has to be the authority's own
// host's; TLS sessions are never shared between sandboxes; whatever ends a dial early closes its sockets; every failure
// is a KeyswapError.

import { X509Certificate } from "node:crypto";
import { isIP, type Socket } from "node:net";
import { type ConnectionOptions, connect, createSecureContext, getCACertificates, type TLSSocket } from "node:tls";
import { LRUCache } from "lru-cache";
import { type Authority, formatAuthority } from "../core/authority/authority.ts";
import { type Host, isIpLiteral } from "../core/authority/host.ts";
import type { IpAddress } from "../core/authority/ip.ts";
import { type ErrorCode, KeyswapError } from "../core/errors.ts";
import { AddressGuard, type AddressGuardOptions } from "./address-guard.ts";
import { connectFirst, highWaterMark, interleave } from "./happy-eyeballs.ts";
import { isInternalName, type ParentProxy } from "./parent-proxy.ts";

export type { OwnListener } from "./address-guard.ts";

export interface DiallerOptions extends AddressGuardOptions {
  readonly resolver: { resolve(host: Host, sandboxId?: string): readonly IpAddress[] | Promise<readonly IpAddress[]> };
  /** PEM texts, each with one certificate or more: trusted in addition to the usual roots. */
  readonly extraRoots?: readonly string[];
  /** Bound on resolving, connecting and the TLS handshake together. Default 10 s. */
  readonly timeoutMs?: number;
  /** Bound on TLS sessions remembered for resumption. Default 2,000. */
  readonly maxSessions?: number;
  /** Through which upstreams are reached. */
  readonly parent?: ParentProxy | undefined;
}

export class Dialler {
  readonly #resolver: DiallerOptions["resolver"];
  readonly #guard: AddressGuard;
  readonly #timeoutMs: number;
  readonly #context: ReturnType<typeof createSecureContext>;
  readonly #sessions: LRUCache<string, Buffer>;
  readonly #parent: ParentProxy | undefined;
  /** The family that won last: spares networks without working IPv6 the wait at every connection. */
  #family: 4 | 6 = 6;

  /** Throws where an extra root is no certificate. */
  constructor(options: DiallerOptions) {
    this.#resolver = options.resolver;
    this.#guard = new AddressGuard(options);
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#context = makeContext(options.extraRoots ?? []);
    this.#sessions = new LRUCache({ max: options.maxSessions ?? 2000 });
    this.#parent = options.parent;
  }

  /**
   * A verified TLS connection; `alpn` may be empty, and what was agreed on is the socket's `alpnProtocol`. The socket
   * has a do-nothing `error` listener; from here on it is the caller's.
   */
  connectTls(
    authority: Authority,
    sandboxId: string,
    alpn: readonly string[],
    signal?: AbortSignal,
  ): Promise<TLSSocket> {
    return this.#within(authority, signal, async (limit) => {
      const socket = await this.#connect(authority, sandboxId, limit);
      return this.#handshake(socket, authority, sandboxId, alpn, limit);
    });
  }

  /** A TCP connection, under the same terms. */
  connectTcp(authority: Authority, sandboxId: string, signal?: AbortSignal): Promise<Socket> {
    return this.#within(authority, signal, (limit) => this.#connect(authority, sandboxId, limit));
  }

  /** Runs a dial under the deadline and the caller's signal; its result is closed where it comes too late. */
  async #within<T extends Socket>(
    authority: Authority,
    signal: AbortSignal | undefined,
    dial: (limit: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const limit = new AbortController();
    const abort = () => limit.abort(aborted(signal?.reason));
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    const timer = setTimeout(
      () => limit.abort(new KeyswapError("connect-timeout", formatAuthority(authority))),
      this.#timeoutMs,
    );
    try {
      const socket = await dial(limit.signal);
      if (limit.signal.aborted) {
        socket.destroy();
        throw limit.signal.reason;
      }
      return socket;
    } catch (error) {
      throw error instanceof KeyswapError ? error : connectFailure(authority, error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  async #connect(authority: Authority, sandboxId: string, limit: AbortSignal): Promise<Socket> {
    limit.throwIfAborted();
    const parent = this.#parent;
    if (parent !== undefined && !parent.isLeftOutFor(authority))
      return this.#connectVia(parent, authority, sandboxId, limit);
    const { host, port } = authority;
    const found = this.#resolve(host, sandboxId, limit);
    const addresses = found instanceof Promise ? await found : found;
    const admitted = this.#guard.admit(host, addresses, port);
    const socket = await connectFirst(interleave(admitted, this.#family), port, limit);
    if (admitted.length > 1) this.#family = isIP(socket.remoteAddress ?? "") === 4 ? 4 : 6;
    return socket;
  }

  #resolve(
    host: Host,
    sandboxId: string | undefined,
    limit: AbortSignal,
  ): readonly IpAddress[] | Promise<readonly IpAddress[]> {
    const found = this.#resolver.resolve(host, sandboxId);
    return found instanceof Promise ? unlessAborted(found, limit) : found;
  }

  async #connectVia(parent: ParentProxy, authority: Authority, sandboxId: string, limit: AbortSignal): Promise<Socket> {
    const { host, port } = authority;
    if (isIpLiteral(host) || isInternalName(host))
      this.#guard.admit(host, await this.#resolve(host, sandboxId, limit), port);
    let socket: Socket | undefined;
    try {
      const addresses = await this.#resolve(parent.authority.host, undefined, limit);
      this.#guard.refuseOwn(parent.authority.host, addresses, parent.authority.port);
      socket = await connectFirst(interleave(addresses, this.#family), parent.authority.port, limit);
      // No sandbox has an empty id: the session with the parent is all sandboxes'.
      if (parent.isTls) socket = await this.#handshake(socket, parent.authority, "", [], limit);
      await parent.open(socket, authority, limit);
      return socket;
    } catch (error) {
      socket?.destroy();
      throw limit.aborted ? limit.reason : parentFailure(error);
    }
  }

  #handshake(
    plain: Socket,
    authority: Authority,
    sandboxId: string,
    alpn: readonly string[],
    limit: AbortSignal,
  ): Promise<TLSSocket> {
    const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
    const { host } = authority;
    // No part may hold the separator: a sandbox must not be able to name another one's sessions.
    const key = JSON.stringify([sandboxId, formatAuthority(authority), ...alpn]);
    const session = this.#sessions.get(key);
    const options: ConnectionOptions & { highWaterMark: number } = {
      socket: plain,
      secureContext: this.#context,
      // What the certificate is checked against; an address is checked against the certificate's addresses.
      host,
      // Addresses do not go into SNI (RFC 6066, section 3).
      servername: isIpLiteral(host) ? "" : host,
      rejectUnauthorized: true,
      // Its types demand a mutable array.
      ALPNProtocols: [...alpn],
      highWaterMark,
    };
    if (session !== undefined) options.session = session;
    const socket = connect(options);

    let isVerified = false;
    let ticket: Buffer | undefined;
    const settle = () => {
      limit.removeEventListener("abort", abort);
      socket.removeListener("close", fail);
    };
    const fail = (error?: unknown) => {
      settle();
      this.#sessions.delete(key);
      socket.destroy();
      reject(limit.aborted ? limit.reason : tlsFailure(socket, authority, error));
    };
    const abort = () => fail();

    socket.on("error", (error) => {
      if (!isVerified) fail(error);
    });
    socket.once("close", fail);
    // TLS 1.2 gives its ticket before the certificate has been judged, TLS 1.3 after; none is kept from a stranger.
    socket.on("session", (bytes: Buffer) => {
      if (isVerified) this.#sessions.set(key, bytes);
      else ticket = bytes;
    });
    socket.once("secureConnect", () => {
      isVerified = true;
      settle();
      if (ticket !== undefined) this.#sessions.set(key, ticket);
      resolve(socket);
    });
    if (limit.aborted) abort();
    else limit.addEventListener("abort", abort);
    return promise;
  }
}

/**
 * One context for all upstreams: making one costs more than a resumed handshake. Extra roots extend what Node trusts
 * (its own list, NODE_EXTRA_CA_CERTS, the system's with NODE_USE_SYSTEM_CA), they never replace it.
 */
function makeContext(extraRoots: readonly string[]): ReturnType<typeof createSecureContext> {
  const extra = extraRoots.flatMap((text) => {
    const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
    if (blocks === null) throw new Error("the additional upstream CA holds no certificate in PEM form");
    // Node itself passes over what it cannot read; an operator's typing error must not go unnoticed.
    return blocks.map((pem) => new X509Certificate(pem).toString());
  });
  if (extra.length === 0) return createSecureContext({ minVersion: "TLSv1.2" });
  return createSecureContext({ minVersion: "TLSv1.2", ca: [...getCACertificates("default"), ...extra] });
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([promise, stopped]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function aborted(reason: unknown): KeyswapError {
  return reason instanceof KeyswapError ? reason : new KeyswapError("connect-failed", "aborted", { cause: reason });
}

const connectCodes: Readonly<Record<string, ErrorCode>> = {
  ECONNREFUSED: "connect-refused",
  ETIMEDOUT: "connect-timeout",
  EMFILE: "overloaded",
  ENFILE: "overloaded",
};

function connectFailure(authority: Authority, cause: unknown): KeyswapError {
  const errno = codeOf(cause);
  return new KeyswapError(connectCodes[errno] ?? "connect-failed", `${formatAuthority(authority)}: ${errno}`, {
    cause,
  });
}

/** A failure on the way to the parent itself must not pass for the destination's. */
function parentFailure(cause: unknown): KeyswapError {
  if (!(cause instanceof KeyswapError)) return new KeyswapError("parent-proxy-failed", codeOf(cause), { cause });
  if (cause.code === "parent-proxy-failed") return cause;
  return new KeyswapError("parent-proxy-failed", cause.code, { cause });
}

function tlsFailure(socket: TLSSocket, authority: Authority, cause: unknown): KeyswapError {
  // A verdict on the certificate is a code by OpenSSL's name, though its type says Error.
  const verdict: unknown = socket.authorizationError;
  const code = verdict ? "upstream-certificate" : "upstream-tls";
  const reason = typeof verdict === "string" ? verdict : codeOf(cause);
  return new KeyswapError(code, `${formatAuthority(authority)}: ${reason}`, { cause });
}

/** An errno or OpenSSL's name for what happened: safe to show, while messages may quote the peer. */
function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "closed";
}
