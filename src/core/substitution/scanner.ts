// Finds placeholders in a stream of bytes. The scanner sees one window after another; each begins where the last result
// said that a placeholder may still begin. Only that is held back. What it finds does not depend on the cuts.
//
// Speed: a window without a candidate costs one native search for the prefix, and where the syntax has escapes one more
// for an escape that could spell one of the prefix's characters.

import type { CompiledGrant } from "./compiled-grant.ts";
import { nextEscape } from "./escape-search.ts";
import type { HostView } from "./grant-index.ts";
import { isKeyCode, KEY_LENGTH, PREFIX } from "./placeholder.ts";
import type { Sighting } from "./scope.ts";
import type { PatternSet } from "./search.ts";
import {
  BACKSLASH,
  INCOMPLETE,
  isInsideUnit,
  LONGEST_UNIT,
  PERCENT,
  readUnit,
  type Spelling,
  unitCode,
  unitLength,
} from "./spelling.ts";

export interface BodySighting extends Sighting {
  readonly start: number;
  readonly end: number;
}

const PREFIX_BYTES = Buffer.from(PREFIX, "latin1");
/** Where the prefix is looked for: an underscore is rarer in text than a letter, which makes the search five times faster. */
const RARE_AT = PREFIX.indexOf("_");
/** Seven bytes: from eight on Node's search goes by a table of skips, at half the speed where underscores are common. */
const RARE_BYTES = PREFIX_BYTES.subarray(RARE_AT, -1);
const LAST_AT = PREFIX.length - 1;

export class BodyScanner {
  readonly #spelling: Spelling;
  /** Where the next escape of a character of the prefix is, in the present window. */
  #escapeAt = -1;
  /** The next of the callers' own placeholders in the present window. */
  #own: OwnFind | undefined;

  constructor(spelling: Spelling) {
    this.#spelling = spelling;
  }

  /** Call before a new window. */
  reset(): void {
    this.#escapeAt = -1;
    this.#own = undefined;
  }

