// A sandbox's grants, compiled once per version: which placeholder is whose, and which grants match a host. Looking a
// placeholder up is one hash lookup; the cost of a host does not grow with grants that do not match it.

import type { Host } from "../authority/host.ts";
import { HostMatcher, type HostPattern } from "../authority/pattern.ts";
import type { Grant, Location, OnViolation, SandboxGrants, Surface } from "../grants.ts";
import { CompiledGrant } from "./compiled-grant.ts";
import { PatternSet } from "./search.ts";
import { type Spelling, spellingsOf } from "./spelling.ts";

/** The deployment's choice for secrets that make none. */
export interface SubstitutionDefaults {
  readonly locations: readonly Location[];
  readonly onViolation: OnViolation;
}

/** Bound on remembered views: an index lives as long as one version of the grants, and sandboxes talk to few hosts. */
const MAX_VIEWS = 64;

export class GrantIndex {
  readonly grants: SandboxGrants;
  /** What happens with placeholders that are nobody's. */
  readonly onViolation: OnViolation;
  /** Some placeholder that is not written may have the request refused. */
  readonly mayBlock: boolean;
  /** Callers' own placeholders, longest first. */
  readonly own: readonly CompiledGrant[];
  /** Matches any of the callers' own placeholders; undefined where there are none, which is the usual case. */
  readonly ownPattern: RegExp | undefined;
  readonly #byKey = new Map<string, CompiledGrant>();
  readonly #matcher: HostMatcher<CompiledGrant>;
  readonly #unrestricted: CompiledGrant[] = [];
  readonly #retired: HostMatcher<Grant>;
  readonly #retiredUnrestricted: Grant[] = [];
  readonly #ownPatterns = new Map<Spelling, PatternSet<CompiledGrant>>();
  readonly #views = new Map<Host, HostView>();

  constructor(grants: SandboxGrants, defaults: SubstitutionDefaults) {
    this.grants = grants;
    this.onViolation = grants.onViolation ?? defaults.onViolation;
    const entries: [HostPattern, CompiledGrant][] = [];
    const byLiteral = new Map<string, CompiledGrant>();
    for (const grant of grants.grants) {
      const compiled = new CompiledGrant(
        grant,
        grant.locations ?? defaults.locations,
        grant.onViolation ?? this.onViolation,
      );
      // A secret mounted under two names has one placeholder and one value: the first mount stands for both.
      if (grant.placeholder === "") continue;
      const map = compiled.key === undefined ? byLiteral : this.#byKey;
      const key = compiled.key ?? grant.placeholder;
      if (map.has(key)) continue;
      map.set(key, compiled);
      if (grant.hosts.length === 0) this.#unrestricted.push(compiled);
      for (const pattern of grant.hosts) entries.push([pattern, compiled]);
    }
    this.mayBlock =
      this.onViolation === "block" ||
      grants.grants.some((grant) => (grant.onViolation ?? this.onViolation) === "block");
    const retired: [HostPattern, Grant][] = [];
    for (const grant of grants.retired) {
      if (grant.hosts.length === 0) this.#retiredUnrestricted.push(grant);
      for (const pattern of grant.hosts) retired.push([pattern, grant]);
    }
    this.own = [...byLiteral.values()].sort((a, b) => b.literal.length - a.literal.length);
    if (this.own.length > 0) {
      this.ownPattern = new RegExp(this.own.map((own) => escapePattern(own.grant.placeholder)).join("|"));
    }
    this.#matcher = new HostMatcher(entries);
    this.#retired = new HostMatcher(retired);
  }

  /** The callers' own placeholders in the spellings that encoders give them in such a body; undefined: there are none. */
  ownPatterns(spelling: Spelling): PatternSet<CompiledGrant> | undefined {
    if (this.own.length === 0) return undefined;
    const known = this.#ownPatterns.get(spelling);
    if (known !== undefined) return known;
    const patterns = new PatternSet(
      this.own.flatMap((own) => spellingsOf(own.grant.placeholder, spelling).map((bytes) => [bytes, own] as const)),
    );
    this.#ownPatterns.set(spelling, patterns);
    return patterns;
  }

  /** The grants as they bear on one host. */
  forHost(host: Host): HostView {
    const known = this.#views.get(host);
    if (known !== undefined) return known;
    const allowed = new Set([...this.#unrestricted, ...this.#matcher.match(host)]);
    const retired = new Set([...this.#retiredUnrestricted, ...this.#retired.match(host)]);
    const view = new HostView(this, allowed, retired);
    if (this.#views.size >= MAX_VIEWS) this.#views.clear();
    this.#views.set(host, view);
    return view;
  }

  /** The grant with this lookup key, whatever its hosts. */
  byKey(key: string): CompiledGrant | undefined {
    return this.#byKey.get(key);
  }
}

/** One sandbox's grants towards one host. */
export class HostView {
  readonly index: GrantIndex;
  /** A grant or a retired grant matches this host: its connections are opened up. */
  readonly granted: boolean;
  /** Grants, retired ones too, whose values are scrubbed from this host's answers. */
  readonly scrubbed: readonly Grant[];
  readonly #allowed: ReadonlySet<CompiledGrant>;
  readonly #writable = new Map<Surface, readonly CompiledGrant[]>();
  #needsJsonEscapes: boolean | undefined;

  constructor(index: GrantIndex, allowed: ReadonlySet<CompiledGrant>, retired: ReadonlySet<Grant>) {
    this.index = index;
    this.#allowed = allowed;
    this.scrubbed = [...[...allowed].map((compiled) => compiled.grant), ...retired];
    this.granted = this.scrubbed.length > 0;
  }

  /** Whether this grant's host list names this host. */
  allows(grant: CompiledGrant): boolean {
    return this.#allowed.has(grant);
  }

  /** Some value that may go into a body has to be escaped in JSON. */
  get needsJsonEscapes(): boolean {
    this.#needsJsonEscapes ??= this.writable("body").some((grant) => grant.needsJsonEscapes);
    return this.#needsJsonEscapes;
  }

  /** The grants whose values may go to this host on this surface. */
  writable(surface: Surface): readonly CompiledGrant[] {
    const known = this.#writable.get(surface);
    if (known !== undefined) return known;
    const writable = [...this.#allowed].filter((grant) => grant.allowsSome(surface));
    this.#writable.set(surface, writable);
    return writable;
  }
}

function escapePattern(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
