// What happens to placeholders in one exchange: who may be written where, and the record of what was and was not.
//
// The request side of this folder:
//   GrantIndex (one version of a sandbox's grants) → HostView (towards one host) → SubstitutionScope (one exchange)
//   substituteHead: Draft over target.ts, basic-auth.ts and header values, found by text-search.ts
//   planRequestBody: body-syntax.ts (type) + digests.ts (signatures) → TextTransform over BodyScanner,
//     under Base64Transform or MultipartTransform where needed
// Invariants: bytes outside of placeholders never change; what was put in is never looked at again; cuts make no
// difference; what is found and not written is recorded with its reason.

import type { NotSubstituted, Substitution } from "../audit.ts";
import type { Surface } from "../grants.ts";
import type { NotSubstitutedReason } from "../reasons.ts";
import type { CompiledGrant } from "./compiled-grant.ts";
import type { HostView } from "./grant-index.ts";

/** Bounds on what one exchange remembers: a body can hold any number of placeholders. */
const MAX_RECORDS = 64;
const MAX_ASKED = 256;

/** A placeholder that was found. */
export interface Sighting {
  /** Lookup key: 25 characters, or a caller's own literal. */
  readonly key: string;
  /** Undefined: no grant of the sandbox has this key. */
  readonly grant: CompiledGrant | undefined;
  /** The key is the grant's, the rest of the literal is not. */
  readonly altered: boolean;
}

/** Where it was found. */
export interface Place {
  readonly surface: Surface;
  /** Header name, query parameter, JSON pointer or form field; undefined where the place has no name. */
  readonly part: string | undefined;
  /** A reason that forbids this place whatever the grant says. */
  readonly closed?: NotSubstitutedReason | undefined;
}

export class SubstitutionScope {
  /** Replaced by the caller when the grants were fetched anew. */
  view: HostView;
  readonly #secure: boolean;
  readonly #asked = new Set<string>();
  readonly #substituted: Substitution[] = [];
  readonly #notSubstituted: NotSubstituted[] = [];
  #blocked = false;

  /** `secure`: the upstream leg is verified TLS, or the operator lists the host for plain HTTP. */
  constructor(view: HostView, options: { readonly secure: boolean }) {
    this.view = view;
    this.#secure = options.secure;
  }

  /** An unknown key that was looked up and is still unknown: from now on it is nobody's. */
  markAsked(key: string): void {
    if (this.#asked.size < MAX_ASKED) this.#asked.add(key);
  }

  get substituted(): readonly Substitution[] {
    return this.#substituted;
  }

  get notSubstituted(): readonly NotSubstituted[] {
    return this.#notSubstituted;
  }

  /** Some placeholder was left alone whose policy is to refuse the request. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Whether this sighting must be looked up before it can be judged. */
  isOpen(sighting: Sighting): boolean {
    // Past the bound nothing is asked any more: an exchange must not be kept waiting by a list of made-up placeholders.
    return sighting.grant === undefined && this.#asked.size < MAX_ASKED && !this.#asked.has(sighting.key);
  }

  /** Why nothing may be written here, or the grant whose value may. Records nothing. */
  judge(sighting: Sighting, place: Place): CompiledGrant | NotSubstitutedReason {
    const { grant } = sighting;
    if (grant === undefined) return "unknown-placeholder";
    if (sighting.altered) return "placeholder-altered";
    if (!this.view.allows(grant)) return "host-not-allowed";
    if (!this.#secure) return "plain-http";
    if (place.closed !== undefined) return place.closed;
    if (!grant.allows(place.surface, place.part)) return "surface-not-allowed";
    return grant;
  }

  recordSubstituted(grant: CompiledGrant, surface: Surface): void {
    const secret = grant.grant.name;
    const list = this.#substituted;
    if (list.length >= MAX_RECORDS) return;
    for (const known of list) if (known.secret === secret && known.surface === surface) return;
    list.push({ secret, surface });
  }

  recordRefused(sighting: Sighting, surface: Surface, reason: NotSubstitutedReason): void {
    const policy = sighting.grant === undefined ? this.view.index.onViolation : sighting.grant.onViolation;
    if (policy === "block") this.#blocked = true;
    this.#record(sighting.grant?.grant.name, surface, reason);
  }

  /** A surface that could not be read: there may be placeholders or not, so this blocks nothing. */
  recordUnread(surface: Surface, reason: NotSubstitutedReason): void {
    this.#record(undefined, surface, reason);
  }

  #record(secret: string | undefined, surface: Surface, reason: NotSubstitutedReason): void {
    const list = this.#notSubstituted;
    if (list.length >= MAX_RECORDS) return;
    for (const known of list) {
      if (known.secret === secret && known.surface === surface && known.reason === reason) return;
    }
    list.push(secret === undefined ? { surface, reason } : { secret, surface, reason });
  }
}
