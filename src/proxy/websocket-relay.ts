// A WebSocket through the proxy, once its handshake is over: messages from the client with values written in, messages from
// the destination scrubbed, control frames as they come.
//
//   client ─► WebSocketLeg ─► WebSocketMessages (substitution) ─► WebSocketLeg ─► destination
//          ◄─              ◄─ WebSocketMessages (scrubbing)    ◄─
//
// Invariants: the sandbox is judged anew for every message, so that a value that was revoked is never sent after the change
// was heard; what was ever scrubbed on this connection stays scrubbed; each side is read no faster than the other takes;
// the relay ends exactly once.

import { randomBytes } from "node:crypto";
import type { ErrorCode } from "../core/errors.ts";
import type { Grant } from "../core/grants.ts";
import type { ResponseHead } from "../core/message.ts";
import { transformMessage } from "../core/substitution/body-plan.ts";
import { FollowingScrub } from "../core/substitution/following-scrub.ts";
import type { HostView } from "../core/substitution/grant-index.ts";
import type { SubstitutionScope } from "../core/substitution/scope.ts";
import type { Scrubber, ScrubSession } from "../core/substitution/scrubber.ts";
import { WebSocketMessages } from "../core/substitution/websocket-messages.ts";
import { type ControlOpcode, closeCodes, type MessageKind, opcodes } from "../core/wire/websocket.ts";
import type { Timed } from "./deadlines.ts";
import type { Switched } from "./downstream.ts";
import type { ScopeKeeper } from "./scope-keeper.ts";
import type { Services } from "./services.ts";
import { WebSocketLeg, type WebSocketLegOwner } from "./websocket-leg.ts";

export interface WebSocketRelayOwner {
  /** Both sides are closed. Without an error they did that by themselves. */
  onRelayEnd(error: ErrorCode | undefined): void;
}

/** How long the two sides have to close once they were told to. */
const closingMs = 2_000;

export class WebSocketRelay implements WebSocketLegOwner, ScrubSession, Timed {
  /** Payload of messages. */
  receivedBytes = 0;
  sentBytes = 0;

  readonly #owner: WebSocketRelayOwner;
  readonly #services: Services;
  readonly #keeper: ScopeKeeper;
  readonly #scope: SubstitutionScope;
  readonly #substituting: WebSocketMessages;
  readonly #scrubbing: WebSocketMessages;
  readonly #found = new Set<string>();
  #scrubbedView: HostView | undefined;
  #scrubbed: readonly Grant[] = [];
  #scrubber: Scrubber | undefined;
  #client: WebSocketLeg | undefined;
  #upstream: WebSocketLeg | undefined;
  #error: ErrorCode | undefined;
  /** We told both sides to close. */
  #closing = false;
  #isOver = false;
  /** When it ends, come what may. */
  #endAt = Number.POSITIVE_INFINITY;
  /** When it is looked whether both sides take what waits for them. */
  #lookAt = Number.POSITIVE_INFINITY;

