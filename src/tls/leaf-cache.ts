// TLS server contexts by host. Making one costs far more than minting its leaf, so the context is what is kept.

import { createSecureContext, type SecureContext } from "node:tls";
import { LRUCache } from "lru-cache";
import type { Clock } from "../core/ports.ts";
import { type CertificateAuthority, dayMs } from "./authority.ts";
import { LeafMinter } from "./leaf.ts";

/** A leaf is replaced this long before it ends, so that none ends in a client's hands. */
const renewBeforeMs = dayMs;

export interface LeafCacheOptions {
  /** Bound on the number of hosts kept; the least recently used goes first. */
  readonly maxLeaves: number;
  readonly clock: Clock;
  /** Told how long making a leaf and its context took. */
  readonly onMinted?: (seconds: number) => void;
}

/**
 * Contexts that left the cache and are not freed yet: a caller may be about to hand one to a socket. Each is freed once
 * this many more have left.
 */
const maxRetiring = 64;

interface Entry {
  readonly context: SecureContext;
  readonly notBefore: number;
  readonly renewAt: number;
}

export class LeafCache {
  readonly #clock: Clock;
  readonly #onMinted: LeafCacheOptions["onMinted"];
  readonly #entries: LRUCache<string, Entry>;
  #minter: LeafMinter;
  readonly #retiring: SecureContext[] = [];
  #minted = 0;

  constructor(authority: CertificateAuthority, options: LeafCacheOptions) {
    this.#clock = options.clock;
    this.#onMinted = options.onMinted;
    this.#entries = new LRUCache({ max: options.maxLeaves, dispose: ({ context }) => this.#retire(context) });
    this.#minter = new LeafMinter(authority);
  }

  /**
   * The context for a canonical host (name, or IP literal without brackets). A miss is minted at once, in about 0.3 ms of
   * this thread, so there is never a second mint under way for the same host. The host is chosen by the client: check
   * that it may be served before asking. Give the context to a socket at once, do not keep it. Throws CertificateAuthorityError once the CA has expired.
   */
  contextFor(host: string): SecureContext {
    return this.cached(host) ?? this.#mint(host);
  }

  /** The context if it needs no minting: lets a caller bound how fast new hosts are minted. */
  cached(host: string): SecureContext | undefined {
    const entry = this.#entries.get(host);
    if (entry === undefined) return undefined;
    const now = this.#clock();
    // The lower bound matters when the clock was set back.
    return now >= entry.notBefore && now < entry.renewAt ? entry.context : undefined;
  }

  /** Forgets every leaf. */
  clear(): void {
    this.#entries.clear();
  }

  /** From now on leaves come from this CA; none of the former one's is served again. */
  replaceAuthority(authority: CertificateAuthority): void {
    this.#minter = new LeafMinter(authority);
    this.clear();
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Leaves minted since the start. */
  get minted(): number {
    return this.#minted;
  }

  #mint(host: string): SecureContext {
    const now = this.#clock();
    const began = performance.now();
    const leaf = this.#minter.mint(host, now);
    const context = createSecureContext({ cert: leaf.certificatePem, key: this.#minter.keyPem, minVersion: "TLSv1.2" });
    // Near the CA's end the margin shrinks with what is left, or every connection would mint.
    const margin = Math.min(renewBeforeMs, (leaf.notAfter - now) / 2);
    this.#entries.set(host, { context, notBefore: leaf.notBefore, renewAt: leaf.notAfter - margin });
    this.#minted += 1;
    this.#onMinted?.((performance.now() - began) / 1000);
    return context;
  }

  /**
   * Frees a context's native memory (about 50 KB). The garbage collector does not see that memory and would let
   * hundreds of megabytes pile up while a client walks through names. Sockets hold their own reference to what they use.
   */
  #retire(context: SecureContext): void {
    this.#retiring.push(context);
    if (this.#retiring.length <= maxRetiring) return;
    // Not in the documentation; where a Node has it no more, memory is merely freed later.
    const handle: { close?: () => void } | undefined = this.#retiring.shift()?.context;
    handle?.close?.();
  }
}
