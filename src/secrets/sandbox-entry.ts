// What the cache keeps of one sandbox: the API's answer, the values it had lately, and the keys it asked for in vain.

import type { SandboxGrants } from "../core/grants.ts";
import type { Clock, GrantsAnswer } from "../core/ports.ts";
import { CachedAnswer, type Fetched } from "./cached-answer.ts";
import type { Failure, SecretApiClient } from "./client.ts";
import type { Freshness } from "./freshness.ts";
import { RetiredGrants } from "./retired-grants.ts";

export type HeldAnswer = Exclude<GrantsAnswer, { readonly kind: "unavailable" }>;

const unknownSandbox: HeldAnswer = { kind: "unknown-sandbox" };
/** For how long "unknown" is believed: a sandbox may be made right after its first try. */
export const unknownLifeMs = 1000;
/** Keys asked for in vain that are remembered; beyond it the oldest is forgotten. */
export const maxAskedKeys = 256;
/** At least this long from one forced refresh to the next. */
export const forcedEveryMs = 1000;

export interface EntryOwner {
  readonly client: Pick<SecretApiClient, "fetchGrants">;
  readonly freshness: Freshness;
  readonly clock: Clock;
  fetching(entry: SandboxEntry): void;
  replaced(entry: SandboxEntry, answer: HeldAnswer): void;
  settled(entry: SandboxEntry, failure: Failure | undefined): void;
}

export class SandboxEntry {
  readonly sandboxId: string;
  readonly cached: CachedAnswer<HeldAnswer>;
  readonly retired = new RetiredGrants();
  /** Size of the last answer on the wire. */
  bytes = 0;
  /** Of the last fetch, for logging. */
  failure: string | undefined;
  readonly #owner: EntryOwner;
  #grants: SandboxGrants | undefined;
  /** The API does not know the sandbox (any more); `#grants` is what it said before. */
  #isGone = false;
  #asked = new Set<string>();
  #forcedAt = Number.NEGATIVE_INFINITY;
  #forced: Promise<GrantsAnswer> | undefined;

  constructor(sandboxId: string, owner: EntryOwner) {
    this.sandboxId = sandboxId;
    this.#owner = owner;
    this.cached = new CachedAnswer<HeldAnswer>({
      freshness: owner.freshness,
      clock: owner.clock,
      fetch: (etag) => this.#fetch(etag),
      replaced: (answer) => this.#replaced(answer),
      settled: (failure) => owner.settled(this, failure),
    });
  }

  /** Of the grants that are held, if any are. */
  get version(): string | undefined {
    return this.#isGone ? undefined : this.#grants?.version;
  }

  /** Whether a grant that is held, or was before the API forgot the sandbox, stands for this placeholder's secret. */
  holds(placeholder: string): boolean {
    return this.#grants?.grants.some((grant) => grant.placeholder === placeholder) ?? false;
  }

  /** The hot path: on a hit the same object each time. */
  get(now: number): GrantsAnswer | Promise<GrantsAnswer> {
    if (now >= this.retired.expiresAt) this.#forgetRetired(now);
    return this.cached.get(now);
  }

  /** See `GrantSource.refresh`. */
  refresh(key: string, now: number): GrantsAnswer | Promise<GrantsAnswer> {
    const answer = this.cached.fresh(now);
    // Nothing usable is cached: what is fetched now is new enough for any key.
    if (answer === undefined) return this.get(now);
    // A live stream is no reason to believe the cache: the API may know a mount whose push is still on its way.
    if (answer.kind !== "grants" || this.#asked.has(key)) return answer;
    if (this.#forced !== undefined) return this.#forced;
    if (now - this.#forcedAt < forcedEveryMs) return answer;
    this.#forcedAt = now;
    this.#forced = this.#force(key, now).finally(() => {
      this.#forced = undefined;
    });
    return this.#forced;
  }

  async #force(key: string, now: number): Promise<GrantsAnswer> {
    const before = this.cached.confirmations;
    const answer = await this.cached.confirm(now);
    // Only a confirmed answer proves that the key is unknown; a stale one may lack it.
    if (answer.kind === "grants" && this.cached.confirmations > before) this.#remember(key);
    return answer;
  }

  #remember(key: string): void {
    if (this.#asked.size >= maxAskedKeys) {
      const [oldest] = this.#asked;
      if (oldest !== undefined) this.#asked.delete(oldest);
    }
    this.#asked.add(key);
  }

  async #fetch(etag: string | undefined): Promise<Fetched<HeldAnswer>> {
    this.#owner.fetching(this);
    const answer = await this.#owner.client.fetchGrants(this.sandboxId, etag);
    switch (answer.kind) {
      case "answer":
        this.bytes = answer.bytes;
        return { kind: "new", answer: { kind: "grants", grants: answer.value }, etag: answer.etag };
      case "absent":
        return { kind: "new", answer: unknownSandbox, etag: undefined, lifeMs: unknownLifeMs };
      case "not-modified":
        return { kind: "same" };
      case "failed":
        return answer;
      default:
        return answer satisfies never;
    }
  }

  #replaced(answer: HeldAnswer): void {
    const previous = this.#grants;
    if (answer.kind === "grants") {
      if (previous?.version !== answer.grants.version) this.#asked = new Set();
      const retired = this.retired.replace(previous?.grants ?? [], answer.grants.grants, this.#owner.clock());
      this.#isGone = false;
      this.#owner.replaced(this, this.#keep(retired.length === 0 ? answer.grants : { ...answer.grants, retired }));
      return;
    }
    // The last grants are kept aside: should the sandbox come back, what it lost in between is retired. As another object,
    // so that what was compiled of the first is let go.
    this.#isGone = true;
    if (previous !== undefined) this.#grants = { ...previous };
    this.#asked = new Set();
    this.#owner.replaced(this, answer);
  }

  #forgetRetired(now: number): void {
    const retired = this.retired.expire(now);
    if (this.#grants === undefined || this.#isGone) return;
    const answer = this.#keep({ ...this.#grants, retired });
    if (this.cached.fresh(now) !== undefined) this.#owner.replaced(this, answer);
  }

  #keep(grants: SandboxGrants): HeldAnswer {
    this.#grants = grants;
    const answer: HeldAnswer = { kind: "grants", grants };
    this.cached.amend(answer);
    return answer;
  }
}
