// One request and its response: decides, substitutes, dials, forwards, scrubs, and writes one audit event. Knows nothing
// of sockets: the client's side is a Downstream, the destination's an UpstreamStream.
//
//   begin → (grants) → decide → substitute → RequestRelay → acquire upstream → AnswerRelay → finish
//
// Invariants: the request's head goes upstream only after every placeholder in it was judged against the authority; what
// waits for a decision is bounded by pausing the client; an exchange ends exactly once.

import type { ExchangeEvent } from "../core/audit.ts";
import { type Authority, bracketed, formatAuthority } from "../core/authority/authority.ts";
import { type ErrorCode, KeyswapError } from "../core/errors.ts";
import { flatten } from "../core/flat-text.ts";
import { type Field, findField, makeField, type RequestHead, type ResponseHead } from "../core/message.ts";
import { substituteHead } from "../core/substitution/head.ts";
import { narrowRequest } from "../core/substitution/response-plan.ts";
import type { SubstitutionScope } from "../core/substitution/scope.ts";
import type { Scrubber } from "../core/substitution/scrubber.ts";
import { parseTraceParent } from "../core/trace-context.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import { asksForWebSocket, toWebSocketRequest, webSocketAnswerFault } from "../core/wire/websocket-handshake.ts";
import { errorAnswer } from "./answer.ts";
import { AnswerRelay, type AnswerRelayOwner, withoutDetours } from "./answer-relay.ts";
import type { Downstream } from "./downstream.ts";
import { noteOf, withNote } from "./note.ts";
import { RequestRelay, type RequestRelayOwner } from "./request-relay.ts";
import type { RewriteFault } from "./rewrite.ts";
import type { Route } from "./route.ts";
import { ScopeKeeper, type ScopeKeeperOwner } from "./scope-keeper.ts";
import type { Services } from "./services.ts";
import type { StreamReset, UpstreamListener, UpstreamStream } from "./upstream.ts";
import { WebSocketRelay, type WebSocketRelayOwner } from "./websocket-relay.ts";

/** Rounds of looking up placeholders in one head; a head can name more keys than one round asks for. */
const maxLookupRounds = 8;
/** 1xx before one answer; real ones send one or two. */
const maxInterimAnswers = 32;
/** RFC 9110 section 9.2.2, and what WebDAV and Vault add. */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "LIST"]);

