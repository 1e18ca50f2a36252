// The answer's way from the destination to the client: plans how it is scrubbed, rewrites it, frames it anew.

import type { Substitution } from "../core/audit.ts";
import type { ErrorCode } from "../core/errors.ts";
import { type Field, findField, type RequestHead, type ResponseHead } from "../core/message.ts";
import type { PartAnswer } from "../core/substitution/part-answer.ts";
import {
  narrowPartHead,
  planResponseBody,
  type ScrubPlan,
  withoutBodyFields,
  withoutDigests,
} from "../core/substitution/response-plan.ts";
import type { Scrubber, ScrubSession } from "../core/substitution/scrubber.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import type { Downstream } from "./downstream.ts";
import { HeldBody } from "./held-bytes.ts";
import { makeScrub } from "./make-rewrite.ts";
import { withNote } from "./note.ts";
import type { Rewrite, RewriteFault, RewriteListener } from "./rewrite.ts";

export interface AnswerRelayOwner {
  /** Whether so many bytes more may be held until the exchange ends. */
  reserve(bytes: number): boolean;
  /** For the `keyswap-note` header; asked when the head goes out. */
  readonly note: string | undefined;
  /** The answer has to wait, and may go on. */
  onAnswerHeld(): void;
  onAnswerDrained(): void;
  onAnswerFault(code: ErrorCode, detail: string): void;
  /** Everything was handed to the client. */
  onAnswerSent(): void;
}

export class AnswerRelay implements RewriteListener, ScrubSession {
  /** The head was handed to the client: an error can no longer be answered. */
  begun = false;
  /** Body bytes handed to the client. */
  sentBytes = 0;

  /** What is scrubbed changes with the grants while the answer goes on. */
  followsGrants = false;

  readonly #owner: AnswerRelayOwner;
  readonly #client: Downstream;
  readonly #currentScrubber: () => Scrubber;
  readonly #substituted: readonly Substitution[];
  readonly #bufferBytes: number;
  readonly #found = new Set<string>();
  #carried: ReadonlySet<string> | undefined;
  #rewrite: Rewrite | undefined;
  /** Set while head and body are held until the body's new length is known. */
  #heldHead: ResponseHead | undefined;
  #original: Buffer[] = [];
  #rewritten: Buffer[] = [];
  /** How much may come in before a held answer has to go out as a stream. */
  #holdBytes = 0;
  #originalBytes = 0;
  #heldBody: HeldBody | undefined;
  #coded = false;
  /** It goes out coded by us, not as it came. */
  #codedAnew = false;
  #trailers: readonly Field[] = [];

  /** `scrubber`: by the grants of the moment. `substituted`: what this request carried; those names win where two secrets have one value. */
  constructor(
    owner: AnswerRelayOwner,
    client: Downstream,
    scrubber: () => Scrubber,
    substituted: readonly Substitution[],
    bufferBytes: number,
  ) {
    this.#owner = owner;
    this.#client = client;
    this.#currentScrubber = scrubber;
    this.#substituted = substituted;
    this.#bufferBytes = bufferBytes;
  }

  get scrubbed(): readonly string[] {
    return this.#found.size === 0 ? NONE : [...this.#found];
  }

  head(received: ResponseHead, length: BodyLength, request: RequestHead): void {
    const head = withoutDetours(received);
    const scrubber = this.#currentScrubber();
    if (scrubber.empty) {
      this.#begin(head, length === 0 ? undefined : length);
      return;
    }
    const scrubbed = scrubber.scrubHead(head, this);
    if (length === 0) {
      this.#begin(scrubbed, undefined);
      return;
    }
    const plan = this.#plan(head, length, request);
    if (plan.kind === "none") {
      this.#begin(scrubbed, length);
      return;
    }
    if (plan.kind === "refuse") {
      this.#owner.onAnswerFault(plan.code, plan.code === "coding-unreadable" ? "content coding" : "content range");
      return;
    }
    this.#coded = plan.codings.length > 0;
    if (plan.kind === "in-place" && plan.part !== undefined) this.#beginPart(scrubbed, length, plan.part);
    else if (plan.kind === "in-place") this.#begin(scrubbed, length);
    else if (plan.kind === "streamed" && plan.holdBytes === 0) this.#beginStreamed(scrubbed);
    else {
      this.#heldHead = scrubbed;
      this.#holdBytes = plan.kind === "streamed" ? plan.holdBytes : Number.POSITIVE_INFINITY;
    }
    this.#rewrite = makeScrub(plan, this.#currentScrubber, this);
    this.followsGrants = plan.messages !== undefined;
  }

