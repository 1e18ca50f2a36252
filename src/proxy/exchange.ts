// One request and its response: decides, substitutes, dials, forwards, scrubs, and writes one audit event. Knows nothing
// of sockets: the client's side is a Downstream, the destination's an UpstreamStream.
//
//   begin → (grants) → decide → substitute → acquire upstream → forward ⇄ answer → finish
//
// Invariants: the request's head goes upstream only after every placeholder in it was judged against the authority; what
// a stop or a missing upstream holds back is bounded by pausing the client; an exchange ends exactly once.

import { createHash } from "node:crypto";
import type { ExchangeEvent, Way } from "../core/audit.ts";
import { type Authority, bracketed, formatAuthority, hostHeaderMatches } from "../core/authority/authority.ts";
import { type ErrorCode, KeyswapError } from "../core/errors.ts";
import { type Field, findField, makeField, type RequestHead, type ResponseHead } from "../core/message.ts";
import type { GrantsAnswer } from "../core/ports.ts";
import { type BodyPlan, planRequestBody } from "../core/substitution/body-plan.ts";
import { type DigestAlgorithm, rewriteDigests } from "../core/substitution/digests.ts";
import { substituteHead, substituteTrailers } from "../core/substitution/head.ts";
import { narrowRequest } from "../core/substitution/response-plan.ts";
import { SubstitutionScope } from "../core/substitution/scope.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import { errorAnswer } from "./answer.ts";
import { AnswerRelay } from "./answer-relay.ts";
import type { Downstream } from "./downstream.ts";
import { tokenMatches } from "./identify.ts";
import { makeRewrite } from "./make-rewrite.ts";
import type { Rewrite, RewriteFault, RewriteListener } from "./rewrite.ts";
import type { CompiledGrants, Services } from "./services.ts";
import type { UpstreamListener, UpstreamStream } from "./upstream.ts";

/** Where an exchange belongs: decided when its connection was opened. */
export interface ExchangeRoute {
  readonly sandboxId: string;
  readonly way: Way;
  readonly authority: Authority;
  /** The sandbox's token, where this request is the one that shows it. */
  readonly token?: string;
}

/** While there is no upstream yet, a streamed body is held up to this many bytes before the client is paused. */
const heldBytesBeforePause = 64 * 1024;
/** Rounds of looking up placeholders in one head; a head can name more keys than one round asks for. */
const maxLookupRounds = 8;
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "LIST"]);

export class Exchange implements UpstreamListener, RewriteListener {
  readonly #services: Services;
  readonly #route: ExchangeRoute;
  readonly #client: Downstream;
  readonly #head: RequestHead;
  readonly #target: string;
  readonly #length: BodyLength;
  readonly #startedAt: number;

  #compiled: CompiledGrants | undefined;
  #scope: SubstitutionScope | undefined;
  /** The head as it goes upstream. */
  #sent: RequestHead;
  #sentLength: BodyLength;
  #plan: Exclude<BodyPlan, { kind: "untouched" }> | undefined;
  #rewrite: Rewrite | undefined;
  /** A buffered coded body as it came: it goes out like that where nothing in it changes. */
  #original: Buffer[] = [];
  #deciding = true;
  /** The body is held whole, so that its length is known before the head goes out. */
  #buffered = false;
  #rewrittenEnd = false;
  #received: (Buffer | readonly Field[])[] = [];
  #held: Buffer[] = [];
  #heldBytes = 0;
  #trailers: readonly Field[] = [];
  #requestComplete = false;
  #clientPaused = false;

  #upstream: UpstreamStream | undefined;
  #acquiring: AbortController | undefined;
  #retried = false;
  #answer: AnswerRelay | undefined;
  #ended = false;

  #requestBytes = 0;
  #firstByteAt: number | undefined;
  #status: number | undefined;
  #error: ErrorCode | undefined;

