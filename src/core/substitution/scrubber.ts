// Scrubbing: real values out of responses, placeholders in.
//
//   grants ─ forms.ts: every way an echo may spell a value ─ search.ts: one search for all of them
//      └► Scrubber: heads and fields at once; bodies as a stream (scrub-body.ts), parts of bodies (scrub-part.ts),
//         messages one by one (messages.ts); response-plan.ts says which
//
// Compiled once per list of grants (scrubber-cache.ts), used by any number of exchanges at a time: what belongs to one
// exchange is in its ScrubSession. What holds no value comes back as the same object.
//
// Values shorter than 8 bytes are not looked for in bodies: they would mangle pages. In fields they are from 4 bytes on,
// but not in those that HTTP itself gives a meaning to. Base64 that is broken into lines, and whatever a server computes
// from a value, is not found.

import type { Grant } from "../grants.ts";
import type { BodyTransform, Field, ResponseHead } from "../message.ts";
import type { CutEdges } from "./content-range.ts";
import { exactStandIn, inPlaceStandIn, type Spelling } from "./form.ts";
import { formsOf } from "./forms.ts";
import { ScrubBody, type ScrubMode, SniffedBody, type StandInFor } from "./scrub-body.ts";
import { minBodyValueBytes, minFieldValueBytes } from "./scrub-bounds.ts";
import { CutPart, ScrubByteRanges, ScrubPart } from "./scrub-part.ts";
import { type Match, PatternSet } from "./search.ts";
import { ByteSniffer } from "./sniffer.ts";

/** What one exchange knows and learns. */
export interface ScrubSession {
  /** Names of the secrets that this request carried: they win where two secrets have the same value. */
  readonly carried: ReadonlySet<string>;
  /** A value of this secret was taken out. Called once per place: keep a set. */
  found(secretName: string): void;
}

/** A secret that stands behind a form. */
interface Owner {
  readonly name: string;
  readonly placeholder: Buffer;
}

/** A form's meaning. Hundreds of thousands may exist: those of one value share their `owners`. */
interface Meaning {
  /** By name. */
  readonly owners: readonly Owner[];
  readonly spelling: Spelling;
  readonly spelledLength: number;
  /** Another value has a form of the same bytes. */
  also: Meaning | undefined;
}

export class Scrubber {
  /** Nothing to look for: responses may pass unread. */
  readonly empty: boolean;
  readonly #values: PatternSet<Meaning>;
  /** Values of 4 to 7 bytes. */
  readonly #shortValues: PatternSet<Meaning>;

  constructor(grants: readonly Grant[]) {
    this.#values = compile(grants, minBodyValueBytes, Number.POSITIVE_INFINITY);
    this.#shortValues = compile(grants, minFieldValueBytes, minBodyValueBytes - 1);
    this.empty = this.#values.size + this.#shortValues.size === 0;
  }

  /** Bytes of the longest form that is looked for in bodies; 0 where there is none. */
  get longestForm(): number {
    return this.#values.maxLength;
  }

  /** The status line's reason and all fields. */
  scrubHead(head: ResponseHead, session: ScrubSession): ResponseHead {
    const reason = this.#scrubText(head.reason, true, session);
    const fields = this.scrubFields(head.fields, session);
    return reason === head.reason && fields === head.fields ? head : { ...head, reason, fields };
  }

  /** Header or trailer fields, names and values. */
  scrubFields(fields: readonly Field[], session: ScrubSession): readonly Field[] {
    let scrubbed: Field[] | undefined;
    for (let index = 0; index < fields.length; index++) {
      const field = fields[index]!;
      if (framingFields.has(field.key)) continue;
      const value = this.#scrubText(field.value, !protocolFields.has(field.key), session);
      const name = this.#scrubText(field.name, false, session);
      if (value === field.value && name === field.name) continue;
      scrubbed ??= fields.slice();
      scrubbed[index] = { name, key: name === field.name ? field.key : name.toLowerCase(), value };
    }
    return scrubbed ?? fields;
  }

