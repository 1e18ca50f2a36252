// What the proxy needs of the world, as types. Adapters meet them by structure; src/cli/compose.ts joins them.

import type { AuditEvent } from "./audit.ts";
import type { SandboxGrants } from "./grants.ts";

/** Milliseconds since the epoch. */
export type Clock = () => number;

export interface AuditSink {
  /** Never throws and never blocks; a sink that cannot keep up counts what it drops. */
  record(event: AuditEvent): void;
}

/** The answer to "what may this sandbox use?". */
export type GrantsAnswer =
  | { readonly kind: "grants"; readonly grants: SandboxGrants }
  | { readonly kind: "unknown-sandbox" }
  | { readonly kind: "unavailable"; readonly detail: string };

/** Where grants come from: a cache in front of the Secret API. */
export interface GrantSource {
  /** At once where fresh enough grants are cached (the hot path), else when they have been fetched. Never rejects. */
  get(sandboxId: string): GrantsAnswer | Promise<GrantsAnswer>;

  /** Whether answering needs nobody to be asked, or somebody was about this sandbox before; where absent it is not known. */
  knows?(sandboxId: string): boolean;

  /**
   * The sandbox used a placeholder whose lookup key is not among its cached grants: fetches them anew, unless that is
   * known to be futile (the key was asked for at this version, or a forced refresh ran within the last second; then the
   * cached answer comes back). Also while changes are pushed: the push may still be on its way. Never rejects.
   */
  refresh(sandboxId: string, key: string): GrantsAnswer | Promise<GrantsAnswer>;

  /** Before a blind tunnel: a conditional refresh if the change stream is not live and the grants are over 1 s old. */
  getCurrent(sandboxId: string): GrantsAnswer | Promise<GrantsAnswer>;

  /**
   * Somebody depends on these grants without asking for them: a tunnel that has to end once its host is granted. They are
   * kept current also where nothing is pushed, so that `onChange` is called. Returns the function that ends it.
   */
  hold(sandboxId: string): () => void;

  /** Calls back with the new answer whenever a sandbox's grants were replaced. Returns the unsubscribe function. */
  onChange(listener: (sandboxId: string, answer: GrantsAnswer) => void): () => void;
}

/** How many connections sandboxes have open at one proxy. */
export interface ConnectionCounts {
  /** By sandbox id; of those that have some, the busiest. */
  readonly bySandbox: Readonly<Record<string, number>>;
  /** All connections of sandboxes that are not listed. */
  readonly others: number;
}

/** The answer to "who speaks from this address?". */
export type SourceAnswer =
  | { readonly kind: "sandbox"; readonly sandboxId: string }
  | { readonly kind: "unknown-source" }
  | { readonly kind: "unavailable"; readonly detail: string };

/** Whose source addresses are, for transparent ports. */
export interface SourceFinder {
  /** `address` as the socket names its peer. Never rejects. */
  sandboxForAddress(address: string): SourceAnswer | Promise<SourceAnswer>;
}