export class Exchange
  implements UpstreamListener, RequestRelayOwner, AnswerRelayOwner, ScopeKeeperOwner, WebSocketRelayOwner
{
  readonly #services: Services;
  readonly #route: Route;
  readonly #client: Downstream;
  readonly #head: RequestHead;
  readonly #length: BodyLength;
  readonly #startedAt: number;

  readonly #keeper: ScopeKeeper;
  #relay: RequestRelay | undefined;
  /** The body, as long as nothing was decided; then its trailers. */
  #early: Buffer[] = [];
  #earlyTrailers: readonly Field[] | undefined;
  #requestComplete = false;
  #clientPaused = false;

  #upstream: UpstreamStream | undefined;
  #acquiring: AbortController | undefined;
  /** There was a connection to the destination: from then on what was substituted may have gone out. */
  #wasOpened = false;
  #retried = false;
  #answer: AnswerRelay | undefined;
  readonly #wantsWebSocket: boolean;
  /** Set once the connection carries frames. */
  #webSocket: WebSocketRelay | undefined;
  /** The answer went out whole, and the destination goes on taking the request. */
  #answerSent = false;
  #ended = false;

  #requestBytes = 0;
  #interimAnswers = 0;
  /** Of what all exchanges together may hold. */
  #reservedBytes = 0;
  /** It takes one of the sandbox's places, because its connection does not. */
  #placed = false;
  #firstByteAt: number | undefined;
  #status: number | undefined;
  #error: ErrorCode | undefined;
  /** How the destination gave the request up, where the client can be told so. */
  #resetCode: number | undefined;

  /** `head.target` is in origin-form. */
  constructor(services: Services, route: Route, client: Downstream, head: RequestHead, length: BodyLength) {
    this.#services = services;
    this.#route = route;
    this.#client = client;
    this.#head = head;
    this.#length = length;
    this.#startedAt = services.clock();
    this.#keeper = new ScopeKeeper(this, services, route);
    this.#wantsWebSocket = client.switchProtocols !== undefined && asksForWebSocket(head, length);
  }

  begin(): void {
    const refusal = checkHead(this.#head, this.#route);
    if (refusal !== undefined) {
      this.#refuse(refusal.code, refusal.detail);
      return;
    }
    this.#keeper.begin((scope) => {
      if (this.#isPlaced()) this.#substitute(scope, 0);
    });
  }

  // ---- the client's side

  onRequestData(content: Buffer): void {
    this.#requestBytes += content.length;
    if (this.#ended) return;
    if (this.#relay !== undefined) {
      // A request may go on for long.
      if (this.followsGrants) this.#keeper.renewAtHand();
      if (!this.#ended) this.#relay.data(content);
      return;
    }
    this.#early.push(content);
    this.onPause();
  }

  onRequestEnd(trailers: readonly Field[]): void {
    this.#requestComplete = true;
    if (this.#ended) return;
    if (this.#relay !== undefined) this.#relay.end(trailers);
    else this.#earlyTrailers = trailers;
  }

  /** Ends each turn in which the client sent something. */
  onRequestFlush(): void {
    this.#relay?.flush();
  }

  onClientDrain(): void {
    this.#answer?.release();
    this.#upstream?.resume();
  }

  /** The proxy shuts down. An answer may still end, a WebSocket would not. */
  onDrain(): void {
    this.#webSocket?.drain();
  }

  /** The client is gone, or its request broke off. */
  onClientClosed(): void {
    // The WebSocket has its own ears.
    if (this.#webSocket !== undefined) return;
    // Both were whole: the destination may still be taking the request's end.
    if (this.#ended || (this.#answerSent && this.#requestComplete)) return;
    this.#finish(this.#answerSent ? undefined : "client-closed");
  }

  /** The request's framing turned out malformed in its body. */
  onRequestBroken(detail: string): void {
    this.#refuse("bad-request", detail);
  }

  /** The rest of the request's body does not come. */
  onRequestStalled(): void {
    this.#refuse("request-timeout", "body");
  }

  /** The client takes nothing of the answer. */
  onClientStalled(): void {
    this.#finish("client-stalled");
  }

  /** No answer in time. */
  onTimeout(): void {
    this.#refuse("upstream-timeout");
  }

  // ---- the upstream's side

  onInterim(head: ResponseHead): void {
    const { scope } = this.#keeper;
    if (this.#ended || scope === undefined) return;
    this.#interimAnswers += 1;
    if (this.#interimAnswers > maxInterimAnswers) {
      this.#refuse("upstream-malformed", "too many interim answers");
      return;
    }
    if (this.#head.minor === 0) return;
    const session = { carried: NOTHING_CARRIED, found: () => {} };
    this.#client.sendInterim(this.#services.scrubbers.forView(scope.view).scrubHead(head, session));
    this.#client.flush();
  }

  onAnswerHead(head: ResponseHead, length: BodyLength): void {
    const { scope } = this.#keeper;
    if (this.#ended || scope === undefined) return;
    if (head.status === 101) {
      this.#switchProtocols(head, scope);
      return;
    }
    this.#firstByteAt = this.#services.clock();
    this.#status = head.status;
    this.#relay?.forget();
    const { bufferBytes } = this.#services.options;
    const scrubber = (): Scrubber => this.#services.scrubbers.forView(scope.view);
    this.#answer = new AnswerRelay(this, this.#client, scrubber, scope.substituted, bufferBytes);
    this.#answer.head(head, length, this.#head);
  }

  onAnswerData(content: Buffer): void {
    if (!this.#ended) this.#answer?.data(content);
  }

  onAnswerEnd(trailers: readonly Field[], requestGoesOn = false): void {
    // The leg has gone back to its pool, or is being closed.
    if (!requestGoesOn || this.#client.protocol !== "h2") this.#dropUpstream(requestGoesOn);
    if (this.#ended) return;
    this.#answer?.end(trailers);
  }

  onAnswerFlush(): void {
    if (!this.#client.flush(true)) this.#upstream?.pause();
  }

  onUpstreamDrain(): void {
    this.#relay?.drain();
    this.onResume();
  }

  onUpstreamLost(error: KeyswapError, stale: boolean, reset?: StreamReset): void {
    this.#upstream = undefined;
    this.#relay?.close();
    if (this.#ended) return;
    if (reset !== undefined && this.#client.protocol === "h2") this.#resetCode = reset.code;
    const mayRepeat = stale && !this.#retried && this.#answer === undefined;
    if (mayRepeat && this.#relay?.repeatable && (reset?.unprocessed || idempotent.has(this.#head.method))) {
      this.#retried = true;
      this.#acquire(true);
      return;
    }
    if (!mayRepeat && this.#resetCode === undefined) {
      this.#refuse(error.code, error.detail);
      return;
    }
    // Whether the destination acted on it cannot be told, and an error answer would claim that it failed: the connection
    // is closed, as it would be without a proxy, and the client judges.
    this.#client.abort(this.#resetCode);
    this.#finish(error.code);
  }

  onUpstreamClosed(): void {
    this.#upstream = undefined;
    this.#relay?.close();
    if (this.#answerSent && !this.#ended) this.#finish(undefined);
  }

  // ---- RequestRelayOwner

  reserve(bytes: number): boolean {
    if (!this.#services.held.reserve(bytes)) return false;
    this.#reservedBytes += bytes;
    return true;
  }

  onSendable(): void {
    this.#acquire(false);
  }

  onUnknownKeys(keys: readonly string[], then: () => void): void {
    this.#keeper.lookUp(keys, then);
  }

  onPause(): void {
    if (this.#clientPaused || this.#requestComplete) return;
    this.#clientPaused = true;
    this.#client.pauseRequest();
  }

  onResume(): void {
    if (!this.#clientPaused) return;
    this.#clientPaused = false;
    this.#client.resumeRequest();
  }

  onBlocked(): void {
    this.#refuseBlocked();
  }

  onBodyFault(fault: RewriteFault): void {
    if (fault === "too-large") this.#refuse("body-too-large", "decoded, or with values in it");
    else this.#refuse("bad-request", "the body is not what its Content-Encoding says");
  }

  onContinueWanted(): void {
    const { minor, fields } = this.#head;
    // RFC 9110 section 10.1.1: HTTP/1.0 knows no interim answers, and other expectations are not ours to meet.
    if (minor === 0 || findField(fields, "expect")?.value.toLowerCase() !== "100-continue") return;
    this.#client.sendInterim({ status: 100, reason: "Continue", minor: 1, fields: [] });
    this.#client.flush();
  }

  // ---- AnswerRelayOwner

  get note(): string | undefined {
    const { scope } = this.#keeper;
    return this.#services.options.note && scope !== undefined ? noteOf(scope) : undefined;
  }

  onAnswerHeld(): void {
    this.#upstream?.pause();
  }

  onAnswerDrained(): void {
    this.#upstream?.resume();
  }

  onAnswerFault(code: ErrorCode, detail: string): void {
    this.#refuse(code, detail);
  }

  onAnswerSent(): void {
    if (this.#upstream === undefined) {
      this.#finish(undefined);
      return;
    }
    this.#answerSent = true;
    this.#client.flush();
  }

  // ---- ScopeKeeperOwner

  get ended(): boolean {
    return this.#ended;
  }

  /** An answer that has begun is scrubbed by what held then, unless it is made of messages. */
  get followsGrants(): boolean {
    return this.#answer === undefined || this.#answer.followsGrants;
  }

  onScopeRefused(code: ErrorCode, detail: string | undefined): void {
    this.#refuse(code, detail);
  }

  onScopeCrash(error: unknown): void {
    this.#crash(error);
  }

  // ---- deciding

  #substitute(scope: SubstitutionScope, round: number): void {
    const result = substituteHead(this.#head, scope);
    if (result.kind === "unknown") {
      if (round >= maxLookupRounds) for (const key of result.keys) scope.markAsked(key);
      this.#keeper.lookUp(result.keys, () => this.#substitute(scope, round + 1));
      return;
    }
    if (scope.blocked) this.#refuseBlocked();
    else this.#forward(result.head, scope);
  }

  #forward(substituted: RequestHead, scope: SubstitutionScope): void {
    let head = substituted;
    // An HTTP/1.0 client may have left Host out; the destination has to be told.
    if (findField(head.fields, "host") === undefined) {
      head = { ...head, fields: [makeField("Host", hostOf(this.#route.authority)), ...head.fields] };
    }
    const scrubber = this.#services.scrubbers.forView(scope.view);
    if (!scrubber.empty) head = narrowRequest(head, scrubber);
    if (this.#wantsWebSocket) head = toWebSocketRequest(head);
    const { bufferBytes } = this.#services.options;
    const relay = new RequestRelay(this, this.#head, head, this.#length, scope, bufferBytes);
    this.#relay = relay;
    relay.begin();
    for (const content of this.#early) if (!this.#ended) relay.data(content);
    this.#early = [];
    if (this.#earlyTrailers !== undefined && !this.#ended) relay.end(this.#earlyTrailers);
    if (this.#ended) return;
    relay.flush();
    this.onResume();
  }

  /** On the proxy port each request names its sandbox, so each takes a place of its own while it runs. */
  #isPlaced(): boolean {
    const { sandboxId, way } = this.#route;
    if (way !== "absolute" || this.#placed) return true;
    this.#placed = this.#services.occupancy.take(sandboxId);
    if (!this.#placed) this.#refuse("sandbox-overloaded");
    return this.#placed;
  }

  // ---- connecting

  #acquire(fresh: boolean): void {
    const { pool } = this.#services;
    const { protocol: wanted } = this.#client;
    const free = fresh ? undefined : pool.take(this.#route, wanted);
    if (free !== undefined) {
      this.#open(free);
      return;
    }
    this.#acquiring = new AbortController();
    void pool
      .connect(this.#route, wanted, fresh, this.#acquiring.signal)
      .then(
        (made) => {
          if (this.#ended) {
            made.abort();
            return;
          }
          this.#acquiring = undefined;
          this.#open(made);
          this.onResume();
        },
        (error: unknown) => {
          if (this.#ended) return;
          if (!(error instanceof KeyswapError)) throw error;
          this.#refuse(error.code, error.detail);
        },
      )
      .catch((error: unknown) => this.#crash(error));
  }

  #open(upstream: UpstreamStream): void {
    if (this.#wantsWebSocket && upstream.switchProtocols === undefined) {
      upstream.abort();
      this.#refuse("upgrade-unsupported");
      return;
    }
    upstream.begin(this);
    this.#upstream = upstream;
    this.#wasOpened = true;
    this.#relay?.open(upstream);
  }

  #dropUpstream(givesUp: boolean): void {
    if (givesUp) this.#upstream?.abort();
    this.#upstream = undefined;
    this.#relay?.close();
  }

  /** The destination takes the WebSocket: from here on both connections carry frames. */
  #switchProtocols(head: ResponseHead, scope: SubstitutionScope): void {
    const fault = this.#wantsWebSocket ? webSocketAnswerFault(head) : "101 without an upgrade";
    const upstream = this.#upstream?.switchProtocols?.();
    if (fault !== undefined || upstream === undefined) {
      upstream?.socket.destroy();
      this.#refuse("upstream-malformed", fault);
      return;
    }
    this.#upstream = undefined;
    this.#firstByteAt = this.#services.clock();
    this.#status = head.status;
    this.#relay?.destroy();
    const relay = new WebSocketRelay(this, this.#services, this.#keeper, scope);
    const { note } = this;
    const scrubbed = relay.scrubHead(withoutDetours(head));
    const client = this.#client.switchProtocols?.(note === undefined ? scrubbed : withNote(scrubbed, note));
    if (client === undefined) throw new Error("a WebSocket was asked for on a shared connection");
    this.#webSocket = relay;
    relay.begin(client, upstream);
  }

  onRelayEnd(error: ErrorCode | undefined): void {
    this.#ended = true;
    this.#error = error;
    this.#record();
    this.#client.onExchangeEnd(true);
  }

  // ---- endings

  #refuseBlocked(): void {
    const reasons = new Set(this.#keeper.scope?.notSubstituted.map((entry) => entry.reason));
    this.#refuse("violation-blocked", [...reasons].join(", "));
  }

  /** Answers with an error of our own; where an answer has begun, the client must not take it for whole. */
  #refuse(code: ErrorCode, detail?: string): void {
    if (this.#ended) return;
    if (this.#webSocket !== undefined) {
      this.#webSocket.fail(code, detail);
      return;
    }
    if (!this.#answer?.begun) {
      const { head, body } = errorAnswer(code, detail);
      const { note } = this;
      this.#status = head.status;
      this.#client.sendHead(note === undefined ? head : withNote(head, note), body.length);
      if (this.#head.method !== "HEAD") this.#client.sendData(body);
      this.#client.sendEnd([]);
    }
    this.#finish(code);
  }

  #crash(error: unknown): void {
    this.#services.logger.error({ err: error instanceof Error ? error.stack : "unknown" }, "exchange failed");
    this.#refuse("internal");
  }

  /** The one end. Without an error the answer went out whole. */
  #finish(error: ErrorCode | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#acquiring?.abort();
    this.#upstream?.abort();
    this.#upstream = undefined;
    this.#relay?.destroy();
    this.#answer?.destroy();
    this.#early = [];
    this.#services.held.release(this.#reservedBytes);
    if (this.#placed) this.#services.occupancy.release(this.#route.sandboxId);
    const broken = error !== undefined && this.#answer?.begun === true;
    if (broken || error === "client-closed" || this.#status === undefined) this.#client.abort(this.#resetCode);
    else this.#client.flush(true);
    // Now that the client has its answer: it should not wait for this.
    this.#record();
    this.#client.onExchangeEnd(this.#requestComplete);
  }

  #record(): void {
    const { target } = this.#head;
    const query = target.indexOf("?");
    const event: ExchangeEvent = {
      type: "exchange",
      time: this.#services.timeOf(this.#startedAt),
      id: this.#services.nextId(),
      sandbox: this.#route.sandboxId,
      way: this.#route.way,
      authority: this.#route.authorityText,
      protocol: this.#webSocket === undefined ? this.#client.protocol : "websocket",
      method: this.#head.method,
      path: flatten(query < 0 ? target : target.slice(0, query)),
      status: this.#status,
      error: this.#error,
      requestBytes: this.#webSocket?.receivedBytes ?? this.#requestBytes,
      responseBytes: (this.#webSocket ?? this.#answer)?.sentBytes ?? 0,
      firstByteMs: this.#firstByteAt === undefined ? undefined : this.#firstByteAt - this.#startedAt,
      durationMs: this.#services.clock() - this.#startedAt,
      substituted: (this.#wasOpened && this.#keeper.scope?.substituted) || [],
      notSubstituted: this.#keeper.scope?.notSubstituted ?? [],
      scrubbed: (this.#webSocket ?? this.#answer)?.scrubbed ?? [],
      traceparent: traceParentOf(this.#head.fields),
    };
    this.#services.parts.audit.record(event);
  }
}

/** The client's own word on its trace. */
function traceParentOf(fields: readonly Field[]): string | undefined {
  const value = findField(fields, "traceparent")?.value;
  return value === undefined || parseTraceParent(value) === undefined ? undefined : value;
}

const NOTHING_CARRIED: ReadonlySet<string> = new Set();

/** What makes a request unacceptable before anything is decided about secrets. */
function checkHead(head: RequestHead, route: Route): { code: ErrorCode; detail?: string } | undefined {
  // TRACE would echo the request; it also carries no credential that a client needs.
  if (head.method === "TRACE" || head.method === "TRACK") return { code: "method-not-allowed" };
  let host: Field | undefined;
  for (const field of head.fields) {
    if (field.key === "host") {
      if (host !== undefined) return { code: "bad-request", detail: "two Host fields" };
      host = field;
    }
  }
  // HTTP/1.0 may leave Host out; the connection's authority is used then.
  if (host === undefined) return head.minor === 0 ? undefined : { code: "bad-request", detail: "no Host field" };
  return route.hostMatches(host.value) ? undefined : { code: "authority-mismatch" };
}

/** As a client would write it: the port only where it is not the scheme's own. */
function hostOf(authority: Authority): string {
  const isDefault = authority.port === (authority.scheme === "https" ? 443 : 80);
  return isDefault ? bracketed(authority.host) : formatAuthority(authority);
}
