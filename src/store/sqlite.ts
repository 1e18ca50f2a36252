// SQLite behind the `Sql` port: node:sqlite, one writing and one reading connection, write-ahead log, full sync. Readers
// see the last commit. The connections are synchronous: keep the store in a worker thread where stalls matter.

import { closeSync, constants, existsSync, fchmodSync, openSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { migrationSteps } from "./schema.ts";
import type { Row, Sql, SqlValue, SqlWriter } from "./sql.ts";
import { StoreError } from "./store-error.ts";
import { WriteQueue, type WriteSession } from "./write-queue.ts";

const MAX_STATEMENTS = 256;
/** In one step of a backup: 8 TiB at 4 KiB each. */
const MAX_PAGES = 2 ** 31 - 1;
const BUSY_TIMEOUT_MS = 5_000;

export class SqliteDatabase implements Sql {
  readonly kind = "sqlite";
  readonly dialect = {
    contains: (outer: string, inner: string) => `instr(${outer}, ${inner}) > 0`,
    asciiLower: (text: string) => `lower(${text})`,
  };
  readonly #writer: Connection;
  readonly #reader: Connection;
  readonly #listeners = new Set<(version: number) => void>();
  readonly #writes: WriteQueue;
  #closed = false;

  /** Opens or makes the file (mode 0600) and brings its schema up to date. */
  constructor(path: string, clock: () => number) {
    this.#writer = openFile(path);
    try {
      migrate(this.#writer, clock);
      this.#reader = new Connection(path, true);
      this.#writes = new WriteQueue(
        async () => new SqliteSession(this.#writer),
        (version) => {
          for (const listener of this.#listeners) listener(version);
        },
      );
    } catch (error) {
      this.#writer.close();
      throw asStoreError(error);
    }
  }

  async all(statement: string, ...values: SqlValue[]): Promise<readonly Row[]> {
    return this.#reader.all(statement, values);
  }

  async get(statement: string, ...values: SqlValue[]): Promise<Row | undefined> {
    return this.#reader.get(statement, values);
  }

  write<T>(work: (tx: SqlWriter) => Promise<T>): Promise<T> {
    return this.#writes.write(work);
  }

  subscribe(listener: (version: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A consistent copy into a new file, while writes go on. */
  async backup(path: string): Promise<void> {
    await this.#reader.backup(path);
  }

  /** What SQLite's own check finds first; undefined: nothing. */
  integrityProblem(): string | undefined {
    const result = String(this.#reader.get("PRAGMA integrity_check(1)", [])?.integrity_check);
    return result === "ok" ? undefined : result;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#writes.close();
    this.#reader.close();
    this.#writer.close();
  }
}

/** A consistent copy of a database that may be in use, by this process or another. */
export async function copyDatabase(path: string, copy: string): Promise<void> {
  const reader = new Connection(path, true);
  try {
    await reader.backup(copy);
  } catch (error) {
    throw asStoreError(error);
  } finally {
    reader.close();
  }
}

class SqliteSession implements WriteSession {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async begin(): Promise<void> {
    this.#connection.exec("BEGIN IMMEDIATE");
  }

  async exec(statement: string): Promise<void> {
    this.#connection.exec(statement);
  }

  writer(): SqliteTransaction {
    return new SqliteTransaction(this.#connection);
  }

  /** There are no other processes. */
  async announce(): Promise<void> {}

  isOpen(): boolean {
    return this.#connection.inTransaction;
  }

  async end(): Promise<void> {
    this.#connection.rollback();
  }
}

class SqliteTransaction implements SqlWriter {
  readonly #connection: Connection;
  /** The last version this transaction drew; 0: none. */
  version = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async all(statement: string, ...values: SqlValue[]): Promise<readonly Row[]> {
    return this.#connection.all(statement, values);
  }

  async get(statement: string, ...values: SqlValue[]): Promise<Row | undefined> {
    return this.#connection.get(statement, values);
  }

  async run(statement: string, ...values: SqlValue[]): Promise<number> {
    return this.#connection.run(statement, values);
  }

  async nextVersion(): Promise<number> {
    const row = this.#connection.get(
      "UPDATE counters SET number = number + 1 WHERE name = 'version' RETURNING number",
      [],
    );
    this.version = Number(row?.number);
    return this.version;
  }
}

/** A connection with its prepared statements. */
class Connection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string, readOnly: boolean) {
    this.#database = new DatabaseSync(path, { readOnly, timeout: BUSY_TIMEOUT_MS });
    if (readOnly) return;
    this.#database.exec("PRAGMA journal_mode = WAL");
    this.#database.exec("PRAGMA synchronous = FULL");
    this.#database.exec("PRAGMA foreign_keys = ON");
    // Rotated and deleted values leave no ciphertext behind in free pages.
    this.#database.exec("PRAGMA secure_delete = ON");
  }

  get inTransaction(): boolean {
    return this.#database.isTransaction;
  }

  all(statement: string, values: readonly SqlValue[]): readonly Row[] {
    // node:sqlite gives bigint only where asked to; rows hold SqlValue.
    return this.#guard(() => this.#prepare(statement).all(...values) as unknown as readonly Row[]);
  }

  get(statement: string, values: readonly SqlValue[]): Row | undefined {
    return this.#guard(() => this.#prepare(statement).get(...values) as unknown as Row | undefined);
  }

  run(statement: string, values: readonly SqlValue[]): number {
    return this.#guard(() => Number(this.#prepare(statement).run(...values).changes));
  }

  /** For statements without parameters and rows. */
  exec(statement: string): void {
    this.#guard(() => this.#prepare(statement).run());
  }

  rollback(): void {
    if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
  }

  async backup(path: string): Promise<void> {
    const { backup } = await import("node:sqlite");
    // All pages in one step, off this thread: in several, each write by another connection would start it anew.
    await backup(this.#database, path, { rate: MAX_PAGES });
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepare(statement: string): StatementSync {
    let prepared = this.#statements.get(statement);
    if (prepared === undefined) {
      if (this.#statements.size >= MAX_STATEMENTS) this.#statements.clear();
      prepared = this.#database.prepare(statement);
      this.#statements.set(statement, prepared);
    }
    return prepared;
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw asStoreError(error);
    }
  }
}

function openFile(path: string): Connection {
  try {
    // SQLite gives its -wal and -shm files the mode of the database file.
    if (!existsSync(path)) {
      const file = openSync(path, constants.O_CREAT | constants.O_RDWR, 0o600);
      fchmodSync(file, 0o600);
      closeSync(file);
    }
    return new Connection(path, false);
  } catch (error) {
    const fault = asStoreError(error);
    if (fault instanceof StoreError) throw fault;
    throw new StoreError("cannot-open", `The database file ${path} cannot be opened.`, { cause: error });
  }
}

function migrate(connection: Connection, clock: () => number): void {
  connection.exec("BEGIN EXCLUSIVE");
  try {
    connection.exec(
      "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
    );
    const current = Number(connection.get("SELECT max(version) AS version FROM schema_versions", [])?.version ?? 0);
    const steps = migrationSteps(current, {
      text: "TEXT",
      bytes: "BLOB",
      serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
    });
    if (steps === "too-new")
      throw new StoreError("schema-too-new", "The database was written by a newer keyswap; use that version or newer.");
    for (const step of steps) {
      for (const statement of step.statements) connection.exec(statement);
      connection.run("INSERT INTO schema_versions (version, applied_at) VALUES (?, ?)", [step.version, clock()]);
    }
    connection.exec("COMMIT");
  } catch (error) {
    connection.rollback();
    throw error;
  }
}

/** SQLite's own failures become StoreErrors; anything else stays what it is. */
function asStoreError(error: unknown): unknown {
  if (error instanceof StoreError || !(error instanceof Error) || !("errcode" in error)) return error;
  // The low byte is the primary result code (sqlite.org/rescode.html).
  const options = { cause: error };
  switch (Number(error.errcode) & 0xff) {
    case 13:
      return new StoreError("full", "The disk that holds the database is full.", options);
    case 5:
    case 6:
      return new StoreError("locked", "The database is locked by another process.", options);
    case 11:
    case 26:
      return new StoreError("corrupt", "The database file is damaged or no SQLite database.", options);
    case 3:
    case 8:
    case 14:
    case 23:
      return new StoreError("cannot-open", "The database file cannot be opened for writing.", options);
    case 10:
      return new StoreError("unavailable", "The disk that holds the database fails.", options);
    default:
      return error;
  }
}
