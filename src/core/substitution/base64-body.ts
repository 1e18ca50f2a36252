// Placeholders inside of base64 in a body (data URLs, Kubernetes Secrets, credentials in JSON). A layer over a
// TextTransform, used only where some grant allows it.
//
// Base64 of the prefix has three forms, one for each alignment; each tells where the groups of four begin. From that
// group to the run's end the run is decoded, substituted and encoded again in its own alphabet and padding. Only what
// decodes canonically is touched.

import type { Emit } from "../message.ts";
import type { NotSubstitutedReason } from "../reasons.ts";
import { base64Cores } from "./base64-cores.ts";
import type { BodyRules, RequestTransform, TextTransform } from "./body-text.ts";
import type { CompiledGrant } from "./compiled-grant.ts";
import { PREFIX } from "./placeholder.ts";
import { BodyScanner, type BodySighting } from "./scanner.ts";
import type { SubstitutionScope } from "./scope.ts";
import { PatternSet } from "./search.ts";

/** A longer run is taken in pieces of this size; a value goes in only where it leaves the groups of four in step. */
const MAX_RUN = 64 * 1024;
/** So far before a placeholder a run is looked at for signs of its alphabet. */
const LOOK_BACK = 64;
const NOTHING = Buffer.alloc(0);
const EQUALS = 0x3d;
const PERCENT = 0x25;
/** `%3D`, as forms have it. */
const ESCAPED_PAD_BYTES = 3;
const BACKSLASH = 0x5c;