  /** Holds nothing where too much is held already. */
  #plan(head: ResponseHead, length: Exclude<BodyLength, 0>, request: RequestHead): ScrubPlan {
    const plan = planResponseBody(request, head, length, { bufferBytes: this.#bufferBytes });
    const isPlain = plan.kind === "buffered" && plan.codings.length === 0;
    const held = isPlain ? Number(length) : this.#bufferBytes;
    const holds = plan.kind === "buffered" || (plan.kind === "streamed" && plan.holdBytes > 0);
    if (!holds) return plan;
    if (!this.#owner.reserve(held)) return planResponseBody(request, head, length, { bufferBytes: 0 });
    this.#heldBody = new HeldBody(this.#owner, held, this.#bufferBytes);
    return plan;
  }

  data(content: Buffer): void {
    if (this.#rewrite === undefined) {
      this.#sendOn(content);
      return;
    }
    if (this.#heldHead !== undefined) {
      this.#originalBytes += content.length;
      const mayHold = this.#originalBytes <= this.#holdBytes && (!this.#coded || this.#mayHold(content));
      if (!mayHold) this.#beginStreamed(this.#heldHead);
      else if (this.#coded) this.#original.push(content);
    }
    if (!this.#rewrite.push(content)) this.#owner.onAnswerHeld();
  }

  end(trailers: readonly Field[]): void {
    const scrubber = this.#currentScrubber();
    this.#trailers = trailers.length > 0 && !scrubber.empty ? scrubber.scrubFields(trailers, this) : trailers;
    if (this.#rewrite === undefined) this.#finish();
    else this.#rewrite.end();
  }

  destroy(): void {
    this.#rewrite?.destroy();
    this.#rewrite = undefined;
    this.#original = [];
    this.#rewritten = [];
  }

  // ---- ScrubSession

  get carried(): ReadonlySet<string> {
    this.#carried ??= new Set(this.#substituted.map((use) => use.secret));
    return this.#carried;
  }

  found(secretName: string): void {
    this.#found.add(secretName);
  }

  // ---- RewriteListener

  onRewritten(bytes: Buffer): void {
    if (this.#heldHead !== undefined) {
      this.#rewritten.push(bytes);
      if (this.#mayHold(bytes)) return;
      this.#beginStreamed(this.#heldHead);
    } else this.#sendOn(bytes);
    // A rewrite with codings works in its own turns.
    if (this.#rewrite?.ownTurns && !this.#client.flush()) this.#rewrite.hold();
  }

  onRewriteEnd(): void {
    const head = this.#heldHead;
    if (head !== undefined) {
      this.#heldHead = undefined;
      const untouched = this.#coded && this.#found.size === 0;
      const body = untouched ? this.#original : this.#rewritten;
      let length = 0;
      for (const bytes of body) length += bytes.length;
      const changed = this.#found.size > 0;
      this.#begin(changed ? { ...head, fields: withoutDigests(head.fields) } : head, length);
      for (const bytes of body) this.#sendOn(bytes);
    }
    this.#finish();
  }

  onUnknownKey(): void {
    // Scrubbing asks nobody.
  }

  onRewriteDrain(): void {
    this.#owner.onAnswerDrained();
  }

  /** The client can take more. */
  release(): void {
    this.#rewrite?.release();
  }

  onRewriteFault(fault: RewriteFault): void {
    this.#owner.onAnswerFault("upstream-malformed", faultDetails[fault]);
  }

  // ---- inside

  #begin(head: ResponseHead, length: BodyLength | undefined): void {
    this.begun = true;
    const note = this.#owner.note;
    this.#client.sendHead(note === undefined ? head : withNote(head, note), length);
  }

  #beginPart(head: ResponseHead, length: BodyLength, part: PartAnswer): void {
    const narrowed = narrowPartHead(head, part);
    if (part.kind === "unsatisfiable") this.#begin(narrowed, 0);
    else this.#begin(narrowed, part.kind === "cut" && typeof length === "number" ? part.cut.length : length);
  }

  /** The length is not known any more; what was held goes out. */
  #beginStreamed(head: ResponseHead): void {
    this.#codedAnew = this.#coded;
    const rewritten = this.#rewritten;
    const fields = this.#coded || rewritten.length > 0 ? withoutBodyFields(head.fields) : head.fields;
    this.#heldHead = undefined;
    this.#original = [];
    this.#begin(fields === head.fields ? head : { ...head, fields }, "chunked");
    this.#rewritten = [];
    for (const bytes of rewritten) this.#sendOn(bytes);
  }

  #mayHold({ length }: Buffer): boolean {
    return this.#heldBody?.add(length) !== false;
  }

  #sendOn(bytes: Buffer): void {
    this.sentBytes += bytes.length;
    this.#client.sendData(bytes);
  }

  #finish(): void {
    const changed = this.#codedAnew || this.#found.size > 0;
    this.#client.sendEnd(changed ? withoutDigests(this.#trailers) : this.#trailers);
    this.#owner.onAnswerSent();
  }
}

const NONE: readonly string[] = [];

const faultDetails: Readonly<Record<RewriteFault, string>> = {
  "malformed-coding": "content coding",
  "too-large": "the answer decodes to more than the bound",
  "malformed-messages": "messages that cannot be read",
};

/** Without what leads the client elsewhere, or has it show its proxy credentials. */
export function withoutDetours(head: ResponseHead): ResponseHead {
  return withoutAlternatives(withoutChallenge(head));
}

/** Only this proxy may ask for proxy credentials. */
function withoutChallenge(head: ResponseHead): ResponseHead {
  if (findField(head.fields, "proxy-authenticate") === undefined) return head;
  return { ...head, fields: head.fields.filter((field) => field.key !== "proxy-authenticate") };
}

/** Alt-Svc (RFC 7838) would lead the client to another host or to QUIC, past what was decided here. */
function withoutAlternatives(head: ResponseHead): ResponseHead {
  if (findField(head.fields, "alt-svc") === undefined) return head;
  return { ...head, fields: head.fields.filter((field) => field.key !== "alt-svc") };
}