  /** `target` is the request's target in origin-form. */
  constructor(
    services: Services,
    route: ExchangeRoute,
    client: Downstream,
    head: RequestHead,
    target: string,
    length: BodyLength,
  ) {
    this.#services = services;
    this.#route = route;
    this.#client = client;
    this.#head = head;
    this.#sent = head;
    this.#target = target;
    this.#length = length;
    this.#sentLength = length;
    this.#startedAt = services.clock();
  }

  begin(): void {
    const refusal = checkHead(this.#head, this.#route.authority);
    if (refusal !== undefined) {
      this.#refuse(refusal.code, refusal.detail);
      return;
    }
    this.#whenGranted(this.#services.parts.grants.get(this.#route.sandboxId), (compiled) => this.#decide(compiled));
  }

  // ---- the client's side

  onRequestData(content: Buffer): void {
    this.#requestBytes += content.length;
    if (this.#ended) return;
    if (this.#deciding) {
      this.#received.push(content);
      this.#pauseClient();
    } else this.#take(content);
  }

  onRequestEnd(trailers: readonly Field[]): void {
    this.#requestComplete = true;
    if (this.#ended) return;
    if (this.#deciding) this.#received.push(trailers);
    else this.#takeEnd(trailers);
  }

  /** Ends each turn in which the client sent something. */
  onRequestFlush(): void {
    if (this.#upstream !== undefined && !this.#upstream.flush()) this.#pauseClient();
  }

  onClientDrain(): void {
    this.#answer?.release();
    this.#upstream?.resume();
  }

  /** The client is gone, or its request broke off. */
  onClientClosed(): void {
    if (!this.#ended) this.#finish("client-closed");
  }

  /** The request's framing turned out malformed in its body. */
  onRequestBroken(detail: string): void {
    this.#refuse("bad-request", detail);
  }

  /** No answer in time. */
  onTimeout(): void {
    this.#refuse("upstream-timeout");
  }

  // ---- the upstream's side

  onInterim(head: ResponseHead): void {
    if (this.#ended || this.#head.minor === 0) return;
    const scrubber = this.#scope && this.#services.scrubberFor(this.#scope.view);
    const session = { carried: new Set<string>(), found: () => {} };
    this.#client.sendInterim(scrubber === undefined ? head : scrubber.scrubHead(head, session));
    this.#client.flush();
  }

  onAnswerHead(head: ResponseHead, length: BodyLength): void {
    const scope = this.#scope;
    if (this.#ended || scope === undefined) return;
    if (head.status === 101) {
      this.#failUpstream(new KeyswapError("upstream-malformed", "101 without an upgrade"));
      return;
    }
    this.#firstByteAt = this.#services.clock();
    this.#held = [];
    this.#status = head.status;
    const answer = new AnswerRelay({
      client: this.#client,
      scrubber: this.#services.scrubberFor(scope.view),
      method: this.#head.method,
      carried: scope.substituted,
      bufferBytes: this.#services.options.bufferBytes,
      note: this.#services.options.note ? () => noteOf(scope) : undefined,
      onHeld: () => this.#upstream?.pause(),
      onDrained: () => this.#upstream?.resume(),
      onFault: (code, detail) => this.#failUpstream(new KeyswapError(code, detail)),
      onEnd: () => this.#finish(undefined),
    });
    this.#answer = answer;
    answer.head(head, length);
  }

  onAnswerData(content: Buffer): void {
    if (!this.#ended) this.#answer?.data(content);
  }

  onAnswerEnd(trailers: readonly Field[]): void {
    // The leg has gone back to its pool, or is being closed.
    this.#upstream = undefined;
    if (!this.#ended) this.#answer?.end(trailers);
  }

  onAnswerFlush(): void {
    if (!this.#client.flush()) this.#upstream?.pause();
  }

  onUpstreamDrain(): void {
    this.#rewrite?.release();
    this.#resumeClient();
  }

  onUpstreamLost(error: KeyswapError, stale: boolean): void {
    this.#upstream = undefined;
    if (this.#ended) return;
    const repeatable = this.#rewrittenEnd && this.#isRepeatable();
    if (stale && !this.#retried && repeatable) {
      this.#retried = true;
      this.#acquire(true);
      return;
    }
    if (stale && !this.#retried && this.#answer === undefined) {
      // Whether the destination acted on it cannot be told, and an error answer would claim that it failed: the
      // connection is closed, as it would be without a proxy, and the client judges.
      this.#error = "upstream-closed";
      this.#client.abort();
      this.#finish("upstream-closed");
      return;
    }
    this.#failUpstream(error);
  }

  // ---- the request's body on its way through the rewrite

  onRewritten(bytes: Buffer): void {
    this.#send(bytes);
    if (this.#rewrite?.ownTurns && this.#upstream !== undefined && !this.#upstream.flush()) this.#rewrite.hold();
  }

  onRewriteEnd(): void {
    this.#sendEnd();
    if (this.#rewrite?.ownTurns) this.#upstream?.flush();
  }

  onUnknownKey(key: string): void {
    this.#pauseClient();
    this.#lookUp([key], () => {
      if (this.#scope?.blocked && this.#upstream === undefined) this.#refuseBlocked();
      else this.#rewrite?.resume();
      this.onRequestFlush();
    });
  }

  onRewriteDrain(): void {
    this.#resumeClient();
  }

  onRewriteFault(fault: RewriteFault): void {
    if (fault === "too-large") this.#refuse("body-too-large", "decoded size");
    else this.#refuse("bad-request", "the body is not what its Content-Encoding says");
  }

  // ---- deciding

  #decide(compiled: CompiledGrants): void {
    const { authority, token } = this.#route;
    if (token !== undefined && !tokenMatches(token, compiled.grants.tokenHash)) {
      this.#refuse("proxy-auth-required");
      return;
    }
    if (compiled.egress.decide(authority).kind === "denied") {
      this.#refuse("egress-denied");
      return;
    }
    this.#compiled = compiled;
    const view = compiled.index.forHost(authority.host);
    this.#scope = new SubstitutionScope(view, { secure: this.#services.isSecure(authority) });
    this.#substitute(0);
  }

  #substitute(round: number): void {
    const scope = this.#scope;
    if (scope === undefined) return;
    const head = this.#target === this.#head.target ? this.#head : { ...this.#head, target: this.#target };
    const result = substituteHead(head, scope);
    if (result.kind === "unknown") {
      if (round >= maxLookupRounds) for (const key of result.keys) scope.markAsked(key);
      this.#lookUp(result.keys, () => this.#substitute(round + 1));
      return;
    }
    if (scope.blocked) {
      this.#refuseBlocked();
      return;
    }
    // An HTTP/1.0 client may have left Host out; the destination has to be told.
    let sent = result.head;
    if (findField(sent.fields, "host") === undefined) {
      const host = makeField("Host", hostOf(this.#route.authority));
      sent = { ...sent, fields: [host, ...sent.fields] };
    }
    const scrubber = this.#services.scrubberFor(scope.view);
    this.#sent = scrubber.empty ? sent : narrowRequest(sent, scrubber);
    this.#planBody(scope);
  }

  #planBody(scope: SubstitutionScope): void {
    if (this.#length !== 0) {
      const plan = planRequestBody(this.#head, this.#length === "close" ? "chunked" : this.#length, scope, {
        bufferBytes: this.#services.options.bufferBytes,
      });
      if (plan.kind !== "untouched") {
        this.#rewrite = makeRewrite(plan, this);
        this.#plan = plan;
        this.#buffered = plan.kind === "buffered";
        if (plan.kind === "streamed") this.#sentLength = "chunked";
        if (this.#buffered) this.#answerExpectation();
      }
    }
    this.#deciding = false;
    if (!this.#buffered) this.#acquire(false);
    const received = this.#received;
    this.#received = [];
    for (const part of received) {
      if (Buffer.isBuffer(part)) this.#take(part);
      else this.#takeEnd(part as readonly Field[]);
    }
    if (!this.#ended) this.onRequestFlush();
    this.#resumeClient();
  }

  /** The head waits for the body, so the client's wait for 100 has to be ended here (RFC 9110 section 10.1.1). */
  #answerExpectation(): void {
    if (findField(this.#sent.fields, "expect") === undefined) return;
    this.#sent = { ...this.#sent, fields: this.#sent.fields.filter((field) => field.key !== "expect") };
    this.#client.sendInterim({ status: 100, reason: "Continue", minor: 1, fields: [] });
    this.#client.flush();
  }

  /** Has keys looked up one after the other, then goes on. What stays unknown is nobody's. */
  #lookUp(keys: readonly string[], then: () => void): void {
    const [key, ...others] = keys;
    if (key === undefined) {
      then();
      return;
    }
    const answer = this.#services.parts.grants.refresh(this.#route.sandboxId, key);
    this.#whenGranted(this.#inTime(answer), (compiled) => {
      const scope = this.#scope;
      if (scope === undefined) return;
      this.#compiled = compiled;
      scope.view = compiled.index.forHost(this.#route.authority.host);
      scope.markAsked(key);
      this.#lookUp(others, then);
    });
  }

  /** A lookup may take a bounded time; then the grants at hand decide. */
  #inTime(answer: GrantsAnswer | Promise<GrantsAnswer>): GrantsAnswer | Promise<GrantsAnswer> {
    const compiled = this.#compiled;
    if (!(answer instanceof Promise) || compiled === undefined) return answer;
    const { promise, resolve } = Promise.withResolvers<GrantsAnswer>();
    const timer = setTimeout(
      () => resolve({ kind: "grants", grants: compiled.grants }),
      this.#services.options.limits.lookupTimeoutMs,
    );
    void answer.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
    return promise;
  }

  #whenGranted(answer: GrantsAnswer | Promise<GrantsAnswer>, then: (compiled: CompiledGrants) => void): void {
    if (answer instanceof Promise) {
      void answer.then((value) => this.#whenGranted(value, then)).catch((error: unknown) => this.#crash(error));
      return;
    }
    if (this.#ended) return;
    switch (answer.kind) {
      case "grants":
        then(this.#services.compile(answer.grants));
        break;
      case "unknown-sandbox":
        this.#refuse("proxy-auth-required");
        break;
      case "unavailable":
        this.#refuse("grants-unavailable", answer.detail);
        break;
      default:
        answer satisfies never;
    }
  }

  // ---- forwarding the request

  #take(content: Buffer): void {
    if (this.#buffered && (this.#plan?.codings.length ?? 0) > 0) this.#original.push(content);
    if (this.#rewrite === undefined) this.#send(content);
    else if (!this.#rewrite.push(content)) this.#pauseClient();
    if (this.#scope?.blocked) this.#onBlockedBody();
  }

  #takeEnd(trailers: readonly Field[]): void {
    const scope = this.#scope;
    this.#trailers = trailers;
    if (trailers.length > 0 && scope !== undefined) {
      const result = substituteTrailers(trailers, scope);
      if (result.kind === "unknown") {
        this.#lookUp(result.keys, () => this.#takeEnd(trailers));
        return;
      }
      this.#trailers = result.fields;
    }
    if (this.#rewrite === undefined) this.#sendEnd();
    else this.#rewrite.end();
    if (!this.#ended && scope?.blocked) this.#onBlockedBody();
  }

  #send(bytes: Buffer): void {
    if (this.#upstream !== undefined && !this.#buffered) {
      this.#upstream.sendData(bytes);
      return;
    }
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (!this.#buffered && this.#heldBytes > heldBytesBeforePause) this.#pauseClient();
  }

  #sendEnd(): void {
    if (this.#ended) return;
    this.#rewrittenEnd = true;
    if (this.#buffered) {
      if (this.#scope?.blocked) return;
      this.#settleBody();
      this.#acquire(false);
    } else this.#upstream?.sendEnd(this.#trailers);
  }

  /** The whole body is at hand: its length, and what its digests have to be. */
  #settleBody(): void {
    const plan = this.#plan;
    if (plan !== undefined && !plan.transform.changed && plan.codings.length > 0) {
      this.#held = this.#original;
      this.#heldBytes = 0;
      for (const bytes of this.#held) this.#heldBytes += bytes.length;
    }
    this.#original = [];
    this.#sentLength = this.#heldBytes;
    if (plan === undefined || !plan.transform.changed || plan.digests.length === 0) return;
    const hashes = new Map<DigestAlgorithm, Buffer>();
    for (const algorithm of plan.digests) {
      const hash = createHash(algorithm);
      for (const bytes of this.#held) hash.update(bytes);
      hashes.set(algorithm, hash.digest());
    }
    this.#sent = rewriteDigests(this.#sent, hashes);
  }

  #acquire(fresh: boolean): void {
    const { sandboxId, authority } = this.#route;
    const connection = this.#services.pool.acquire(sandboxId, authority, fresh, undefined);
    if (!(connection instanceof Promise)) {
      connection.begin(this);
      this.#open(connection);
      return;
    }
    const acquiring = new AbortController();
    this.#acquiring = acquiring;
    void connection
      .then(
        (made) => {
          if (this.#ended || acquiring.signal.aborted) {
            made.destroy();
            return;
          }
          this.#acquiring = undefined;
          made.begin(this);
          this.#open(made);
          this.#resumeClient();
        },
        (error: unknown) => {
          if (this.#ended) return;
          this.#failUpstream(
            error instanceof KeyswapError ? error : new KeyswapError("internal", undefined, { cause: error }),
          );
        },
      )
      .catch((error: unknown) => this.#crash(error));
  }

  /** The upstream leg is there: the head goes out, and what was held. */
  #open(upstream: UpstreamStream): void {
    this.#upstream = upstream;
    upstream.sendHead(this.#sent, this.#sent.target, this.#sentLength);
    const held = this.#held;
    if (!this.#isRepeatable()) {
      this.#held = [];
      this.#heldBytes = 0;
    }
    for (const bytes of held) upstream.sendData(bytes);
    if (this.#rewrittenEnd) upstream.sendEnd(this.#trailers);
    this.onRequestFlush();
  }

  #isRepeatable(): boolean {
    return idempotent.has(this.#head.method) && (this.#buffered || this.#length === 0);
  }

  #pauseClient(): void {
    if (this.#clientPaused || this.#requestComplete) return;
    this.#clientPaused = true;
    this.#client.pauseRequest();
  }

  #resumeClient(): void {
    if (!this.#clientPaused) return;
    this.#clientPaused = false;
    this.#client.resumeRequest();
  }

  // ---- endings

  #onBlockedBody(): void {
    if (this.#ended) return;
    if (this.#upstream === undefined || this.#buffered) this.#refuseBlocked();
    else this.#finish("violation-blocked");
  }

  #refuseBlocked(): void {
    const reasons = new Set(this.#scope?.notSubstituted.map((entry) => entry.reason));
    this.#refuse("violation-blocked", [...reasons].join(", "));
  }

  /** Answers with an error of our own, as long as no answer has begun. */
  #refuse(code: ErrorCode, detail?: string): void {
    if (this.#ended) return;
    if (this.#answer?.begun) {
      this.#error = code;
      this.#client.abort();
      this.#finish(code);
      return;
    }
    const { head, body } = errorAnswer(code, detail);
    const note = this.#services.options.note && this.#scope !== undefined ? noteOf(this.#scope) : undefined;
    this.#status = head.status;
    this.#client.sendHead(note === undefined ? head : withNote(head, note), body.length);
    if (this.#head.method !== "HEAD") this.#client.sendData(body);
    this.#client.sendEnd([]);
    this.#finish(code);
  }

  #failUpstream(error: KeyswapError): void {
    this.#refuse(error.code, error.detail);
  }

  #crash(error: unknown): void {
    this.#services.logger.error({ err: error instanceof Error ? error.message : "unknown" }, "exchange failed");
    this.#refuse("internal");
  }

  /** The one end. Without an error the answer went out whole. */
  #finish(error: ErrorCode | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error ?? this.#error;
    this.#acquiring?.abort();
    this.#upstream?.abort();
    this.#upstream = undefined;
    this.#rewrite?.destroy();
    this.#answer?.destroy();
    this.#held = [];
    this.#received = [];
    this.#record();
    const broken = error !== undefined && (this.#answer?.begun ?? false);
    if (broken || error === "client-closed" || this.#status === undefined) this.#client.abort();
    else this.#client.flush();
    this.#client.onExchangeEnd(this.#requestComplete);
  }

  #record(): void {
    const { clock, parts } = this.#services;
    const now = clock();
    const query = this.#target.indexOf("?");
    const event: ExchangeEvent = {
      type: "exchange",
      time: new Date(this.#startedAt).toISOString(),
      id: this.#services.nextId(),
      sandbox: this.#route.sandboxId,
      way: this.#route.way,
      authority: this.#services.describe(this.#route.authority),
      protocol: this.#client.protocol,
      method: this.#head.method,
      path: query < 0 ? this.#target : this.#target.slice(0, query),
      ...(this.#status === undefined ? undefined : { status: this.#status }),
      ...(this.#error === undefined ? undefined : { error: this.#error }),
      requestBytes: this.#requestBytes,
      responseBytes: this.#answer?.sentBytes ?? 0,
      ...(this.#firstByteAt === undefined ? undefined : { firstByteMs: this.#firstByteAt - this.#startedAt }),
      durationMs: now - this.#startedAt,
      substituted: this.#scope?.substituted ?? [],
      notSubstituted: this.#scope?.notSubstituted ?? [],
      scrubbed: this.#answer?.scrubbed ?? [],
    };
    parts.audit.record(event);
  }
}

/** What makes a request unacceptable before anything is decided about secrets. */
function checkHead(head: RequestHead, authority: Authority): { code: ErrorCode; detail?: string } | undefined {
  // TRACE would echo the request; it also carries no credential that a client needs.
  if (head.method === "TRACE" || head.method === "TRACK") return { code: "method-not-allowed" };
  let host: Field | undefined;
  for (const field of head.fields) {
    if (field.key === "host") {
      if (host !== undefined) return { code: "bad-request", detail: "two Host fields" };
      host = field;
    } else if (field.key === "upgrade" && field.value.toLowerCase().includes("websocket")) {
      return { code: "upgrade-unsupported" };
    }
  }
  // HTTP/1.0 may leave Host out; the connection's authority is used then.
  if (host === undefined) return head.minor === 0 ? undefined : { code: "bad-request", detail: "no Host field" };
  return hostHeaderMatches(authority, host.value) ? undefined : { code: "authority-mismatch" };
}

/** As a client would write it: the port only where it is not the scheme's own. */
function hostOf(authority: Authority): string {
  const isDefault = authority.port === (authority.scheme === "https" ? 443 : 80);
  return isDefault ? bracketed(authority.host) : formatAuthority(authority);
}

function noteOf(scope: SubstitutionScope): string | undefined {
  if (scope.notSubstituted.length === 0) return undefined;
  const notes = scope.notSubstituted.map(({ secret, surface, reason }) =>
    [`not-substituted;reason=${reason}`, surface && `surface=${surface}`, secret && `secret="${secret}"`]
      .filter(Boolean)
      .join(";"),
  );
  return notes.slice(0, 16).join(", ");
}

function withNote(head: ResponseHead, note: string): ResponseHead {
  return { ...head, fields: [...head.fields, makeField("Keyswap-Note", note)] };
}
