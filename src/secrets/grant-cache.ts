// What sandboxes may use, cached in front of the Secret API.
//
//   GrantCache ──► SandboxEntry (one per sandbox) ──► CachedAnswer (fresh? stale? fetch) ──► SecretApiClient ──► transport
//       ▲               └ RetiredGrants                    │                                     └ wire (parsing)
//       └── ChangeStream ── ChangePosition                 └ Freshness (TTL, stream, breaker), shared with SourceTable
//
// Invariants:
// - An answer that a change has named, or that a gap may have changed, is never given out again before it was fetched anew.
// - An API that cannot be heard lets answers serve up to `maxStaleMs`; one that is heard and refuses, or says what cannot be
//   read, lets none.
// - Names that callers made up cannot push out what real sandboxes need: they live in a small cache of their own, and only
//   so many are looked up at a time.

import { LRUCache } from "lru-cache";
import type { Clock, GrantSource, GrantsAnswer } from "../core/ports.ts";
import type { Changed } from "./change-position.ts";
import { ChangeStream, type StreamState } from "./change-stream.ts";
import type { Failure, SecretApiClient } from "./client.ts";
import { Freshness } from "./freshness.ts";
import { HeldSandboxes } from "./held-sandboxes.ts";
import { type SecretsLogger, silentLogger } from "./logger.ts";
import { RefreshQueue } from "./refresh-queue.ts";
import { type EntryOwner, type HeldAnswer, SandboxEntry } from "./sandbox-entry.ts";
import { type SourceAnswer, SourceTable } from "./source-table.ts";
import { SpreadRefresh } from "./spread-refresh.ts";
import { steadyClock, systemTimers, type Timers } from "./timers.ts";

export interface GrantCacheOptions {
  /** Not closed by the cache. */
  readonly client: Pick<SecretApiClient, "fetchGrants" | "fetchSources" | "openChanges">;
  /** Where nothing is pushed. Default 15000. */
  readonly cacheTtlMs?: number;
  /** Default 300000. */
  readonly maxStaleMs?: number;
  /** Default 20000. */
  readonly maxSandboxes?: number;
  /** Bound on all cached answers together, as they were on the wire. Default 256 MiB. */
  readonly maxCacheBytes?: number;
  /** A change stream without a byte for this long is dead. Default 15000. */
  readonly silenceMs?: number;
  /** Must not jump: deadlines are moments of it. */
  readonly clock?: Clock;
  readonly timers?: Timers;
  /** In [0, 1). */
  readonly random?: () => number;
  readonly logger?: SecretsLogger;
}

export interface GrantCacheState {
  readonly stream: StreamState;
  /** Of the last change that was heard. */
  readonly version: string | undefined;
  readonly sandboxes: number;
  /** Undefined while the API answers; else why it does not. Safe to show. */
  readonly apiFailure: string | undefined;
  /** When the API last said anything, by the cache's clock; undefined before the first time. */
  readonly heardAt: number | undefined;
  /** Lookups that were answered at once, and those that had to wait for the API. */
  readonly hits: number;
  readonly misses: number;
}

/** Sandboxes that are not known (yet). */
const maxStrangers = 4096;
/** What was kept aside of those that are gone: of the bound on all cached answers. */
const strangersShare = 1 / 4;
/** An empty answer weighs something too. */
const entryBytes = 1024;
/** Of these, how many are looked up at a time. */
const maxStrangerLookups = 256;
const absentStreamRetryMs = 60_000;

/** lru-cache makes an options object for each call that brings none. */
const touch = {};

const overloaded: GrantsAnswer = { kind: "unavailable", detail: "too many unknown sandboxes are being looked up" };

export class GrantCache implements GrantSource {
  readonly #freshness: Freshness;
  readonly #clock: Clock;
  readonly #logger: SecretsLogger;
  readonly #entries: LRUCache<string, SandboxEntry>;
  readonly #strangers: LRUCache<string, SandboxEntry>;
  /** With a fetch under way, wherever else they are or no longer are: a change must reach these too. */
  readonly #loading = new Map<string, SandboxEntry>();
  /** Strangers among these. */
  readonly #lookups = new Set<SandboxEntry>();
  readonly #listeners = new Set<(sandboxId: string, answer: GrantsAnswer) => void>();
  readonly #held: HeldSandboxes;
  readonly #sources: SourceTable;
  readonly #stream: ChangeStream;
  /** For what a change named. */
  readonly #queue: RefreshQueue;
  /** For what may be all that is held. */
  readonly #spread: SpreadRefresh;
  readonly #owner: EntryOwner;
  #apiFailure: string | undefined;
  #heardAt: number | undefined;
  #hits = 0;
  #misses = 0;

