// The request's way from the client to the destination: plans how its body is rewritten, holds what cannot go out yet,
// frames it anew. Mirrors AnswerRelay.
//
// Until `open` nothing goes upstream. A buffered body is held whole, so that its length and digests are known before the
// head goes out, unless what comes of it outgrows the bound; any other is held only while there is no connection, and the
// client is told to wait.

import { createHash } from "node:crypto";
import { type Field, findField, type RequestHead } from "../core/message.ts";
import { type BodyPlan, planRequestBody } from "../core/substitution/body-plan.ts";
import { type DigestAlgorithm, rewriteDigests } from "../core/substitution/digests.ts";
import { substituteTrailers } from "../core/substitution/head.ts";
import type { SubstitutionScope } from "../core/substitution/scope.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import { HeldBody } from "./held-bytes.ts";
import { makeRewrite } from "./make-rewrite.ts";
import { messageCodec } from "./message-codec.ts";
import type { Rewrite, RewriteFault, RewriteListener } from "./rewrite.ts";
import type { UpstreamStream } from "./upstream.ts";

export interface RequestRelayOwner {
  /** Whether so many bytes more may be held until the exchange ends. */
  reserve(bytes: number): boolean;
  /** Everything that goes out is at hand: time to connect. Called once, at once but for buffered bodies. */
  onSendable(): void;
  /** Placeholders have to be looked up before anything goes on; call `then` afterwards. */
  onUnknownKeys(keys: readonly string[], then: () => void): void;
  /** The client must wait with its body, and may go on. */
  onPause(): void;
  onResume(): void;
  /** A placeholder in the body was left alone whose policy is to refuse the request. */
  onBlocked(): void;
  onBodyFault(fault: RewriteFault): void;
  /** The client waits for 100 before it sends a body that has to be here before the head can go. */
  onContinueWanted(): void;
}

/** While there is no upstream yet, a streamed body is held up to this many bytes before the client is paused. */
const heldBytesBeforePause = 64 * 1024;

export class RequestRelay implements RewriteListener {
  readonly #owner: RequestRelayOwner;
  readonly #scope: SubstitutionScope;
  #head: RequestHead;
  #length: BodyLength;
  readonly #plan: BodyPlan;
  #rewrite: Rewrite | undefined;
  #buffered: boolean;
  /** Of a buffered body. */
  #heldBody: HeldBody | undefined;
  /** A buffered coded body as it came: it goes out like that where nothing in it changes. */
  #original: Buffer[] = [];
  #held: Buffer[] = [];
  #heldBytes = 0;
  #trailers: readonly Field[] = [];
  #ended = false;
  #upstream: UpstreamStream | undefined;

