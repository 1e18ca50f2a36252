// The streaming rewrite of one body (or one part of a multipart body) in one syntax.

import type { BodyTransform, Emit } from "../message.ts";
import type { NotSubstitutedReason } from "../reasons.ts";
import type { CompiledGrant } from "./compiled-grant.ts";
import type { ValueContext } from "./encodings.ts";
import { BodyScanner, type BodySighting } from "./scanner.ts";
import type { SubstitutionScope } from "./scope.ts";
import type { Spelling } from "./spelling.ts";

/** Follows the bytes of a body as the client sent them and knows where in its structure they are. */
export interface Follower {
  advance(bytes: Buffer, from: number, to: number): void;
}

/** Names the place at the position that was reached: a JSON pointer or a form field. */
export interface Locator extends Follower {
  part(): string | undefined;
}

/** Tells whether the bytes so far are text. */
export interface Sniffer extends Follower {
  readonly binary: boolean;
}

/** Knows how many layers of JSON strings the position that was reached is deep; 1: not within another one's text. */
export interface Nesting extends Follower {
  readonly depth: number;
}

/** Knows in which context the position that was reached is, where a syntax has more than one. */
export interface Place extends Follower {
  readonly context: ValueContext;
}

export interface BodyRules {
  readonly spelling: Spelling;
  readonly context: ValueContext;
  /** What is written must be as long as what it replaces. */
  readonly equalLength: boolean;
  /** Why nothing is written at all; what is found is recorded all the same. */
  readonly closed?: NotSubstitutedReason | undefined;
  readonly locator?: Locator | undefined;
  readonly sniffer?: Sniffer | undefined;
  /** Only of JSON. */
  readonly nesting?: Nesting | undefined;
  /** Instead of `context`. */
  readonly place?: Place | undefined;
  /** A value that contains any of these is not written: it would end a multipart part. */
  readonly boundaries?: readonly Buffer[] | undefined;
}

/** A transform that knows whether its output differs from its input. */
export interface RequestTransform extends BodyTransform {
  readonly changed: boolean;
}

const NOTHING = Buffer.alloc(0);

export class TextTransform implements RequestTransform {
  changed = false;
  readonly #rules: BodyRules;
  readonly #scope: SubstitutionScope;
  readonly #scanner: BodyScanner;
  /** The end of what came in, in which a placeholder may begin. */
  #held: Buffer = NOTHING;

  constructor(rules: BodyRules, scope: SubstitutionScope) {
    this.#rules = rules;
    this.#scope = scope;
    this.#scanner = new BodyScanner(rules.spelling);
  }

  push(chunk: Buffer, emit: Emit): string | undefined {
    const window = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    return this.#run(window, false, emit);
  }

  end(emit: Emit): string | undefined {
    return this.#run(this.#held, true, emit);
  }

  /** Bytes that another layer has written. Only after `end`, which gives out what was held; input may follow again. */
  skip(bytes: Buffer): void {
    this.#follow(bytes, 0, bytes.length);
  }

  #run(window: Buffer, final: boolean, emit: Emit): string | undefined {
    this.#scanner.reset();
    let at = 0;
    let done = 0;
    let followed = 0;
    for (;;) {
      const found = this.#scanner.next(window, at, final, this.#scope.view);
      const start = typeof found === "number" ? found : found.start;
      this.#follow(window, followed, start);
      followed = start;
      if (typeof found === "number" || this.#scope.isOpen(found)) {
        if (start > done) emit(done === 0 && start === window.length ? window : window.subarray(done, start));
        // A copy: the caller may use the chunk's memory again.
        this.#held = start === window.length ? NOTHING : Buffer.from(window.subarray(start));
        return typeof found === "number" ? undefined : found.key;
      }
      at = found.end;
      const written = this.#write(found);
      if (written === undefined) continue;
      if (start > done) emit(window.subarray(done, start));
      if (written.length > 0) emit(written);
      done = found.end;
      this.changed = true;
    }
  }

  #follow(window: Buffer, from: number, to: number): void {
    if (to <= from) return;
    this.#rules.locator?.advance(window, from, to);
    this.#rules.sniffer?.advance(window, from, to);
    this.#rules.nesting?.advance(window, from, to);
    this.#rules.place?.advance(window, from, to);
  }

  #write(found: BodySighting): Buffer | undefined {
    const rules = this.#rules;
    const verdict = this.#scope.judge(found, { surface: "body", part: rules.locator?.part(), closed: rules.closed });
    const written = typeof verdict === "string" ? verdict : this.#bytes(verdict, found.end - found.start);
    if (typeof written === "string") {
      this.#scope.recordRefused(found, "body", written);
      return undefined;
    }
    this.#scope.recordSubstituted(found.grant!, "body");
    return written;
  }

  #bytes(grant: CompiledGrant, length: number): Buffer | NotSubstitutedReason {
    const { equalLength, boundaries, sniffer } = this.#rules;
    const bytes = this.#encoded(grant);
    if (bytes === undefined || boundaries?.some((boundary) => bytes.includes(boundary))) return "unwritable-value";
    if ((equalLength || sniffer?.binary === true) && bytes.length !== length) return "length-differs";
    return bytes;
  }

  #encoded(grant: CompiledGrant): Buffer | undefined {
    const { context, nesting, place } = this.#rules;
    const depth = nesting?.depth ?? 1;
    if (depth === 1) return grant.bytes(place?.context ?? context);
    // Deeper than two layers a value is not written that scrubbing would not find there.
    return depth === 2 || !grant.needsJsonEscapes ? grant.bytes("json-in-json") : undefined;
  }
}
