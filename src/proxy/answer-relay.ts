// The answer's way from the destination to the client: plans how it is scrubbed, rewrites it, frames it anew.

import type { Substitution } from "../core/audit.ts";
import type { ErrorCode } from "../core/errors.ts";
import { type Field, makeField, type ResponseHead } from "../core/message.ts";
import { planResponseBody } from "../core/substitution/response-plan.ts";
import type { Scrubber, ScrubSession } from "../core/substitution/scrubber.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import type { Downstream } from "./downstream.ts";
import { makeScrub } from "./make-rewrite.ts";
import type { Rewrite, RewriteFault, RewriteListener } from "./rewrite.ts";

export interface AnswerRelayOptions {
  readonly client: Downstream;
  readonly scrubber: Scrubber;
  readonly method: string;
  /** What this request carried: those names win where two secrets have one value. */
  readonly carried: readonly Substitution[];
  readonly bufferBytes: number;
  /** Asked when the head goes out. */
  readonly note: (() => string | undefined) | undefined;
  /** The answer has to wait, and may go on. */
  readonly onHeld: () => void;
  readonly onDrained: () => void;
  readonly onFault: (code: ErrorCode, detail: string) => void;
  /** Everything was handed to the client. */
  readonly onEnd: () => void;
}

export class AnswerRelay implements RewriteListener, ScrubSession {
  /** The head was handed to the client: an error can no longer be answered. */
  begun = false;
  /** Body bytes handed to the client. */
  sentBytes = 0;

  readonly #options: AnswerRelayOptions;
  readonly #found = new Set<string>();
  #carried: ReadonlySet<string> | undefined;
  #rewrite: Rewrite | undefined;
  /** Set while head and body are held until the body's new length is known. */
  #heldHead: ResponseHead | undefined;
  #original: Buffer[] = [];
  #rewritten: Buffer[] = [];
  #coded = false;
  #trailers: readonly Field[] = [];

  constructor(options: AnswerRelayOptions) {
    this.#options = options;
  }

  get scrubbed(): readonly string[] {
    return this.#found.size === 0 ? NONE : [...this.#found];
  }

  head(head: ResponseHead, length: BodyLength): void {
    const { client, scrubber, method, bufferBytes } = this.#options;
    if (scrubber.empty) {
      this.#begin(head, length === 0 ? undefined : length);
      return;
    }
    const scrubbed = scrubber.scrubHead(head, this);
    if (length === 0) {
      this.#begin(scrubbed, undefined);
      return;
    }
    const plan = planResponseBody({ method }, head, length, { bufferBytes });
    switch (plan.kind) {
      case "none":
        this.#begin(scrubbed, length);
        return;
      case "refuse":
        this.#options.onFault(plan.code, "content coding");
        return;
      case "buffered":
        this.#heldHead = scrubbed;
        this.#coded = plan.codings.length > 0;
        break;
      case "in-place":
        this.#begin(scrubbed, length);
        break;
      case "streamed":
        this.#begin(
          plan.codings.length > 0 ? withoutBodyDigests(scrubbed) : scrubbed,
          length === "close" && client.protocol === "h2" ? "close" : "chunked",
        );
        break;
      default:
        plan satisfies never;
    }
    this.#rewrite = makeScrub(plan, scrubber, this);
  }

  data(content: Buffer): void {
    if (this.#rewrite === undefined) {
      this.sentBytes += content.length;
      this.#options.client.sendData(content);
      return;
    }
    if (this.#coded && this.#heldHead !== undefined) this.#original.push(content);
    if (!this.#rewrite.push(content)) this.#options.onHeld();
  }

  end(trailers: readonly Field[]): void {
    this.#trailers = trailers.length > 0 ? this.#options.scrubber.scrubFields(trailers, this) : trailers;
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
    this.#carried ??= new Set(this.#options.carried.map((use) => use.secret));
    return this.#carried;
  }

  found(secretName: string): void {
    this.#found.add(secretName);
  }

  // ---- RewriteListener

  onRewritten(bytes: Buffer): void {
    if (this.#heldHead !== undefined) {
      this.#rewritten.push(bytes);
      return;
    }
    this.sentBytes += bytes.length;
    this.#options.client.sendData(bytes);
    // A rewrite with codings works in its own turns.
    if (this.#rewrite?.ownTurns && !this.#options.client.flush()) this.#rewrite.hold();
  }

  onRewriteEnd(): void {
    const head = this.#heldHead;
    if (head !== undefined) {
      this.#heldHead = undefined;
      const untouched = this.#coded && this.#found.size === 0;
      const body = untouched ? this.#original : this.#rewritten;
      let length = 0;
      for (const bytes of body) length += bytes.length;
      this.#begin(untouched || this.#found.size === 0 ? head : withoutBodyDigests(head), length);
      for (const bytes of body) this.#options.client.sendData(bytes);
      this.sentBytes = length;
    }
    this.#finish();
  }

  onUnknownKey(): void {
    // Scrubbing asks nobody.
  }

  onRewriteDrain(): void {
    this.#options.onDrained();
  }

  /** The client can take more. */
  release(): void {
    this.#rewrite?.release();
  }

  onRewriteFault(fault: RewriteFault): void {
    this.#options.onFault(
      "upstream-malformed",
      fault === "too-large" ? "the answer decodes to more than the bound" : "content coding",
    );
  }

  // ---- inside

  #begin(head: ResponseHead, length: BodyLength | undefined): void {
    this.begun = true;
    const note = this.#options.note?.();
    const noted = note === undefined ? head : { ...head, fields: [...head.fields, makeField("Keyswap-Note", note)] };
    this.#options.client.sendHead(noted, length);
  }

  #finish(): void {
    this.#options.client.sendEnd(this.#trailers);
    this.#options.onEnd();
  }
}

const NONE: readonly string[] = [];

/** Fields that speak of the body's exact bytes and are wrong once it changed (RFC 9530, RFC 1864). */
const BODY_DIGESTS: ReadonlySet<string> = new Set(["digest", "content-digest", "repr-digest", "content-md5"]);

function withoutBodyDigests(head: ResponseHead): ResponseHead {
  if (!head.fields.some((field) => BODY_DIGESTS.has(field.key))) return head;
  return { ...head, fields: head.fields.filter((field) => !BODY_DIGESTS.has(field.key)) };
}