  constructor(options: GrantCacheOptions) {
    const { client, clock = steadyClock, timers = systemTimers, random = Math.random, logger = silentLogger } = options;
    const silenceMs = options.silenceMs ?? 15_000;
    this.#clock = clock;
    this.#logger = logger;
    this.#freshness = new Freshness({
      ttlMs: options.cacheTtlMs ?? 15_000,
      maxStaleMs: options.maxStaleMs ?? 300_000,
      silenceMs,
      random,
    });
    const { maxSandboxes = 20_000, maxCacheBytes = 256 * 1024 * 1024 } = options;
    this.#entries = new LRUCache({ max: maxSandboxes, maxSize: maxCacheBytes });
    this.#strangers = new LRUCache({
      max: maxStrangers,
      maxSize: Math.ceil(maxCacheBytes * strangersShare),
      sizeCalculation: ({ bytes }) => bytes + entryBytes,
    });
    this.#owner = {
      client,
      clock,
      freshness: this.#freshness,
      fetching: (entry) => this.#fetching(entry),
      replaced: (entry, answer) => this.#replaced(entry, answer),
      settled: (entry, failure) => this.#settled(entry, failure),
    };
    this.#sources = new SourceTable(client, this.#freshness, clock);
    this.#queue = new RefreshQueue((sandboxId) => this.#refetch(sandboxId));
    this.#spread = new SpreadRefresh({
      needsFetch: (sandboxId) => this.#needsFetch(sandboxId),
      refetch: (sandboxId) => this.#refetch(sandboxId),
      timers,
      random,
    });
    this.#held = new HeldSandboxes(timers, this.#freshness.ttlMs, (sandboxId) => this.#queue.add(sandboxId));
    this.#stream = new ChangeStream({
      open: (since, signal) => client.openChanges(since, signal),
      listener: {
        heard: (now) => this.#heard(now),
        changed: (what) => this.#changed(what),
        gap: () => this.#gap(),
        currentTurned: (current) => this.#currentTurned(current),
      },
      clock,
      timers,
      random,
      logger,
      silenceMs,
      absentRetryMs: absentStreamRetryMs,
    });
  }

  /** Starts listening to changes. */
  start(): void {
    this.#stream.start();
  }

  async close(): Promise<void> {
    this.#held.close();
    this.#queue.close();
    this.#spread.close();
    this.#listeners.clear();
    await this.#stream.close();
  }

  get state(): GrantCacheState {
    return {
      stream: this.#stream.state,
      version: this.#stream.version,
      sandboxes: this.#entries.size,
      apiFailure: this.#apiFailure,
      heardAt: this.#heardAt,
      hits: this.#hits,
      misses: this.#misses,
    };
  }

  /** Other bounds on the age of answers, from now on. */
  tune({ cacheTtlMs, maxStaleMs }: { readonly cacheTtlMs: number; readonly maxStaleMs: number }): void {
    this.#freshness.ttlMs = cacheTtlMs;
    this.#freshness.maxStaleMs = maxStaleMs;
  }

  /** Versions of the grants that are held, by sandbox id: at most `max`, those that were used last. */
  held(max: number): Readonly<Record<string, string>> {
    const versions: Record<string, string> = {};
    let count = 0;
    for (const [sandboxId, entry] of this.#entries.entries()) {
      if (count++ >= max) break;
      if (entry.version !== undefined) versions[sandboxId] = entry.version;
    }
    return versions;
  }

  get(sandboxId: string): GrantsAnswer | Promise<GrantsAnswer> {
    const entry = this.#entries.get(sandboxId, touch);
    const answer = entry === undefined ? this.#getStranger(sandboxId) : entry.get(this.#clock());
    if (answer instanceof Promise) this.#misses += 1;
    else this.#hits += 1;
    return answer;
  }

  knows(sandboxId: string): boolean {
    return this.#entries.has(sandboxId);
  }

  refresh(sandboxId: string, key: string): GrantsAnswer | Promise<GrantsAnswer> {
    const entry = this.#entries.get(sandboxId, touch);
    return entry === undefined ? this.#getStranger(sandboxId) : entry.refresh(key, this.#clock());
  }

  getCurrent(sandboxId: string): GrantsAnswer | Promise<GrantsAnswer> {
    const entry = this.#entries.get(sandboxId, touch);
    if (entry === undefined) return this.#getStranger(sandboxId);
    const now = this.#clock();
    const isCurrent = this.#freshness.isLive(now) || entry.cached.isYounger(now, 1000);
    return isCurrent || entry.cached.fresh(now) === undefined ? entry.get(now) : entry.cached.confirm(now);
  }

  hold(sandboxId: string): () => void {
    return this.#held.hold(sandboxId);
  }

  onChange(listener: (sandboxId: string, answer: GrantsAnswer) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whose a source address is, for transparent ports. `address` as the socket names its peer. Never rejects. */
  sandboxForAddress(address: string): SourceAnswer | Promise<SourceAnswer> {
    return this.#sources.sandboxForAddress(address);
  }

  #getStranger(sandboxId: string): GrantsAnswer | Promise<GrantsAnswer> {
    const now = this.#clock();
    const loading = this.#loading.get(sandboxId);
    if (loading !== undefined) return loading.get(now);
    let entry = this.#strangers.get(sandboxId);
    if (this.#lookups.size >= maxStrangerLookups) return entry?.cached.fresh(now) ?? overloaded;
    if (entry === undefined) {
      entry = new SandboxEntry(sandboxId, this.#owner);
      this.#strangers.set(sandboxId, entry);
    }
    return entry.get(now);
  }

  #fetching(entry: SandboxEntry): void {
    this.#loading.set(entry.sandboxId, entry);
    if (this.#entries.peek(entry.sandboxId) !== entry) this.#lookups.add(entry);
  }

  #replaced(entry: SandboxEntry, answer: HeldAnswer): void {
    const { sandboxId } = entry;
    const wasKnown = this.#entries.peek(sandboxId) === entry;
    if (answer.kind === "grants") {
      this.#strangers.delete(sandboxId);
      // The size may have changed, so it is set anew.
      this.#entries.set(sandboxId, entry, { size: entry.bytes + entryBytes });
    } else if (wasKnown) {
      this.#entries.delete(sandboxId);
      this.#strangers.set(sandboxId, entry);
    }
    // A stranger that stays one was never anybody's grants.
    if (answer.kind !== "grants" && !wasKnown) return;
    for (const listener of this.#listeners) {
      try {
        listener(sandboxId, answer);
      } catch (error) {
        this.#logger.warn({ sandbox: sandboxId, err: error }, "a listener to changed grants failed");
      }
    }
  }

  #settled(entry: SandboxEntry, failure: Failure | undefined): void {
    const { sandboxId } = entry;
    if (this.#loading.get(sandboxId) === entry) this.#loading.delete(sandboxId);
    this.#lookups.delete(entry);
    const detail = failure?.detail;
    if (failure?.reason !== "unreachable") this.#heardAt = this.#clock();
    if (failure?.reason === "malformed") {
      // A fault of this one sandbox's answer; of the API's health it says nothing.
      if (entry.failure !== detail)
        this.#logger.warn({ sandbox: sandboxId, detail }, "grants: an answer cannot be read");
    } else if (this.#apiFailure !== detail) {
      if (failure !== undefined) this.#logger.warn({ reason: failure.reason, detail }, "grants: not fetched");
      else this.#logger.info({}, "grants: fetched again");
      this.#apiFailure = detail;
    }
    entry.failure = detail;
  }

  #heard(now: number): void {
    this.#freshness.heardAt = now;
    this.#heardAt = now;
  }

  #changed({ sandboxes, placeholder, sources }: Changed): void {
    // First all are marked, then anything is fetched.
    if (sources) this.#sources.touch();
    for (const sandboxId of sandboxes) {
      this.#loading.get(sandboxId)?.cached.touch();
      this.#strangers.peek(sandboxId)?.cached.touch();
      this.#entries.peek(sandboxId)?.cached.touch();
    }
    if (placeholder !== undefined) this.#changedSecret(placeholder);
    for (const sandboxId of sandboxes) if (this.#entries.has(sandboxId)) this.#queue.add(sandboxId);
  }

  /**
   * What was fetched before shows whether it holds the secret: had it been mounted since, an earlier change would have named
   * the sandbox. What is being fetched may hold it unseen, so all of that counts as overtaken.
   */
  #changedSecret(placeholder: string): void {
    for (const entry of this.#loading.values()) entry.cached.touch();
    const stale: string[] = [];
    for (const entry of this.#entries.values()) {
      if (!entry.holds(placeholder)) continue;
      entry.cached.touch();
      stale.push(entry.sandboxId);
    }
    this.#spread.add(stale);
  }

  #gap(): void {
    this.#freshness.epoch++;
    this.#spread.add(this.#entries.keys());
  }

  #currentTurned(current: boolean): void {
    this.#freshness.current = current;
    if (!current) return;
    // It was just heard, so nothing need wait for a pause to end.
    this.#freshness.breaker.heard();
    this.#spread.add(this.#entries.keys());
  }

  #needsFetch(sandboxId: string): boolean {
    const entry = this.#entries.peek(sandboxId);
    return entry === undefined ? this.#held.has(sandboxId) : entry.cached.fresh(this.#clock()) === undefined;
  }

  async #refetch(sandboxId: string): Promise<void> {
    if (!this.#needsFetch(sandboxId)) return;
    const entry = this.#entries.peek(sandboxId);
    if (entry !== undefined) await entry.cached.revalidate();
    // Fallen out of the cache while a tunnel depends on it.
    else await this.get(sandboxId);
  }
}