  /**
   * A streaming scrub of a body that came without, or was freed of, its codings. `edges`: it is a part of another body
   * (its mode is in-place then).
   */
  body(mode: ScrubMode, session: ScrubSession, edges?: CutEdges): BodyTransform {
    const sniffer = mode === "sniffed" ? new ByteSniffer() : undefined;
    const write = standInFor(() => (mode === "exact" || sniffer?.binary === false ? "exact" : "in-place"), session);
    switch (edges?.kind) {
      case undefined: {
        const body = new ScrubBody(this.#values, write);
        return sniffer === undefined ? body : new SniffedBody(body, sniffer);
      }
      case "part":
        return this.#partBody(edges, write);
      case "byteranges":
        return new ScrubByteRanges(this.#values, write);
      default:
        return edges satisfies never;
    }
  }

  /** What reaches over an edge ends within a form's length of it. */
  #partBody(edges: Extract<CutEdges, { kind: "part" }>, write: StandInFor<Meaning>): BodyTransform {
    const { start, end, cut } = edges;
    if (cut === undefined) return new ScrubPart(this.#values, write, { start, end });
    const margin = this.longestForm - 1;
    const bare = { start: start && cut.before < margin, end: end && cut.after < margin };
    const part = new ScrubPart(this.#values, write, bare);
    return cut.before === 0 && cut.after === 0 ? part : new CutPart(part, cut);
  }

  /** A whole body at once; the same buffer if nothing was found. */
  scrubWhole(body: Buffer, mode: Exclude<ScrubMode, "sniffed">, session: ScrubSession): Buffer {
    return replaceAll(
      this.#values,
      body,
      standInFor(() => mode, session),
    );
  }

  #scrubText(text: string, withShort: boolean, session: ScrubSession): string {
    const scrubbed = scrubText(this.#values, text, session);
    return withShort ? scrubText(this.#shortValues, scrubbed, session) : scrubbed;
  }
}

/** What frames the message is neither text of the application nor ours to change. */
const framingFields: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "connection"]);

/** Fields whose words are HTTP's: a short value such as `gzip` or `2026` would be found in them by chance. */
const protocolFields: ReadonlySet<string> = new Set([
  ...["accept-ranges", "access-control-allow-headers", "access-control-allow-methods", "age", "allow", "cache-control"],
  ...["content-encoding", "content-range", "content-type", "date", "etag", "expires", "keep-alive", "last-modified"],
  ...["proxy-connection", "retry-after", "server", "strict-transport-security", "te", "trailer", "upgrade", "vary"],
  ...["sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol", "sec-websocket-version"],
]);

function compile(grants: readonly Grant[], minBytes: number, maxBytes: number): PatternSet<Meaning> {
  const patterns = new Map<string, Meaning>();
  for (const owners of ownersByValue(grants, minBytes, maxBytes)) {
    const sharedOwners = owners.map(({ name, placeholder }): Owner => {
      return { name, placeholder: Buffer.from(placeholder, "latin1") };
    });
    // No list of grants with one value is empty.
    for (const { bytes, spelling, spelledLength } of formsOf(owners[0]!.value)) {
      const meaning: Meaning = { owners: sharedOwners, spelling, spelledLength, also: undefined };
      const other = patterns.get(bytes);
      if (other === undefined) patterns.set(bytes, meaning);
      else {
        meaning.also = other.also;
        other.also = meaning;
      }
    }
  }
  return new PatternSet(patterns);
}

/** Grants grouped by value, in the order of names; each name once in a group. */
function ownersByValue(grants: readonly Grant[], minBytes: number, maxBytes: number): Iterable<readonly Grant[]> {
  const groups = new Map<string, Grant[]>();
  for (const grant of grants.toSorted((a, b) => compareNames(a.name, b.name))) {
    const value = grant.value.reveal();
    if (value.length < minBytes || value.length > maxBytes) continue;
    const key = value.toString("latin1");
    // A value that is its own placeholder needs no scrubbing.
    if (key === grant.placeholder) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [grant]);
    else if (group.every(({ name }) => name !== grant.name)) group.push(grant);
  }
  return groups.values();
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function standInFor(modeNow: () => Exclude<ScrubMode, "sniffed">, session: ScrubSession): StandInFor<Meaning> {
  return (meaning, length) => {
    const { owner, spelling, spelledLength } = choose(meaning, session.carried);
    session.found(owner.name);
    if (modeNow() === "exact") return exactStandIn(spelling, spelledLength, owner.placeholder);
    return inPlaceStandIn(spelling, spelledLength, owner.placeholder, length);
  };
}

interface Choice {
  readonly owner: Owner;
  readonly spelling: Spelling;
  readonly spelledLength: number;
}

/** The secret that this request carried, else the first by name. */
function choose(meaning: Meaning, carried: ReadonlySet<string>): Choice {
  let first: Choice | undefined;
  for (let at: Meaning | undefined = meaning; at !== undefined; at = at.also) {
    for (const owner of at.owners) {
      const choice = { owner, spelling: at.spelling, spelledLength: at.spelledLength };
      if (carried.has(owner.name)) return choice;
      if (first === undefined || owner.name < first.owner.name) first = choice;
    }
  }
  // No list of owners is empty.
  return first!;
}

function scrubText(set: PatternSet<Meaning>, text: string, session: ScrubSession): string {
  if (!set.mayMatch(text)) return text;
  const bytes = Buffer.from(text, "latin1");
  const scrubbed = replaceAll(
    set,
    bytes,
    standInFor(() => "exact", session),
  );
  return scrubbed === bytes ? text : scrubbed.toString("latin1");
}

function replaceAll(set: PatternSet<Meaning>, bytes: Buffer, write: StandInFor<Meaning>): Buffer {
  let match: Match<Meaning> | undefined = set.find(bytes, 0);
  if (match === undefined) return bytes;
  const pieces: Buffer[] = [];
  let done = 0;
  while (match !== undefined) {
    pieces.push(bytes.subarray(done, match.start), write(match.value, match.end - match.start));
    done = match.end;
    match = set.find(bytes, done);
  }
  pieces.push(bytes.subarray(done));
  return Buffer.concat(pieces);
}
