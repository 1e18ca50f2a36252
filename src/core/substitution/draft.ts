// One pass over a head that may turn out to need a lookup: what it would record is kept back until it is known that no
// key is open, so that the pass can be made again.

import type { NotSubstitutedReason } from "../reasons.ts";
import type { CompiledGrant } from "./compiled-grant.ts";
import type { HostView } from "./grant-index.ts";
import type { Place, Sighting, SubstitutionScope } from "./scope.ts";

/** Bound on keys that are asked for at once; the rest turns up in the next pass. */
const MAX_KEYS = 16;

interface Entry {
  readonly sighting: Sighting;
  readonly place: Place;
  /** Undefined: written. */
  readonly reason: NotSubstitutedReason | undefined;
}

export class Draft {
  readonly #scope: SubstitutionScope;
  readonly #entries: Entry[] = [];
  readonly #openKeys = new Set<string>();

  constructor(scope: SubstitutionScope) {
    this.#scope = scope;
  }

  get view(): HostView {
    return this.#scope.view;
  }

  /** What to write for a placeholder; undefined to leave it. `encode` gives the value's form, or undefined if it has none. */
  write(sighting: Sighting, place: Place, encode: (grant: CompiledGrant) => string | undefined): string | undefined {
    if (this.#scope.isOpen(sighting)) {
      if (this.#openKeys.size < MAX_KEYS) this.#openKeys.add(sighting.key);
      return undefined;
    }
    const verdict = this.#scope.judge(sighting, place);
    const text = typeof verdict === "string" ? undefined : encode(verdict);
    const reason = typeof verdict === "string" ? verdict : text === undefined ? "unwritable-value" : undefined;
    this.#entries.push({ sighting, place, reason });
    return text;
  }

  /** The keys that must be looked up before another pass; only if there are none the pass counts, and is recorded. */
  finish(): readonly string[] {
    if (this.#openKeys.size > 0) return [...this.#openKeys];
    for (const { sighting, place, reason } of this.#entries) {
      if (reason !== undefined) this.#scope.recordRefused(sighting, place.surface, reason);
      else if (sighting.grant !== undefined) this.#scope.recordSubstituted(sighting.grant, place.surface);
    }
    return [];
  }
}