  /**
   * The leftmost placeholder at or after `from`, or the offset up to which the window is clear. Bytes from that offset
   * on must begin the next window, followed by new ones. `final`: no more bytes come.
   */
  next(window: Buffer, from: number, final: boolean, view: HostView): BodySighting | number {
    const ours = this.#nextOurs(window, from, final, view);
    const patterns = view.index.ownPatterns(this.#spelling);
    if (patterns === undefined) return ours;
    if (this.#own === undefined || this.#own.start < from) this.#own = this.#findOwn(patterns, window, from, final);
    const own = this.#own;
    const start = typeof ours === "number" ? ours : ours.start;
    if (own.start > start) return ours;
    if (own.start === start) {
      // A literal of the caller's may start like ours. A grant of ours wins over it, it wins over an unknown key.
      if (typeof ours === "number" || ours.grant !== undefined) return ours;
    }
    if (own.grant === undefined) return own.start;
    const { grant, end } = own;
    return { key: grant.grant.placeholder, grant, altered: false, start: own.start, end };
  }

  #nextOurs(window: Buffer, from: number, final: boolean, view: HostView): BodySighting | number {
    let plainAt = -1;
    for (let at = from; ; ) {
      if (plainAt < at) plainAt = nextPrefix(window, at);
      const escapedAt = this.#spelling === "plain" ? window.length : this.#escapedStart(window, at, plainAt);
      const start = Math.min(plainAt, escapedAt);
      if (start === window.length) return final ? window.length : this.#clearUpTo(window, at);
      at = start + 1;
      if (isInsideUnit(this.#spelling, window, start)) continue;
      const found = this.#match(window, start, final, view);
      if (typeof found === "object") return found;
      if (found === INCOMPLETE && !final) return start;
    }
  }

  #findOwn(patterns: PatternSet<CompiledGrant>, window: Buffer, from: number, final: boolean): OwnFind {
    for (let at = from; ; ) {
      const found = final ? patterns.find(window, at) : patterns.findMore(window, at);
      if (found === undefined) return { start: window.length, end: window.length, grant: undefined };
      const { start } = found;
      at = start + 1;
      if (isInsideUnit(this.#spelling, window, start)) continue;
      if (found.kind === "hold") return { start, end: window.length, grant: undefined };
      return { start, end: found.end, grant: found.value };
    }
  }

  /** The start of the next prefix that has an escape in it, if it is before `limit`; else the window's length. */
  #escapedStart(window: Buffer, from: number, limit: number): number {
    for (;;) {
      if (this.#escapeAt < from) {
        this.#escapeAt = nextEscape(this.#spelling, window, from);
      }
      const found = this.#escapeAt;
      // A prefix that begins before `limit` has its first escape at most a prefix's length after it.
      if (found >= limit + PREFIX.length || found === window.length) return window.length;
      const start = prefixStart(window, from, found, unitCode(readUnit(this.#spelling, window, found)));
      if (start >= 0) return start;
      this.#escapeAt = nextEscape(this.#spelling, window, found + 1);
    }
  }

  /** Reads a whole placeholder at `start`. Its key may be there and the rest not: then it was altered, or cut short. */
  #match(window: Buffer, start: number, final: boolean, view: HostView): BodySighting | typeof INCOMPLETE | undefined {
    const spelling = this.#spelling;
    let at = start;
    for (let i = 0; i < PREFIX.length; i++) {
      if (at >= window.length) return INCOMPLETE;
      const unit = readUnit(spelling, window, at);
      if (unit === INCOMPLETE) return INCOMPLETE;
      if (unitCode(unit) !== PREFIX_BYTES[i]) return undefined;
      at += unitLength(unit);
    }
    let key = "";
    while (key.length < KEY_LENGTH) {
      if (at >= window.length) return INCOMPLETE;
      const unit = readUnit(spelling, window, at);
      if (unit === INCOMPLETE) return INCOMPLETE;
      if (!isKeyCode(unitCode(unit))) return undefined;
      key += String.fromCharCode(unitCode(unit));
      at += unitLength(unit);
    }
    const keyEnd = at;
    const grant = view.index.byKey(key);
    if (grant === undefined) return { key, grant, altered: false, start, end: keyEnd };
    for (let i = PREFIX.length + KEY_LENGTH; i < grant.literal.length; i++) {
      const unit = at < window.length ? readUnit(spelling, window, at) : INCOMPLETE;
      if (unit === INCOMPLETE && !final) return INCOMPLETE;
      if (unit === INCOMPLETE || unitCode(unit) !== grant.literal[i]) {
        return { key, grant, altered: true, start, end: keyEnd };
      }
      at += unitLength(unit);
    }
    return { key, grant, altered: false, start, end: at };
  }

  /** The first offset from which a prefix, or an escape, may go on beyond the window. */
  #clearUpTo(window: Buffer, from: number): number {
    const spelling = this.#spelling;
    let at = Math.max(from, window.length - (PREFIX.length * LONGEST_UNIT[spelling] - 1));
    if (!hasEscape(spelling, window, at)) return plainlyClearUpTo(window, at);
    while (at > from && isInsideUnit(spelling, window, at)) at++;
    while (at < window.length) {
      const unit = readUnit(spelling, window, at);
      if (unit === INCOMPLETE) return at;
      if (unitCode(unit) === PREFIX_BYTES[0] && this.#mayGoOn(window, at)) return at;
      at += unitLength(unit);
    }
    return window.length;
  }

  #mayGoOn(window: Buffer, start: number): boolean {
    let at = start;
    for (let i = 0; i < PREFIX.length && at < window.length; i++) {
      const unit = readUnit(this.#spelling, window, at);
      if (unit === INCOMPLETE) return true;
      if (unitCode(unit) !== PREFIX_BYTES[i]) return false;
      at += unitLength(unit);
    }
    return true;
  }
}

/** The usual window ends without any. */
function hasEscape(spelling: Spelling, window: Buffer, from: number): boolean {
  if (spelling === "plain") return false;
  const lead = spelling === "json" ? BACKSLASH : PERCENT;
  for (let at = from; at < window.length; at++) if (window[at] === lead) return true;
  return false;
}

/** `#clearUpTo` where no escape begins at `from` or later: a prefix that stands there as it is may go on beyond the window. */
function plainlyClearUpTo(window: Buffer, from: number): number {
  for (let at = Math.max(from, window.length - (PREFIX.length - 1)); at < window.length; at++) {
    let i = 0;
    while (at + i < window.length && window[at + i] === PREFIX_BYTES[i]) i++;
    if (at + i === window.length) return at;
  }
  return window.length;
}

interface OwnFind {
  /** Start of a match, or of what may become one; the window's length: nothing. */
  readonly start: number;
  readonly end: number;
  readonly grant: CompiledGrant | undefined;
}

/** The next prefix that stands there as it is, or the window's length. */
function nextPrefix(window: Buffer, from: number): number {
  for (let rareAt = from + RARE_AT; ; rareAt++) {
    rareAt = window.indexOf(RARE_BYTES, rareAt);
    if (rareAt < 0) return window.length;
    const start = rareAt - RARE_AT;
    if (window[start + LAST_AT] !== PREFIX_BYTES[LAST_AT]) continue;
    let i = 0;
    while (i < RARE_AT && window[start + i] === PREFIX_BYTES[i]) i++;
    if (i === RARE_AT) return start;
  }
}

/** Where a prefix begins whose first escape is at `escape` and spells `code`; -1 where the bytes before do not fit. */
function prefixStart(window: Buffer, from: number, first: number, code: number): number {
  for (let k = PREFIX.length - 1; k >= 0; k--) {
    if (PREFIX_BYTES[k] !== code || first - k < from) continue;
    let i = 0;
    while (i < k && window[first - k + i] === PREFIX_BYTES[i]) i++;
    if (i === k) return first - k;
  }
  return -1;
}
