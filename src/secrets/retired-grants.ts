// Values that a sandbox had lately. They are never sent again, but what was sent may still come back in an answer: they stay
// scrub patterns, and their hosts intercepted, for an hour.

import type { Grant } from "../core/grants.ts";

export const retiredForMs = 60 * 60 * 1000;
/** Per sandbox; beyond it the oldest is forgotten. */
export const maxRetired = 64;

interface Retired {
  readonly grant: Grant;
  readonly until: number;
}

export class RetiredGrants {
  #retired: readonly Retired[] = [];
  /** When the next one is to be forgotten. */
  expiresAt = Number.POSITIVE_INFINITY;

  /** `next` takes the place of `previous`. Returns what is retired now, oldest first. */
  replace(previous: readonly Grant[], next: readonly Grant[], now: number): readonly Grant[] {
    const still = byPlaceholder(next);
    const gone = previous.filter((grant) => !isCovered(grant, still));
    const goneNow = byPlaceholder(gone);
    const kept = this.#retired.filter(
      (each) => each.until > now && !isCovered(each.grant, still) && !isCovered(each.grant, goneNow),
    );
    const until = now + retiredForMs;
    return this.#set([...kept, ...gone.map((grant) => ({ grant, until }))].slice(-maxRetired));
  }

  /** Forgets what is due. Returns what is left. */
  expire(now: number): readonly Grant[] {
    return this.#set(this.#retired.filter((each) => each.until > now));
  }

  #set(retired: readonly Retired[]): readonly Grant[] {
    this.#retired = retired;
    this.expiresAt = Math.min(...retired.map((each) => each.until));
    return retired.map((each) => each.grant);
  }
}

type ByPlaceholder = ReadonlyMap<string, readonly Grant[]>;

/** One secret may be mounted under several names. */
function byPlaceholder(grants: readonly Grant[]): ByPlaceholder {
  const map = new Map<string, Grant[]>();
  for (const grant of grants) {
    const same = map.get(grant.placeholder);
    if (same === undefined) map.set(grant.placeholder, [grant]);
    else same.push(grant);
  }
  return map;
}

/** Whether some of `others` scrubs this grant's value wherever this grant would have had it sent. */
function isCovered(grant: Grant, others: ByPlaceholder): boolean {
  const same = others.get(grant.placeholder) ?? [];
  return same.some((other) => other.value.equals(grant.value) && coversHosts(other, grant));
}

function coversHosts(other: Grant, grant: Grant): boolean {
  // An empty list is every host.
  if (other.hosts.length === 0) return true;
  if (grant.hosts.length === 0) return false;
  return grant.hosts.every((host) =>
    other.hosts.some((each) => each.host === host.host && each.wildcard === host.wildcard),
  );
}
