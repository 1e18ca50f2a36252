// What the Secret API answers, as far as the console reads it.

export interface Session {
  readonly name: string;
  readonly organizationId: string;
  readonly permissions: readonly string[];
  readonly version: string;
}

export interface Secret {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  readonly placeholder: string;
  readonly hosts: readonly string[];
  readonly locations?: readonly string[];
  readonly onViolation?: "pass" | "block";
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly warnings?: readonly string[];
}

/** With what the console shows besides. */
export interface SecretRow extends Secret {
  /** In how many sandboxes it is mounted. */
  readonly mounts: number;
  /** As far as it was reported since `Status.startedAt`. */
  readonly lastUsedAt: string | null;
}

export interface SecretMount {
  readonly sandboxId: string;
  readonly sandboxName: string;
  readonly env: string;
}

export interface SecretDetail extends SecretRow {
  readonly mountedIn: readonly SecretMount[];
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly total: number;
  readonly nextCursor: string | null;
}

export interface Sandbox {
  readonly id: string;
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: readonly Readonly<Record<string, string>>[];
  readonly sources: readonly string[];
  readonly onViolation: "pass" | "block" | null;
  readonly egressPolicy: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  readonly expiresAt: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** What a sandbox has open, as proxies told it in their last reports. */
export interface Presence {
  readonly sandboxId: string;
  readonly connections: number;
  /** Otherwise there may be more. */
  readonly isComplete: boolean;
  readonly proxies: number;
  readonly readyProxies: number;
}

export interface SandboxWithToken extends Sandbox {
  readonly egress: { readonly proxyUrl: string; readonly env: Readonly<Record<string, string>> };
}

export type Outcome = "substituted" | "withheld" | "passed" | "tunnelled" | "refused" | "failed";

export interface TrafficItem {
  readonly seq: number;
  readonly outcome: Outcome;
  readonly decisions: readonly string[];
  readonly event: {
    readonly type: "exchange" | "tunnel" | "refusal";
    readonly time: string;
    readonly id: string;
    readonly way: string;
    readonly sandbox?: string;
    readonly authority?: string;
    readonly protocol?: string;
    readonly method?: string;
    readonly path?: string;
    readonly status?: number;
    readonly error?: string;
    readonly requestBytes?: number;
    readonly responseBytes?: number;
    readonly sentBytes?: number;
    readonly receivedBytes?: number;
    readonly firstByteMs?: number;
    readonly durationMs?: number;
  };
}

export interface TrafficNumbers {
  readonly events: number;
  readonly substituted: number;
  readonly withheld: number;
  readonly refused: number;
  readonly failed: number;
  readonly tunnelled: number;
  readonly scrubbed: number;
}

export interface TrafficPage {
  readonly items: readonly TrafficItem[];
  readonly since: string;
}

export interface TrafficSummary {
  readonly since: string;
  readonly minutes: readonly (TrafficNumbers & { readonly time: string })[];
  readonly hosts: readonly (TrafficNumbers & { readonly authority: string })[];
  readonly missing: { readonly unsampled: number; readonly lost: number };
}

export interface Explanation {
  readonly outcome: "substituted" | "partly" | "withheld" | "blocked" | "denied" | "tunnelled" | "nothing";
  readonly summary: string;
  readonly authority: string;
  readonly connection: { readonly kind: string; readonly explain: string };
  readonly substituted: readonly { readonly secret: string; readonly surface: string }[];
  readonly notSubstituted: readonly {
    readonly secret?: string;
    readonly surface?: string;
    readonly reason: string;
    readonly explain: string;
  }[];
  readonly grants: readonly {
    readonly env: string;
    readonly secret: string;
    readonly allowed: boolean;
    readonly pattern?: string;
    readonly unrestricted: boolean;
    readonly locations: readonly string[];
    readonly onViolation: "pass" | "block";
  }[];
  readonly assumed: readonly string[];
}

export interface Status {
  readonly version: string;
  readonly node: string;
  readonly startedAt: string;
  readonly store: { readonly kind: "sqlite" | "postgres"; readonly answers: boolean; readonly answerMs: number };
  readonly changesVersion: string | null;
  readonly proxyUrl: string;
  readonly ca: {
    readonly subject: string;
    readonly fingerprint: string;
    readonly notBefore: string;
    readonly notAfter: string;
  } | null;
  readonly proxies: readonly {
    readonly id: string;
    readonly name: string;
    readonly seenAt: string;
    /** Changes that it has not heard of; null: it does not hear them. */
    readonly behind: number | null;
    /** Sandboxes whose grants it holds. */
    readonly sandboxes: number;
    readonly hasSameCa: boolean | null;
  }[];
  readonly traffic: { readonly unsampled: number; readonly lost: number };
}