  /** `planned`: the head as the client sent it; `head`: as it goes out. */
  constructor(
    owner: RequestRelayOwner,
    planned: RequestHead,
    head: RequestHead,
    length: BodyLength,
    scope: SubstitutionScope,
    bufferBytes: number,
  ) {
    this.#owner = owner;
    this.#scope = scope;
    this.#head = head;
    this.#length = length;
    this.#plan = UNTOUCHED;
    if (length !== 0) {
      const framed = length === "close" ? "chunked" : length;
      const plan = planRequestBody(planned, framed, scope, { bufferBytes, codec: messageCodec });
      this.#plan = plan;
      if (plan.kind === "buffered") {
        const neededBytes = plan.codings.length === 0 ? Number(length) : bufferBytes;
        if (owner.reserve(neededBytes)) this.#heldBody = new HeldBody(owner, neededBytes, bufferBytes);
        else this.#plan = planRequestBody(planned, framed, scope, { bufferBytes: 0, codec: messageCodec });
      }
    }
    this.#buffered = this.#plan.kind === "buffered";
    if (this.#plan.kind === "untouched") return;
    this.#rewrite = makeRewrite(this.#plan, this);
    if (this.#plan.kind === "streamed") this.#length = "chunked";
  }

  /** Call once the owner is ready to hear. */
  begin(): void {
    if (!this.#buffered) {
      this.#owner.onSendable();
      return;
    }
    // The head waits for the body, so the client's wait for 100 has to be ended here (RFC 9110 section 10.1.1).
    if (findField(this.#head.fields, "expect") === undefined) return;
    this.#head = { ...this.#head, fields: this.#head.fields.filter((field) => field.key !== "expect") };
    this.#owner.onContinueWanted();
  }

  /** The whole request can be sent once more: nothing of it was streamed. */
  get repeatable(): boolean {
    return this.#ended && (this.#buffered || this.#length === 0);
  }

  // ---- from the client

  data(content: Buffer): void {
    if (this.#buffered && this.#codings > 0) {
      this.#original.push(content);
      this.#countHeld(content);
    }
    if (this.#rewrite === undefined) this.#send(content);
    else if (!this.#rewrite.push(content)) this.#owner.onPause();
    if (this.#scope.blocked) this.#owner.onBlocked();
  }

  end(trailers: readonly Field[]): void {
    if (trailers.length > 0) {
      const result = substituteTrailers(trailers, this.#scope);
      if (result.kind === "unknown") {
        this.#owner.onUnknownKeys(result.keys, () => {
          this.end(trailers);
          this.flush();
        });
        return;
      }
      this.#trailers = result.fields;
    }
    if (this.#rewrite === undefined) this.#sendEnd();
    else this.#rewrite.end();
    if (this.#scope.blocked) this.#owner.onBlocked();
  }

  // ---- to the destination

  /** The upstream leg is there: the head goes out, and what was held. */
  open(upstream: UpstreamStream): void {
    this.#upstream = upstream;
    upstream.sendHead(this.#head, this.#head.target, this.#length);
    for (const bytes of this.#held) upstream.sendData(bytes);
    if (!this.#buffered) {
      this.#held = [];
      this.#heldBytes = 0;
    }
    if (this.#ended) upstream.sendEnd(this.#trailers);
    this.#rewrite?.release();
    this.flush();
  }

  /** Ends a turn in which something was sent. */
  flush(): void {
    if (this.#upstream === undefined || this.#upstream.flush()) return;
    if (this.#rewrite?.ownTurns) this.#rewrite.hold();
    this.#owner.onPause();
  }

  /** The destination can take more. */
  drain(): void {
    this.#rewrite?.release();
  }

  /** The leg is gone. */
  close(): void {
    this.#upstream = undefined;
  }

  /** The answer has begun: nothing will be sent again. */
  forget(): void {
    if (this.#buffered && this.#ended) this.#held = [];
  }

  destroy(): void {
    this.#upstream = undefined;
    this.#rewrite?.destroy();
    this.#held = [];
    this.#original = [];
  }

  // ---- RewriteListener

  onRewritten(bytes: Buffer): void {
    this.#send(bytes);
    if (!this.#rewrite?.ownTurns || this.#buffered) return;
    if (this.#scope.blocked) this.#owner.onBlocked();
    else this.flush();
  }

  onRewriteEnd(): void {
    this.#sendEnd();
    if (this.#rewrite?.ownTurns) this.flush();
  }

  onUnknownKey(key: string): void {
    this.#owner.onPause();
    this.#owner.onUnknownKeys([key], () => {
      this.#rewrite?.resume();
      if (this.#scope.blocked) this.#owner.onBlocked();
      else this.flush();
    });
  }

  onRewriteDrain(): void {
    this.#owner.onResume();
  }

  onRewriteFault(fault: RewriteFault): void {
    this.#owner.onBodyFault(fault);
  }

  // ---- inside

  get #codings(): number {
    return this.#plan.kind === "untouched" ? 0 : this.#plan.codings.length;
  }

  #send(bytes: Buffer): void {
    if (this.#buffered) {
      // It goes out as it came.
      if (this.#plan.kind !== "untouched" && this.#plan.isFixed) return;
      this.#held.push(bytes);
      this.#heldBytes += bytes.length;
      this.#countHeld(bytes);
      return;
    }
    if (this.#upstream !== undefined) {
      this.#upstream.sendData(bytes);
      return;
    }
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    this.#pauseUnopened();
  }

  #countHeld({ length }: Buffer): void {
    if (this.#heldBody?.add(length) === false) this.#outgrow();
  }

  /** It is longer than what may be held: it goes on as a stream, unless its digests have to be known first. */
  #outgrow(): void {
    if (this.#plan.kind === "untouched" || this.#plan.digests.length > 0) {
      this.#owner.onBodyFault("too-large");
      return;
    }
    if (this.#scope.blocked) {
      this.#owner.onBlocked();
      return;
    }
    this.#buffered = false;
    this.#original = [];
    this.#length = "chunked";
    this.#owner.onSendable();
    if (this.#upstream === undefined) this.#pauseUnopened();
  }

  /** As long as there is no connection little is held. */
  #pauseUnopened(): void {
    if (this.#heldBytes <= heldBytesBeforePause) return;
    if (this.#rewrite?.ownTurns) this.#rewrite.hold();
    this.#owner.onPause();
  }

  #sendEnd(): void {
    this.#ended = true;
    if (this.#scope.blocked) {
      this.#owner.onBlocked();
      return;
    }
    if (!this.#buffered) {
      this.#upstream?.sendEnd(this.#trailers);
      return;
    }
    this.#settleBody();
    this.#owner.onSendable();
  }

  /** The whole body is at hand: its length, and what its digests have to be. */
  #settleBody(): void {
    const plan = this.#plan;
    if (plan.kind === "untouched") return;
    if (!plan.transform.changed && plan.codings.length > 0) {
      this.#held = this.#original;
      this.#heldBytes = 0;
      for (const bytes of this.#held) this.#heldBytes += bytes.length;
    }
    this.#original = [];
    this.#length = this.#heldBytes;
    if (!plan.transform.changed || plan.digests.length === 0) return;
    const hashes = new Map<DigestAlgorithm, Buffer>();
    for (const algorithm of plan.digests) {
      const hash = createHash(algorithm);
      for (const bytes of this.#held) hash.update(bytes);
      hashes.set(algorithm, hash.digest());
    }
    this.#head = rewriteDigests(this.#head, hashes);
  }
}

const UNTOUCHED: BodyPlan = { kind: "untouched" };