  constructor(owner: WebSocketRelayOwner, services: Services, keeper: ScopeKeeper, scope: SubstitutionScope) {
    this.#owner = owner;
    this.#services = services;
    this.#keeper = keeper;
    this.#scope = scope;
    const { bufferBytes } = services.options;
    this.#substituting = new WebSocketMessages(
      (kind, beginning) => transformMessage(kind, beginning, scope),
      bufferBytes,
      (kind, payload, begins, ends) => {
        if (!scope.blocked) this.#upstream?.send(begins ? opcodes[kind] : opcodes.continuation, payload, ends);
      },
    );
    this.#scrubbing = new WebSocketMessages(
      (kind) => new FollowingScrub(() => this.#currentScrubber(), kind === "text" ? "exact" : "in-place", this),
      bufferBytes,
      (kind, payload, begins, ends) => {
        this.sentBytes += payload.length;
        this.#client?.send(begins ? opcodes[kind] : opcodes.continuation, payload, ends);
      },
    );
  }

  /** The answer that begins it, as the client may see it. */
  scrubHead(head: ResponseHead): ResponseHead {
    return this.#currentScrubber().scrubHead(head, this);
  }

  /** Takes both sockets over. */
  begin(client: Switched, upstream: Switched): void {
    const { stallTimeoutMs } = this.#services.options.limits;
    this.#client = new WebSocketLeg(this, client, undefined, stallTimeoutMs);
    this.#upstream = new WebSocketLeg(this, upstream, makeKey, stallTimeoutMs);
    this.#lookAt = this.#services.clock() + this.#client.lookMs;
    this.#services.deadlines.add(this);
    this.#client.start();
    this.#upstream.start();
    if (this.#services.draining) this.drain();
  }

  /** The proxy shuts down. */
  drain(): void {
    this.fail("shutting-down");
  }

  /** Closes both sides. Where the client itself is at fault `code` says how. */
  fail(error: ErrorCode, detail = "", code = closeCodeFor(error)): void {
    if (this.#closing || this.#isOver) return;
    this.#closing = true;
    this.#error ??= error;
    this.#client?.close(code, detail === "" ? `keyswap: ${error}` : `keyswap: ${error}: ${detail}`);
    this.#upstream?.close(closeCodes.goingAway);
    this.#endAt = this.#services.clock() + closingMs;
  }

  get deadlineAt(): number {
    return Math.min(this.#lookAt, this.#endAt);
  }

  onDeadline(): void {
    const now = this.#services.clock();
    if (now >= this.#endAt) this.destroy();
    else this.#look(now);
  }

  destroy(): void {
    this.#client?.destroy();
    this.#upstream?.destroy();
  }

  get scrubbed(): readonly string[] {
    return [...this.#found];
  }

  // ---- ScrubSession

  get carried(): ReadonlySet<string> {
    return new Set(this.#scope.substituted.map((use) => use.secret));
  }

  found(secretName: string): void {
    this.#found.add(secretName);
  }

  // ---- WebSocketLegOwner

  onPart(leg: WebSocketLeg, kind: MessageKind, content: Buffer, ends: boolean): void {
    if (this.#closing) return;
    if (leg === this.#client) {
      this.receivedBytes += content.length;
      this.#substitute(leg, () => this.#substituting.push(kind, content, ends));
      return;
    }
    this.#keeper.renewAtHand();
    // Scrubbing asks nobody.
    this.#scrubbing.push(kind, content, ends);
  }

  onControl(leg: WebSocketLeg, opcode: ControlOpcode, payload: Buffer): void {
    if (this.#closing) return;
    if (leg === this.#client) this.#upstream?.send(opcode, payload);
    else this.#client?.send(opcode, this.#currentScrubber().scrubWhole(payload, "in-place", this));
    if (opcode === opcodes.close) this.#boundClosing();
  }

  onFault(leg: WebSocketLeg, code: number, detail: string): void {
    if (leg === this.#client) this.fail("bad-request", detail, code);
    else this.fail("upstream-malformed", detail);
  }

  onTurn(leg: WebSocketLeg): void {
    this.#boundClosing();
    const other = this.#otherThan(leg);
    const isFull = other?.flush() === false;
    if (isFull && !this.#closing) leg.throttle(true);
    // What the turn brought may have been answered to the side it came from.
    leg.flush();
  }

  onDrain(leg: WebSocketLeg): void {
    this.#otherThan(leg)?.throttle(false);
  }

  onEnd(leg: WebSocketLeg): void {
    const other = this.#otherThan(leg);
    this.#blame(leg);
    other?.end();
    this.#boundClosing();
  }

  onClosed(leg: WebSocketLeg): void {
    const other = this.#otherThan(leg);
    if (other !== undefined && !other.isClosed) {
      this.#blame(leg);
      // Closed without an end: broken off, and so is the other side. Else it goes on to its own end.
      if (leg.isEnded) other.end();
      else other.destroy();
      return;
    }
    if (this.#isOver) return;
    this.#isOver = true;
    this.#services.deadlines.delete(this);
    this.#owner.onRelayEnd(this.#error);
  }

  // ---- inside

  #look(now: number): void {
    const [client, upstream] = [this.#client, this.#upstream];
    if (client === undefined || upstream === undefined) return;
    this.#lookAt = now + client.lookMs;
    if (client.stalls(now)) this.fail("client-stalled");
    else if (upstream.stalls(now)) this.fail("upstream-stalled");
  }

  /** Runs a step of the substitution by what holds now; placeholders that it meets are looked up before it goes on. */
  #substitute(client: WebSocketLeg, step: () => string | undefined): void {
    client.hold();
    this.#keeper.renew(() => {
      if (this.#closing || this.#isOver) return;
      const key = step();
      if (this.#scope.blocked) {
        const reasons = new Set(this.#scope.notSubstituted.map((entry) => entry.reason));
        this.fail("violation-blocked", [...reasons].join(", "));
      } else if (key === undefined) {
        client.release();
        // Within a turn of the client's its end does this; a lookup ends in a turn of its own.
        this.onTurn(client);
      } else {
        this.#keeper.lookUp([key], () => this.#substitute(client, () => this.#substituting.resume()));
      }
    });
  }

  /** For the grants as they are, and for those that were there before: a long connection outlives changes. */
  #currentScrubber(): Scrubber {
    const { view } = this.#scope;
    if (this.#scrubber !== undefined && view === this.#scrubbedView) return this.#scrubber;
    const known = new Set(view.scrubbed.map(patternOf));
    const gone = this.#scrubbed.filter((grant) => !known.has(patternOf(grant)));
    this.#scrubbedView = view;
    this.#scrubbed = gone.length === 0 ? view.scrubbed : [...view.scrubbed, ...gone.slice(0, maxGone)];
    this.#scrubber =
      gone.length === 0
        ? this.#services.scrubbers.forView(view)
        : this.#services.scrubbers.forGrants(view.index, this.#scrubbed);
    return this.#scrubber;
  }

  #otherThan(leg: WebSocketLeg): WebSocketLeg | undefined {
    return leg === this.#client ? this.#upstream : this.#client;
  }

  /** Whoever leaves without a closing handshake ends it. */
  #blame(leg: WebSocketLeg): void {
    const isClosing = this.#client?.closeReceived || this.#upstream?.closeReceived;
    if (!isClosing) this.#error ??= leg === this.#client ? "client-closed" : "upstream-closed";
  }

  /** Once one side has said that it closes, or has ended, the other may go on for as long as it has something to say. */
  #boundClosing(): void {
    const [client, upstream] = [this.#client, this.#upstream];
    if (this.#closing || client === undefined || upstream === undefined) return;
    if (client.closeReceived || client.isEnded || upstream.closeReceived || upstream.isEnded) {
      this.#endAt = this.#services.clock() + this.#services.options.limits.halfClosedTimeoutMs;
    }
  }
}

/** Bound on patterns that are kept although their secrets are gone. */
const maxGone = 64;

function patternOf(grant: Grant): string {
  return `${grant.name}\n${grant.value.reveal().toString("latin1")}`;
}

function closeCodeFor(error: ErrorCode): number {
  switch (error) {
    case "violation-blocked":
    case "egress-denied":
    case "proxy-auth-required":
    case "client-stalled":
      return closeCodes.policyViolation;
    case "shutting-down":
      return closeCodes.goingAway;
    case "grants-unavailable":
      return closeCodes.tryAgainLater;
    case "upstream-malformed":
    case "upstream-stalled":
      return closeCodes.badGateway;
    default:
      return closeCodes.internalError;
  }
}

const keyBytes = 4;
const poolBytes = 4096;
let pool = Buffer.alloc(0);
let poolAt = 0;

/** A masking key that cannot be foretold (RFC 6455 section 5.3). */
function makeKey(): Buffer {
  if (poolAt >= pool.length) {
    pool = randomBytes(poolBytes);
    poolAt = 0;
  }
  poolAt += keyBytes;
  return pool.subarray(poolAt - keyBytes, poolAt);
}
