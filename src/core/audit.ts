// The audit's vocabulary: one event per exchange, tunnel or refusal. Plain JSON; no value, no query string, no body.

import type { ErrorCode } from "./errors.ts";
import type { Surface } from "./grants.ts";
import type { NotSubstitutedReason } from "./reasons.ts";

/** The way by which a connection came in. */
export type Way = "connect" | "absolute" | "socks5" | "tls" | "http";

/** A secret that was written into the request. */
export interface Substitution {
  readonly secret: string;
  readonly surface: Surface;
}

/** A placeholder that was seen and left alone. `secret` is absent where the placeholder is none of the sandbox's. */
export interface NotSubstituted {
  readonly secret?: string;
  readonly surface?: Surface;
  readonly reason: NotSubstitutedReason;
}

interface Common {
  /** RFC 3339, UTC. */
  readonly time: string;
  /** Unique within one process's life. */
  readonly id: string;
  readonly sandbox: string | undefined;
  readonly way: Way;
  /** `host:port`; undefined where the client named none that could be read. */
  readonly authority: string | undefined;
}

/** One request and its response. */
export interface ExchangeEvent extends Common {
  readonly type: "exchange";
  readonly protocol: "http/1.1" | "h2" | "websocket";
  readonly method: string;
  /** As the client sent it, without query. */
  readonly path: string;
  /** Absent where no response head was sent. */
  readonly status: number | undefined;
  readonly error: ErrorCode | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Milliseconds from the request's head to the response's head, and to its end. */
  readonly firstByteMs: number | undefined;
  readonly durationMs: number;
  /** Empty where there was no connection to the destination, so that nothing went out. */
  readonly substituted: readonly Substitution[];
  readonly notSubstituted: readonly NotSubstituted[];
  /** Names of secrets whose values were taken out of the response. */
  readonly scrubbed: readonly string[];
  /** The trace to which the client says that its request belongs (W3C Trace Context), well-formed. */
  readonly traceparent?: string | undefined;
}

/** A blind relay, written when it ends. */
export interface TunnelEvent extends Common {
  readonly type: "tunnel";
  readonly reason: "host-not-granted" | "tunnel-listed" | "not-http";
  readonly error?: ErrorCode;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly durationMs: number;
}

/** A connection or request that went nowhere. */
export interface RefusalEvent extends Common {
  readonly type: "refusal";
  readonly error: ErrorCode;
  readonly detail?: string;
}

export type AuditEvent = ExchangeEvent | TunnelEvent | RefusalEvent;
