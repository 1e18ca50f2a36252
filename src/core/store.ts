// What the Secret API needs of a store, as types: records, outcomes and the port itself. SQLite and PostgreSQL adapters
// in src/store meet it; src/api uses it. Times are milliseconds since the epoch; absent values are null, as in SQL.

import type { ChangeAction } from "./change-actions.ts";
import type { OnViolation } from "./grants.ts";
import type { ConnectionCounts } from "./ports.ts";
import type { SecretValue } from "./secret-value.ts";

/** Who caused a write; names only, for the audit. */
export interface Actor {
  readonly kind: "bootstrap" | "key" | "proxy" | "system";
  /** An API key's name; else the kind again. */
  readonly name: string;
}

export interface Organization {
  readonly id: string;
  readonly name: string;
  /** Most secrets the organization may hold; null: no bound. */
  readonly secretQuota: number | null;
  /** Most secrets one sandbox may mount; null: the API's own bound alone. */
  readonly maxSecretsPerSandbox: number | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A sandbox that has a secret, and under which name. */
export interface SecretMount {
  readonly sandboxId: string;
  readonly sandboxName: string;
  readonly env: string;
}

/** A secret without its value. */
export interface SecretRecord {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  readonly description: string | null;
  /** As given. Empty: unrestricted. */
  readonly hosts: readonly string[];
  /** Places of a request, in the words of the wire (`header:x-api-key`); null: the deployment's default. */
  readonly locations: readonly string[] | null;
  readonly onViolation: OnViolation | null;
  readonly placeholder: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface NewSecret {
  readonly organizationId: string;
  readonly name: string;
  readonly value: SecretValue;
  readonly description: string | null;
  readonly hosts: readonly string[];
  readonly locations: readonly string[] | null;
  readonly onViolation: OnViolation | null;
  readonly placeholder: string;
  /** The placeholder is the caller's own literal, not of our grammar. */
  readonly ownPlaceholder: boolean;
}

/** Absent fields stay. */
export interface SecretPatch {
  readonly value?: SecretValue;
  readonly description?: string | null;
  readonly hosts?: readonly string[];
  readonly locations?: readonly string[] | null;
  readonly onViolation?: OnViolation | null;
  /** The caller's own literal. Another one than before needs `value`: see `placeholder-without-value`. */
  readonly placeholder?: string;
  /** An empty `hosts` leaves a restricted secret's hosts as they are. */
  readonly keepRestriction?: boolean;
}

export type CreateSecretOutcome =
  | { readonly kind: "created"; readonly secret: SecretRecord }
  | { readonly kind: "name-taken" }
  | { readonly kind: "placeholder-taken" }
  | { readonly kind: "over-quota"; readonly quota: number };

export type UpdateSecretOutcome =
  | { readonly kind: "updated"; readonly secret: SecretRecord }
  | { readonly kind: "not-found" }
  | { readonly kind: "placeholder-taken" }
  /** The value would hold the secret's own placeholder, or be part of it. */
  | { readonly kind: "placeholder-in-value" }
  /** Nobody may learn by trying placeholders what the stored value holds. */
  | { readonly kind: "placeholder-without-value" };

export type SortField = "name" | "createdAt" | "updatedAt";

/** Keyset paging: `after` is the sort value and id of the last row seen. */
export interface PageQuery {
  readonly limit: number;
  readonly sort: SortField;
  readonly order: "asc" | "desc";
  /** Part of the name: literal, ASCII case aside. */
  readonly name?: string | undefined;
  readonly after?: { readonly value: string | number; readonly id: string } | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Rows that match, over all pages. */
  readonly total: number;
  readonly more: boolean;
}

export interface EgressRuleTexts {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

export interface SourceRange {
  /** As given. */
  readonly cidr: string;
  /** First and last address as 32 hex digits (IPv4 in its mapped form), so that text order is address order. */
  readonly first: string;
  readonly last: string;
}

export interface Mount {
  readonly env: string;
  readonly secretName: string;
  readonly placeholder: string;
}

export interface SandboxRecord {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  /** `sha256:<64 hex>`. */
  readonly tokenHash: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What else Daytona's clients gave and expect back (user, target, cpu, …). */
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly onViolation: OnViolation | null;
  readonly egress: EgressRuleTexts;
  readonly sources: readonly string[];
  readonly mounts: readonly Mount[];
  readonly expiresAt: number | null;
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** An env name and the name of the secret it stands for. */
export interface MountRequest {
  readonly env: string;
  readonly secretName: string;
}

export interface NewSandbox {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  readonly tokenHash: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly onViolation: OnViolation | null;
  readonly egress: EgressRuleTexts;
  readonly sources: readonly SourceRange[];
  readonly mounts: readonly MountRequest[];
  readonly expiresAt: number | null;
}

/** Absent fields stay. `mounts` and `sources` replace the whole set. */
export interface SandboxPatch {
  readonly mounts?: readonly MountRequest[];
  readonly sources?: readonly SourceRange[];
  readonly onViolation?: OnViolation | null;
  readonly egress?: EgressRuleTexts;
  readonly expiresAt?: number | null;
  readonly labels?: Readonly<Record<string, string>>;
  readonly tokenHash?: string;
}

export type SandboxWriteFault =
  | { readonly kind: "name-taken" }
  | { readonly kind: "unknown-secrets"; readonly names: readonly string[] }
  | { readonly kind: "source-taken"; readonly cidr: string }
  | { readonly kind: "too-many-secrets"; readonly max: number };

export type CreateSandboxOutcome = { readonly kind: "created"; readonly sandbox: SandboxRecord } | SandboxWriteFault;
export type UpdateSandboxOutcome =
  | { readonly kind: "updated"; readonly sandbox: SandboxRecord }
  | { readonly kind: "not-found" }
  | SandboxWriteFault;

export interface SandboxQuery extends PageQuery {
  readonly id?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Rows to skip: for Daytona's deprecated page numbers alone. */
  readonly offset?: number | undefined;
}

/** A grant as stored: what the proxy will be told. */
export interface StoredGrant {
  readonly env: string;
  readonly name: string;
  readonly placeholder: string;
  readonly value: SecretValue;
  readonly hosts: readonly string[];
  readonly locations: readonly string[] | null;
  readonly onViolation: OnViolation | null;
}

export interface EgressRecord {
  readonly sandboxId: string;
  readonly organizationId: string;
  readonly version: number;
  readonly tokenHash: string;
  readonly sources: readonly string[];
  readonly onViolation: OnViolation | null;
  readonly egress: EgressRuleTexts;
  readonly grants: readonly StoredGrant[];
}

export type Permission =
  | "manage:secrets"
  | "write:sandboxes"
  | "delete:sandboxes"
  | "resolve:secrets"
  | "read:audit_logs"
  | "manage:api_keys"
  | "manage:organizations";

export interface ApiKeyRecord {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  /** `sha256:<64 hex>` of the key. */
  readonly hash: string;
  /** The key's beginning, to tell keys apart in a list. */
  readonly hint: string;
  readonly permissions: readonly Permission[];
  /** Bound to one sandbox: resolves that one alone. */
  readonly sandboxId: string | null;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly lastUsedAt: number | null;
}

export type NewApiKey = Omit<ApiKeyRecord, "createdAt" | "lastUsedAt">;

/** What a write changed, for proxies. */
export interface Change {
  readonly version: number;
  readonly organizationId: string;
  /** Null: too many to name. */
  readonly sandboxes: readonly string[] | null;
  /**
   * Where `sandboxes` is null: the changed secret's placeholder as it was before the change, so that whoever holds the
   * secret knows it by this. Null: everything may have changed.
   */
  readonly placeholder: string | null;
  /** The map of source addresses changed. */
  readonly sources: boolean;
}

export type ChangesAnswer =
  | { readonly kind: "changes"; readonly changes: readonly Change[] }
  /** What came after `since` is no longer known, or `since` is from another history. */
  | { readonly kind: "too-old"; readonly version: number };

export interface AuditEntry {
  readonly time: number;
  readonly organizationId: string | null;
  readonly actor: Actor;
  readonly action: ChangeAction;
  readonly targetType: string;
  readonly targetId: string;
  readonly targetName: string | null;
  /** What changed; never a value. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface AuditRecord extends AuditEntry {
  readonly id: number;
}

export interface AuditQuery {
  readonly organizationId: string;
  readonly limit: number;
  /** Entries older than this id. */
  readonly before?: number | undefined;
  readonly action?: string | undefined;
  readonly targetId?: string | undefined;
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** Every write takes its actor and puts its audit entry into the same transaction. Every write that a proxy must hear
 * of raises the global version. A write is durable when its promise resolves. */
export interface SecretStore {
  create(secret: NewSecret, actor: Actor, notes?: Readonly<Record<string, unknown>>): Promise<CreateSecretOutcome>;
  get(organizationId: string, id: string): Promise<SecretRecord | undefined>;
  list(organizationId: string, query: PageQuery): Promise<Page<SecretRecord>>;
  update(
    organizationId: string,
    id: string,
    patch: SecretPatch,
    actor: Actor,
    notes?: Readonly<Record<string, unknown>>,
  ): Promise<UpdateSecretOutcome>;
  delete(organizationId: string, id: string, actor: Actor): Promise<boolean>;
  /** In how many sandboxes each of these secrets is mounted; absent: in none. */
  mountCounts(ids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Where it is mounted, by the sandboxes' names; the first `limit`. */
  mountedIn(organizationId: string, id: string, limit: number): Promise<readonly SecretMount[]>;
}

export interface SandboxStore {
  create(sandbox: NewSandbox, actor: Actor): Promise<CreateSandboxOutcome>;
  get(organizationId: string, idOrName: string): Promise<SandboxRecord | undefined>;
  list(organizationId: string, query: SandboxQuery): Promise<Page<SandboxRecord>>;
  update(organizationId: string, idOrName: string, patch: SandboxPatch, actor: Actor): Promise<UpdateSandboxOutcome>;
  /** The record as it was. */
  delete(organizationId: string, idOrName: string, actor: Actor): Promise<SandboxRecord | undefined>;
  /** Deletes what has expired by `now`; returns how many, at most `limit`. */
  deleteExpired(now: number, limit: number): Promise<number>;
  /** When the next sandbox expires; undefined: none will. */
  nextExpiry(): Promise<number | undefined>;
}

export interface EgressStore {
  /** By id alone, whatever the organization. Expired sandboxes are not found. */
  find(sandboxId: string, now: number): Promise<{ organizationId: string; version: number } | undefined>;
  resolve(sandboxId: string, now: number): Promise<EgressRecord | undefined>;
  /** Ranges of one organization, or of all. */
  sources(organizationId: string | null): Promise<readonly { cidr: string; sandboxId: string }[]>;
  /** The version at which the map of sources last changed. */
  sourcesVersion(): Promise<number>;
}

export interface ChangeLog {
  version(): Promise<number>;
  since(version: number, limit: number): Promise<ChangesAnswer>;
  /** Calls back when the version has risen, in this process or another. Returns the unsubscribe function. */
  subscribe(listener: (version: number) => void): () => void;
  /** Forgets all but the latest `keep` changes. */
  prune(keep: number): Promise<void>;
}

export interface OrganizationStore {
  /** Made with the database; where the bootstrap key acts. */
  readonly defaultId: string;
  create(
    input: Pick<Organization, "id" | "name" | "secretQuota" | "maxSecretsPerSandbox">,
    actor: Actor,
  ): Promise<Organization | "name-taken">;
  get(id: string): Promise<Organization | undefined>;
  list(): Promise<readonly Organization[]>;
  update(
    id: string,
    patch: Partial<Pick<Organization, "name" | "secretQuota" | "maxSecretsPerSandbox">>,
    actor: Actor,
  ): Promise<Organization | "not-found" | "name-taken">;
}

export interface ApiKeyStore {
  create(key: NewApiKey, actor: Actor): Promise<ApiKeyRecord | "name-taken">;
  findByHash(hash: string): Promise<ApiKeyRecord | undefined>;
  get(organizationId: string, name: string): Promise<ApiKeyRecord | undefined>;
  list(organizationId: string): Promise<readonly ApiKeyRecord[]>;
  delete(organizationId: string, name: string, actor: Actor): Promise<boolean>;
  /** Notes that a key was used; not audited. */
  touch(id: string, time: number): Promise<void>;
}

export interface AuditStore {
  /** For what is no write: resolves. */
  record(entries: readonly AuditEntry[]): Promise<void>;
  list(query: AuditQuery): Promise<{ readonly items: readonly AuditRecord[]; readonly more: boolean }>;
  /** Forgets entries older than `time`; returns how many. */
  prune(time: number): Promise<number>;
}

/** Nobody speaks for a proxy that shows another kind of credential. */
export interface ProxyIdentity {
  /** Of its process; unique within what its credential is for. */
  readonly id: string;
  /** Null: it serves all organizations. */
  readonly organizationId: string | null;
  /** It serves this one alone: its credential is bound to it. Null: any. */
  readonly sandboxId: string | null;
}

/** What a proxy last said of itself. */
export interface ProxyReport extends ProxyIdentity {
  /** For people. */
  readonly name: string;
  readonly caFingerprint: string | null;
  /** Every change up to this version was heard; null: changes are not heard now. */
  readonly heardVersion: number | null;
  /** Versions of the grants that it holds, by sandbox id. */
  readonly grants: Readonly<Record<string, string>>;
  /** The grants are all that it holds. */
  readonly isComplete: boolean;
  /** Undefined: it did not say. */
  readonly connections?: ConnectionCounts | undefined;
  readonly seenAt: number;
}

export interface ProxyStore {
  /** In the place of what the proxy said before. Of those that are bound to one sandbox, the last 16 are remembered. */
  report(report: ProxyReport): Promise<void>;
  leave(proxy: ProxyIdentity): Promise<void>;
  /** Those that serve the organization and were heard at `since` or later. */
  list(organizationId: string, since: number): Promise<readonly ProxyReport[]>;
  /** Forgets those that were not heard since `time`; returns how many. */
  prune(time: number): Promise<number>;
}

/** A master key as the database knows it: never the key itself. */
export interface MasterKeyRecord {
  readonly id: string;
  readonly createdAt: number;
  /** New values are sealed under it. */
  readonly isCurrent: boolean;
  /** How many values are sealed under it. */
  readonly values: number;
}

export interface MasterKeyRotation {
  /** Id of the key that all values are sealed under now. */
  readonly current: string;
  readonly resealed: number;
  /** Ids of keys that no value needs any more. */
  readonly retired: readonly string[];
}

export interface Store {
  readonly kind: "sqlite" | "postgres";
  readonly secrets: SecretStore;
  readonly sandboxes: SandboxStore;
  readonly egress: EgressStore;
  readonly changes: ChangeLog;
  readonly organizations: OrganizationStore;
  readonly apiKeys: ApiKeyStore;
  readonly audit: AuditStore;
  readonly proxies: ProxyStore;
  /** One cheap question to the database; rejects where it cannot answer. */
  check(): Promise<void>;
  masterKeys(): Promise<readonly MasterKeyRecord[]>;
  /** From here on these keys count (`id:base64,…`, the first current). Rejects where the database needs another one. */
  useMasterKeys(masterKeys: string): Promise<void>;
  /** Seals all values under the current master key, online. */
  rotateMasterKey(): Promise<MasterKeyRotation>;
  /** SQLite: a consistent copy into a new file, while the store is in use. PostgreSQL has tools of its own: rejects. */
  backup(path: string): Promise<void>;
  close(): Promise<void>;
}

/** Why a store could not do what it was asked. The message is safe to show. */
export type StoreErrorCode =
  | "unavailable"
  | "full"
  | "corrupt"
  | "master-key"
  | "schema-too-new"
  | "locked"
  | "cannot-open";
