// The store: where secrets, sandboxes and keys rest. `openStore` is the way in.
//
//   open.ts ─► sqlite.ts | postgres.ts   a database behind the `Sql` port, migrated (schema.ts)
//           ─► key-ring.ts, envelope.ts  master keys, checked against the database; values sealed with AES-256-GCM
//           ─► *-table.ts                one file per noun, written once for both databases
//           ─► rotation.ts, backup.ts    another master key online; copies of a SQLite store
//
// What holds: a value is in the database only sealed; a write is durable when its promise resolves; every write that a
// proxy must hear of draws the next global version and appends a change in the same transaction, and so its audit
// entry; a wrong or missing master key stops the start and changes nothing.

import { randomUUID } from "node:crypto";
import type { Clock } from "../core/ports.ts";
import type { Store } from "../core/store.ts";
import { ApiKeyTable } from "./api-key-table.ts";
import { AuditTable } from "./audit-table.ts";
import { backUp } from "./backup.ts";
import { ChangeTable } from "./change-table.ts";
import { EgressTable } from "./egress-table.ts";
import { type MasterKey, parseMasterKeys } from "./envelope.ts";
import { KeyRing } from "./key-ring.ts";
import { OrganizationTable } from "./organization-table.ts";
import type { PostgresDatabase } from "./postgres.ts";
import { ProxyTable } from "./proxy-table.ts";
import { listMasterKeys, rotateMasterKey } from "./rotation.ts";
import { SandboxTable } from "./sandbox-table.ts";
import { SecretTable } from "./secret-table.ts";
import { SqliteDatabase } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

export interface StoreOptions {
  /** The SQLite file; its directory must exist. Not with `databaseUrl`. */
  readonly path?: string | undefined;
  /** `postgres://…` */
  readonly databaseUrl?: string | undefined;
  /** `id:base64,…` as in KEYSWAP_MASTER_KEY, the first current; or the keys themselves. */
  readonly masterKeys: string | readonly [MasterKey, ...MasterKey[]];
  readonly clock?: Clock | undefined;
}

/** Throws a StoreError with a safe, helpful message where the store cannot be opened. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const clock = options.clock ?? Date.now;
  const keys = typeof options.masterKeys === "string" ? parseMasterKeys(options.masterKeys) : options.masterKeys;
  const sql = await openDatabase(options, clock);
  try {
    return await assemble(sql, keys, clock);
  } catch (error) {
    await sql.close();
    throw error;
  }
}

async function openDatabase(options: StoreOptions, clock: Clock): Promise<SqliteDatabase | PostgresDatabase> {
  if (options.databaseUrl !== undefined) {
    // Loaded only where it is used: it is a good part of a start's time.
    const { PostgresDatabase } = await import("./postgres.ts");
    return PostgresDatabase.open(options.databaseUrl, clock);
  }
  if (options.path === undefined) throw new TypeError("openStore needs a path or a databaseUrl");
  return new SqliteDatabase(options.path, clock);
}

async function assemble(
  sql: SqliteDatabase | PostgresDatabase,
  keys: readonly [MasterKey, ...MasterKey[]],
  clock: Clock,
): Promise<Store> {
  // The keys first: with a wrong one nothing may be written.
  const ring = await KeyRing.open(sql, keys, clock);
  const organizations = await OrganizationTable.open(sql, clock, randomUUID());
  const changes = await ChangeTable.open(sql, clock);
  return {
    kind: sql.kind,
    secrets: new SecretTable(sql, ring, clock),
    sandboxes: new SandboxTable(sql, clock),
    egress: new EgressTable(sql, ring),
    changes,
    organizations,
    apiKeys: new ApiKeyTable(sql, clock),
    audit: new AuditTable(sql),
    proxies: new ProxyTable(sql),
    check: async () => {
      await changes.version();
    },
    masterKeys: () => listMasterKeys(sql, ring),
    useMasterKeys: async (text) => ring.use(sql, parseMasterKeys(text)),
    rotateMasterKey: () => rotateMasterKey(sql, ring),
    backup: async (path) => {
      if (sql.kind === "postgres")
        throw new StoreError("cannot-open", "Back up PostgreSQL with its own tools, such as pg_dump.");
      await backUp(sql, path);
    },
    close: () => sql.close(),
  };
}