/** 1: both alphabets; 2: standard only; 3: URL-safe only. */
const ALPHABET = new Uint8Array(256);
for (const char of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") ALPHABET[char.charCodeAt(0)] = 1;
for (const char of "+/") ALPHABET[char.charCodeAt(0)] = 2;
for (const char of "-_") ALPHABET[char.charCodeAt(0)] = 3;

/** A stretch of base64 in the window. */
interface Run {
  /** Start of a group of four. */
  readonly start: number;
  /** End without padding, and with it. */
  readonly end: number;
  readonly paddedEnd: number;
  readonly decoded: Buffer;
  readonly urlSafe: boolean;
  readonly padded: boolean;
  /** What follows belongs to the same base64 text, so lengths must stay in step. */
  readonly goesOn: boolean;
}

type Call = Buffer | "end" | { readonly raw: Buffer; readonly written: Buffer };
type RunResult = Run | "none" | "more";

export class Base64Transform implements RequestTransform {
  readonly #inner: TextTransform;
  readonly #rules: BodyRules;
  readonly #scope: SubstitutionScope;
  readonly #scanner = new BodyScanner("plain");
  /** Alignments by their form; made again when the grants are. */
  #patterns: PatternSet<number> | undefined;
  #patternsOf: unknown;
  /** Calls that the inner transform has still to take; the first may await a lookup. */
  #calls: Call[] = [];
  #held: Buffer = NOTHING;
  /** The bytes before the held ones. */
  #before: Buffer = NOTHING;
  #changed = false;

  /** `rules`: as the inner transform's, with a sniffer of its own, for the inner one lags behind. */
  constructor(inner: TextTransform, rules: BodyRules, scope: SubstitutionScope) {
    this.#inner = inner;
    this.#rules = rules;
    this.#scope = scope;
  }

  get changed(): boolean {
    return this.#changed || this.#inner.changed;
  }

  push(chunk: Buffer, emit: Emit): string | undefined {
    return this.#run(this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]), false, emit);
  }

  end(emit: Emit): string | undefined {
    return this.#run(this.#held, true, emit);
  }

  #run(window: Buffer, final: boolean, emit: Emit): string | undefined {
    let done = 0;
    let search = 0;
    let followed = 0;
    for (;;) {
      const pending = this.#settle(emit);
      if (pending !== undefined) return this.#hold(window, done, pending);
      const found = this.#next(window, search, final);
      const until = Math.max(done, typeof found === "number" ? found : found.start);
      const before = window.subarray(done, until);
      if (until > followed) this.#rules.sniffer?.advance(window, followed, until);
      followed = Math.max(followed, until);
      if (typeof found === "number") {
        if (before.length > 0) this.#calls.push(before);
        if (final) this.#calls.push("end");
        return this.#hold(window, until, this.#settle(emit));
      }
      search = found.paddedEnd;
      const written = this.#substitute(found);
      if (written === undefined) continue;
      if (before.length > 0) this.#calls.push(before);
      if (typeof written === "string") {
        const key = this.#settle(emit) ?? written;
        return this.#hold(window, until, key);
      }
      // Nothing that begins before the run goes on in it: the inner transform gives out what it holds.
      this.#calls.push("end", { raw: window.subarray(found.start, found.paddedEnd), written });
      done = found.paddedEnd;
    }
  }

  #hold(window: Buffer, from: number, key: string | undefined): string | undefined {
    const before =
      from >= LOOK_BACK ? window.subarray(0, from) : Buffer.concat([this.#before, window.subarray(0, from)]);
    this.#before = Buffer.from(before.subarray(-LOOK_BACK));
    this.#held = from >= window.length ? NOTHING : Buffer.from(window.subarray(from));
    return key;
  }

  #settle(emit: Emit): string | undefined {
    for (let call = this.#calls[0]; call !== undefined; call = this.#calls[0]) {
      if (Buffer.isBuffer(call)) {
        const key = this.#inner.push(call, emit);
        if (key !== undefined) {
          this.#calls[0] = NOTHING;
          this.#keepCalls();
          return key;
        }
      } else if (call === "end") {
        const key = this.#inner.end(emit);
        if (key !== undefined) {
          this.#keepCalls();
          return key;
        }
      } else {
        this.#inner.skip(call.raw);
        emit(call.written);
        this.#changed = true;
      }
      this.#calls.shift();
    }
    return undefined;
  }

  /** Calls that wait beyond this turn must not point into the caller's chunk. */
  #keepCalls(): void {
    this.#calls = this.#calls.map((call) =>
      typeof call === "object" && !Buffer.isBuffer(call) ? { raw: Buffer.from(call.raw), written: call.written } : call,
    );
  }

  /** The next run that may hold a placeholder, or the offset up to which there is none. */
  #next(window: Buffer, from: number, final: boolean): Run | number {
    const patterns = this.#compiledPatterns();
    let search = from;
    for (;;) {
      const found = final ? patterns.find(window, search) : patterns.findMore(window, search);
      if (found === undefined || found.kind === "hold") {
        if (final) return window.length;
        // The group of four that a form belongs to begins up to three characters before it.
        return Math.max(from, (found?.start ?? window.length) - 3);
      }
      const start = found.start - found.value;
      const run = start < from ? "none" : this.#readRun(window, start, found.start, final);
      if (run === "more") return start;
      if (run !== "none") return run;
      search = found.start + 1;
    }
  }

  #readRun(window: Buffer, start: number, core: number, final: boolean): RunResult {
    for (let i = start; i < core; i++) if (ALPHABET[window[i]!] === 0) return "none";
    let end = start;
    let kinds = this.#kindsBefore(window, start);
    while (end < window.length && end - start < MAX_RUN && ALPHABET[window[end]!] !== 0)
      kinds |= 1 << ALPHABET[window[end++]!]!;
    const tooLong = end - start === MAX_RUN;
    const missing = (4 - ((end - start) % 4)) % 4;
    // One byte more than the padding: what follows decides whether the text goes on.
    const padLength = this.#rules.spelling === "percent" && window[end] === PERCENT ? ESCAPED_PAD_BYTES : 1;
    if (!tooLong && !final && end + missing * padLength >= window.length) return "more";
    // Both alphabets at once, or a lone last character: no base64.
    if ((kinds & 0b1100) === 0b1100 || missing === 3) return "none";
    const decoded = Buffer.from(window.toString("latin1", start, end), "base64");
    const urlSafe = (kinds & 0b1000) !== 0;
    const canonical = decoded.toString(urlSafe ? "base64url" : "base64").slice(0, end - start);
    if (canonical !== window.toString("latin1", start, end)) return "none";
    let paddedEnd = end;
    while (paddedEnd < end + missing * padLength && isPad(window, paddedEnd, padLength)) paddedEnd += padLength;
    const padded = missing === 0 ? !urlSafe : paddedEnd === end + missing * padLength;
    if (!padded) paddedEnd = end;
    const follower = window[paddedEnd];
    const { spelling } = this.#rules;
    const goesOn =
      tooLong || (follower === PERCENT && spelling === "percent") || (follower === BACKSLASH && spelling === "json");
    return { start, end, paddedEnd, decoded, urlSafe, padded, goesOn };
  }

  /** Which alphabets the characters before a run show. */
  #kindsBefore(window: Buffer, start: number): number {
    let kinds = 0;
    for (let i = 1; i <= LOOK_BACK; i++) {
      const byte = i <= start ? window[start - i] : this.#before[this.#before.length + start - i];
      if (byte === undefined || ALPHABET[byte] === 0) break;
      kinds |= 1 << ALPHABET[byte]!;
    }
    return kinds;
  }

  /** The run written anew; a key that must be looked up; undefined where nothing changes. */
  #substitute(run: Run): Buffer | string | undefined {
    const pieces: Buffer[] = [];
    const records: (() => void)[] = [];
    let done = 0;
    let at = 0;
    this.#scanner.reset();
    for (;;) {
      const found = this.#scanner.next(run.decoded, at, true, this.#scope.view);
      if (typeof found === "number") break;
      if (this.#scope.isOpen(found)) return found.key;
      at = found.end;
      const verdict = this.#judge(found, run);
      if (typeof verdict === "string") {
        records.push(() => this.#scope.recordRefused(found, "base64", verdict));
        continue;
      }
      records.push(() => this.#scope.recordSubstituted(verdict, "base64"));
      pieces.push(run.decoded.subarray(done, found.start), verdict.bytes("raw")!);
      done = found.end;
    }
    // Only now: a lookup half-way through would have these placeholders judged twice.
    for (const record of records) record();
    if (done === 0) return undefined;
    pieces.push(run.decoded.subarray(done));
    return this.#encode(Buffer.concat(pieces), run);
  }

  #judge(found: BodySighting, run: Run): CompiledGrant | NotSubstitutedReason {
    const { equalLength, sniffer, closed, boundaries } = this.#rules;
    const verdict = this.#scope.judge(found, { surface: "base64", part: undefined, closed });
    if (typeof verdict === "string") return verdict;
    const value = verdict.bytes("raw");
    if (value === undefined || boundaries?.some((boundary) => value.includes(boundary))) return "unwritable-value";
    const difference = value.length - (found.end - found.start);
    if ((equalLength || sniffer?.binary === true) && difference !== 0) return "length-differs";
    return run.goesOn && difference % 3 !== 0 ? "length-differs" : verdict;
  }

  #encode(bytes: Buffer, run: Run): Buffer {
    let text = bytes.toString(run.urlSafe ? "base64url" : "base64").replace(/=+$/, "");
    if (run.padded && !run.goesOn) text += "=".repeat((4 - (text.length % 4)) % 4);
    if (this.#rules.spelling === "percent") text = text.replace(/[+/=]/g, encodeURIComponent);
    return Buffer.from(text, "latin1");
  }

  #compiledPatterns(): PatternSet<number> {
    const { index } = this.#scope.view;
    if (this.#patterns === undefined || this.#patternsOf !== index) {
      const literals = [PREFIX, ...index.own.map((own) => own.grant.placeholder)];
      this.#patterns = new PatternSet(
        literals.flatMap((literal) =>
          base64Cores(literal).map(
            (core, shift) => [Buffer.from(core, "latin1"), shift === 0 ? 0 : shift + 1] as const,
          ),
        ),
      );
      this.#patternsOf = index;
    }
    return this.#patterns;
  }
}

function isPad(bytes: Buffer, at: number, length: number): boolean {
  return length === 1 ? bytes[at] === EQUALS : /^%3d$/i.test(bytes.toString("latin1", at, at + length));
}
