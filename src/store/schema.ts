// The tables, as migrations that only ever go forward. A released migration is never edited: add the next one.
// `{text}`, `{bytes}` and `{serial}` stand for what the databases call differently; text sorts by code unit in both.

export const migrations: readonly (readonly string[])[] = [
  [
    // Counters. `version` rises with every write that a proxy must hear of.
    "CREATE TABLE counters (name {text} PRIMARY KEY, number BIGINT NOT NULL)",

    "CREATE TABLE master_keys (id {text} PRIMARY KEY, check_box {bytes} NOT NULL, created_at BIGINT NOT NULL)",

    `CREATE TABLE organizations (
      id {text} PRIMARY KEY, name {text} NOT NULL UNIQUE, is_default BIGINT NOT NULL,
      secret_quota BIGINT, max_secrets_per_sandbox BIGINT,
      created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL)`,

    `CREATE TABLE secrets (
      id {text} PRIMARY KEY, organization_id {text} NOT NULL REFERENCES organizations (id),
      name {text} NOT NULL, description {text}, hosts {text} NOT NULL, locations {text}, on_violation {text},
      placeholder {text} NOT NULL, own_placeholder BIGINT NOT NULL,
      key_id {text} NOT NULL, box {bytes} NOT NULL, value_version BIGINT NOT NULL,
      created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
      UNIQUE (organization_id, name), UNIQUE (organization_id, placeholder))`,
    "CREATE INDEX secrets_created ON secrets (organization_id, created_at, id)",
    "CREATE INDEX secrets_updated ON secrets (organization_id, updated_at, id)",
    "CREATE INDEX secrets_key ON secrets (key_id, id)",
    "CREATE INDEX secrets_own_placeholder ON secrets (organization_id) WHERE own_placeholder = 1",

    `CREATE TABLE sandboxes (
      id {text} PRIMARY KEY, organization_id {text} NOT NULL REFERENCES organizations (id),
      name {text} NOT NULL, token_hash {text} NOT NULL, labels {text} NOT NULL, attributes {text} NOT NULL,
      on_violation {text}, egress {text} NOT NULL, expires_at BIGINT, version BIGINT NOT NULL,
      created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
      UNIQUE (organization_id, name))`,
    "CREATE INDEX sandboxes_created ON sandboxes (organization_id, created_at, id)",
    "CREATE INDEX sandboxes_updated ON sandboxes (organization_id, updated_at, id)",
    "CREATE INDEX sandboxes_expiry ON sandboxes (expires_at) WHERE expires_at IS NOT NULL",

    `CREATE TABLE mounts (
      sandbox_id {text} NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE, env {text} NOT NULL,
      position BIGINT NOT NULL, secret_id {text} NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
      PRIMARY KEY (sandbox_id, env))`,
    "CREATE INDEX mounts_secret ON mounts (secret_id, sandbox_id)",

    // Addresses as 32 hex digits. Ranges never overlap, whatever the organization: the network is shared.
    `CREATE TABLE sources (
      first_address {text} PRIMARY KEY, last_address {text} NOT NULL, cidr {text} NOT NULL,
      sandbox_id {text} NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE)`,
    "CREATE INDEX sources_sandbox ON sources (sandbox_id)",

    `CREATE TABLE changes (
      version BIGINT PRIMARY KEY, organization_id {text} NOT NULL, sandboxes {text}, sources BIGINT NOT NULL)`,

    `CREATE TABLE api_keys (
      id {text} PRIMARY KEY, organization_id {text} NOT NULL REFERENCES organizations (id), name {text} NOT NULL,
      hash {text} NOT NULL UNIQUE, hint {text} NOT NULL, permissions {text} NOT NULL, sandbox_id {text},
      created_at BIGINT NOT NULL, expires_at BIGINT, last_used_at BIGINT,
      UNIQUE (organization_id, name))`,

    `CREATE TABLE audit (
      id {serial}, time BIGINT NOT NULL, organization_id {text}, actor_kind {text} NOT NULL, actor_name {text} NOT NULL,
      action {text} NOT NULL, target_type {text} NOT NULL, target_id {text} NOT NULL, target_name {text},
      details {text} NOT NULL)`,
    "CREATE INDEX audit_organization ON audit (organization_id, id)",
    "CREATE INDEX audit_target ON audit (target_id, id)",
    "CREATE INDEX audit_time ON audit (time)",
  ],
  [
    `CREATE TABLE proxies (
      id {text} PRIMARY KEY, organization_id {text}, name {text} NOT NULL, seen_at BIGINT NOT NULL,
      state {text} NOT NULL)`,
    "CREATE INDEX proxies_seen ON proxies (seen_at)",
  ],
  ["ALTER TABLE changes ADD COLUMN placeholder {text}"],
];

export interface MigrationStep {
  readonly version: number;
  readonly statements: readonly string[];
}

/** The statements that bring a database from version `from` (0: empty) to the latest. */
export function migrationSteps(
  from: number,
  types: { readonly text: string; readonly bytes: string; readonly serial: string },
): readonly MigrationStep[] | "too-new" {
  if (from > migrations.length) return "too-new";
  return migrations.slice(from).map((statements, index) => ({
    version: from + index + 1,
    statements: statements.map((statement) =>
      statement.replace(/\{(text|bytes|serial)\}/g, (_, type: "text" | "bytes" | "serial") => types[type]),
    ),
  }));
}
