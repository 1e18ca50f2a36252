// Scrubbing: real values out of responses, placeholders in.
//
//   grants ─ forms.ts: every way an echo may spell a value ─ search.ts: one search for all of them
//      └► Scrubber: heads and fields at once; bodies as a stream (scrub-body.ts)
//
// Compiled once per list of grants, used by any number of exchanges at a time: what belongs to one exchange is in its
// ScrubSession. What holds no value comes back as the same object.
//
// Values shorter than 8 bytes are not looked for in bodies: they would mangle pages. In fields they are from 4 bytes on,
// but not in those that HTTP itself gives a meaning to.

import type { Grant } from "../grants.ts";
import type { BodyTransform, Field, ResponseHead } from "../message.ts";
import { exactStandIn, type Form, formsOf, inPlaceStandIn } from "./forms.ts";
import { ScrubBody } from "./scrub-body.ts";
import { type Match, PatternSet } from "./search.ts";

/** What one exchange knows and learns. */
export interface ScrubSession {
  /** Names of the secrets that this request carried: they win where two secrets have the same value. */
  readonly carried: ReadonlySet<string>;
  /** A value of this secret was taken out. Called once per place: keep a set. */
  found(secretName: string): void;
}

/** `exact`: the placeholder as it is. `in-place`: cut or padded to the form's length, so that no length changes. */
export type ScrubMode = "exact" | "in-place";

/** Those whose value has this form: by name, each name once. */
export type Owners = readonly Owner[];

interface Owner {
  readonly name: string;
  readonly placeholder: Buffer;
  readonly valueLength: number;
  readonly form: Form;
}

/** A shorter value is not scrubbed from bodies. */
export const minBodyValueBytes = 8;
/** A shorter value is not scrubbed at all. */
export const minFieldValueBytes = 4;

export class Scrubber {
  /** Nothing to look for: responses may pass unread. */
  readonly empty: boolean;
  readonly #values: PatternSet<Owners>;
  /** Values of 4 to 7 bytes. */
  readonly #shortValues: PatternSet<Owners>;

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

  /** A streaming scrub of a body that came without, or was freed of, its codings. */
  body(mode: ScrubMode, session: ScrubSession): BodyTransform {
    return new ScrubBody(this.#values, (owners) => standIn(owners, mode, session));
  }

  /** A whole body at once; the same buffer if nothing was found. */
  scrubWhole(body: Buffer, mode: ScrubMode, session: ScrubSession): Buffer {
    return replaceAll(this.#values, body, (owners) => standIn(owners, mode, session));
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

type StandIn = (owners: Owners) => Buffer;

function compile(grants: readonly Grant[], minBytes: number, maxBytes: number): PatternSet<Owners> {
  const ownersOf = new Map<string, { readonly bytes: Buffer; readonly owners: Owner[] }>();
  const byName = grants.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const grant of byName) {
    const valueLength = grant.value.byteLength;
    if (valueLength < minBytes || valueLength > maxBytes) continue;
    const placeholder = Buffer.from(grant.placeholder, "latin1");
    if (placeholder.equals(grant.value.reveal())) continue;
    for (const form of formsOf(grant.value)) {
      const key = form.bytes.toString("latin1");
      let entry = ownersOf.get(key);
      if (entry === undefined) {
        entry = { bytes: form.bytes, owners: [] };
        ownersOf.set(key, entry);
      }
      if (entry.owners.some((owner) => owner.name === grant.name)) continue;
      entry.owners.push({ name: grant.name, placeholder, valueLength, form });
    }
  }
  return new PatternSet(Array.from(ownersOf.values(), ({ bytes, owners }) => [bytes, owners] as const));
}

function standIn(owners: Owners, mode: ScrubMode, session: ScrubSession): Buffer {
  // A pattern has at least one owner.
  const owner = owners.length === 1 ? owners[0]! : (owners.find(({ name }) => session.carried.has(name)) ?? owners[0]!);
  session.found(owner.name);
  const write = mode === "exact" ? exactStandIn : inPlaceStandIn;
  return write(owner.form, owner.valueLength, owner.placeholder);
}

function scrubText(set: PatternSet<Owners>, text: string, session: ScrubSession): string {
  if (!set.mayMatch(text)) return text;
  const bytes = Buffer.from(text, "latin1");
  const scrubbed = replaceAll(set, bytes, (owners) => standIn(owners, "exact", session));
  return scrubbed === bytes ? text : scrubbed.toString("latin1");
}

function replaceAll(set: PatternSet<Owners>, bytes: Buffer, standInFor: StandIn): Buffer {
  let match: Match<Owners> | undefined = set.find(bytes, 0);
  if (match === undefined) return bytes;
  const pieces: Buffer[] = [];
  let done = 0;
  while (match !== undefined) {
    pieces.push(bytes.subarray(done, match.start), standInFor(match.value));
    done = match.end;
    match = set.find(bytes, done);
  }
  pieces.push(bytes.subarray(done));
  return Buffer.concat(pieces);
}
