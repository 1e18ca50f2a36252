// Scrubbers, compiled once for each version of a sandbox's grants. They live and go with it: a scrubber holds every value
// that it looks for, so nothing that outlives the version may hold a scrubber, retired grants least of all.

import type { Grant } from "../grants.ts";
import type { GrantIndex, HostView } from "./grant-index.ts";
import { Scrubber } from "./scrubber.ts";

/** Lists that begin with the same grant; more of them are compiled anew each time. */
const maxShared = 8;

interface Shared {
  readonly grants: readonly Grant[];
  readonly scrubber: Scrubber;
}

/** By the first grant of each list. */
type SharedByFirst = Map<Grant | undefined, Shared[]>;

export class ScrubberCache {
  readonly #byView = new WeakMap<HostView, Scrubber>();
  readonly #byIndex = new WeakMap<GrantIndex, SharedByFirst>();

  /** For the answers of a view's host. Hosts towards which the same grants bear, in the same order, share one. */
  forView(view: HostView): Scrubber {
    const known = this.#byView.get(view);
    if (known !== undefined) return known;
    const scrubber = this.forGrants(view.index, view.scrubbed);
    this.#byView.set(view, scrubber);
    return scrubber;
  }

  /** For these very grants, in this order; kept at most as long as `index` is. */
  forGrants(index: GrantIndex, grants: readonly Grant[]): Scrubber {
    const byFirst: SharedByFirst = this.#byIndex.get(index) ?? new Map();
    this.#byIndex.set(index, byFirst);
    const shared = byFirst.get(grants[0]) ?? [];
    const known = shared.find((entry) => {
      return entry.grants.length === grants.length && entry.grants.every((grant, at) => grant === grants[at]);
    });
    if (known !== undefined) return known.scrubber;
    const scrubber = new Scrubber(grants);
    if (shared.length >= maxShared) shared.shift();
    shared.push({ grants, scrubber });
    byFirst.set(grants[0], shared);
    return scrubber;
  }
}
