// What a proxy is made of (parts) and how it is set (options). src/cli/compose.ts fills both from the configuration.

import type { SecureContext } from "node:tls";
import type { Cidr } from "../core/authority/ip.ts";
import type { HostPattern } from "../core/authority/pattern.ts";
import type { EgressPattern, EgressPolicy } from "../core/authority/policy.ts";
import type { AuditSink, Clock, GrantSource, SourceFinder } from "../core/ports.ts";
import type { SubstitutionDefaults } from "../core/substitution/grant-index.ts";
import { defaultMessageLimits, type MessageLimits } from "../core/wire/message-reader.ts";
import type { Dialler } from "./dial.ts";

/** The part of pino's interface that is used here. */
export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  debug(fields: object, message: string): void;
}

/** Gives the certificate for an intercepted host. */
export interface LeafSource {
  /** Throws where the CA cannot sign (expired). Use it within the same tick: its native memory is freed after eviction. */
  contextFor(host: string): SecureContext;
  /** The context where it needs no minting. */
  cached(host: string): SecureContext | undefined;
}

export interface ProxyParts {
  readonly options: ProxyOptions;
  readonly grants: GrantSource;
  /** Without it transparent ports know only the fixed sandbox. */
  readonly sources?: SourceFinder;
  /** What clients that speak TLS to the proxy itself are shown; without it a leaf for the name that they ask for. */
  readonly proxyCertificate?: SecureContext;
  readonly leaves: LeafSource;
  readonly dialler: Pick<Dialler, "connectTls" | "connectTcp">;
  readonly audit: AuditSink;
  readonly logger: Logger;
  /** For deadlines and durations: must not jump. */
  readonly clock: Clock;
  /** For the times in audit events; by default Date.now. */
  readonly wallClock?: Clock;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface ProxyOptions {
  readonly listen: ListenAddress;
  /** Transparent ports: redirected TLS and plain HTTP. */
  readonly tlsListen?: ListenAddress | undefined;
  readonly httpListen?: ListenAddress | undefined;
  /** Load balancers, whose connections begin with a PROXY protocol header. */
  readonly proxyProtocolFrom?: readonly Cidr[];
  /** Every caller is this sandbox (sidecar); with a token it still has to be shown. */
  readonly fixedSandbox?: { readonly id: string; readonly token?: string };
  readonly intercept: "granted" | "all";
  /** Hosts that are never intercepted. */
  readonly tunnelHosts: readonly HostPattern[];
  /** Hosts and ports to which a client may speak what is neither TLS nor HTTP although they are granted. */
  readonly rawHosts?: readonly EgressPattern[];
  /** Hosts to which values may go without TLS. */
  readonly plainHttpHosts: readonly HostPattern[];
  readonly egress: EgressPolicy;
  readonly defaults: SubstitutionDefaults;
  /** Bound on a body that is held to learn its new length, in bytes. */
  readonly bufferBytes: number;
  /** Answers carry `keyswap-note` with the reasons why placeholders were not substituted. */
  readonly note: boolean;
  readonly limits: ProxyLimits;
}

/** Bounds of the proxy. Times in milliseconds. */
export interface ProxyLimits {
  readonly message: MessageLimits;
  /** Connections of clients, in all, on each port. */
  readonly maxConnections: number;
  readonly maxSandboxConnections: number;
  /** Connections of which nobody knows yet whose they are. */
  readonly maxNewcomers: number;
  /** Wrong credentials in a minute, for each address. */
  readonly maxFailedLogins: number;
  /** Certificates made in a minute, for each sandbox. */
  readonly maxMints: number;
  /** Bodies that are held to learn their new length, in all. */
  readonly maxHeldBytes: number;
  /** For a request's head, from its first byte, and for a TLS handshake. */
  readonly headTimeoutMs: number;
  /** For the next bytes of a request's body. */
  readonly bodyTimeoutMs: number;
  /** For a client that takes nothing of an answer, and either side of a tunnel or WebSocket that takes nothing. */
  readonly stallTimeoutMs: number;
  /** A client connection without a request. */
  readonly idleTimeoutMs: number;
  /** An unused upstream connection; shorter than what common servers allow. */
  readonly upstreamIdleMs: number;
  /** From the end of a request to the head of its answer. Long: slow LLM answers are normal. */
  readonly answerTimeoutMs: number;
  /** For the next bytes of an answer once the client has ended its direction: it may be gone altogether. */
  readonly halfClosedTimeoutMs: number;
  /** Unused upstream connections kept for one sandbox and authority; for seconds also as many as were just in use. */
  readonly maxIdlePerAuthority: number;
  /** Authorities that a sandbox may be connected to before an unused connection goes for each new one. */
  readonly maxAuthorities: number;
  /** A lookup of an unknown placeholder while a request waits. */
  readonly lookupTimeoutMs: number;
}

export const defaultProxyLimits: ProxyLimits = {
  message: defaultMessageLimits,
  maxConnections: 20_000,
  maxSandboxConnections: 4_000,
  maxNewcomers: 2_000,
  maxFailedLogins: 60,
  maxMints: 6_000,
  maxHeldBytes: 256 * 1024 * 1024,
  headTimeoutMs: 30_000,
  bodyTimeoutMs: 60_000,
  stallTimeoutMs: 120_000,
  idleTimeoutMs: 120_000,
  upstreamIdleMs: 30_000,
  answerTimeoutMs: 600_000,
  halfClosedTimeoutMs: 60_000,
  maxIdlePerAuthority: 64,
  maxAuthorities: 100,
  lookupTimeoutMs: 2_000,
};
