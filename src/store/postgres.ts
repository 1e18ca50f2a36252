// PostgreSQL behind the `Sql` port, for many API replicas on one database.
//
// Every writing transaction takes one advisory lock first, so writes are one after another in all replicas: what a
// transaction reads stays true until its commit, and versions become visible in their order. NOTIFY carries the version
// of each commit to the other replicas; who misses one finds it by looking (see the API's change hub).

import pg from "pg";
import type { Clock } from "../core/ports.ts";
import { type MigrationStep, migrationSteps } from "./schema.ts";
import { Rollback, type Row, type Sql, type SqlValue, type SqlWriter } from "./sql.ts";
import { StoreError } from "./store-error.ts";
import { WriteQueue, type WriteSession } from "./write-queue.ts";

const CHANNEL = "keyswap_changes";
/** Any constants will do that others who share the database do not use. */
const WRITE_LOCK = 7_071_120_361;
const MIGRATION_LOCK = 7_071_120_362;
const MAX_CONNECTIONS = 10;
const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 15_000;
const LISTEN_RETRY_MS = { first: 100, most: 5_000 };
const BIGINT_OID = 20;

export class PostgresDatabase implements Sql {
  readonly kind = "postgres";
  readonly dialect = {
    contains: (outer: string, inner: string) => `strpos(${outer}, ${inner}) > 0`,
    asciiLower: (text: string) => `lower(${text} COLLATE "C")`,
  };
  readonly #pool: pg.Pool;
  readonly #config: pg.ClientConfig;
  readonly #listeners = new Set<(version: number) => void>();
  readonly #writes: WriteQueue;
  #listening: pg.Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = LISTEN_RETRY_MS.first;
  #closed = false;

  private constructor(url: string) {
    this.#config = {
      connectionString: url,
      application_name: "keyswap",
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + 5_000,
      keepAlive: true,
      // Counters and times are below 2^53.
      types: { getTypeParser: (oid, format) => (oid === BIGINT_OID ? Number : pg.types.getTypeParser(oid, format)) },
    };
    this.#pool = new pg.Pool({ ...this.#config, max: MAX_CONNECTIONS, idleTimeoutMillis: 30_000 });
    // A connection that breaks is replaced by the pool, or fails the next statement of the transaction that has it; without
    // listeners, the pool's for idle ones and one of each connection's own, it would end the process.
    this.#pool.on("error", () => undefined);
    this.#pool.on("connect", (client) => void client.on("error", () => undefined));
    this.#writes = new WriteQueue(
      async () => new PostgresSession(await connect(this.#pool)),
      (version) => this.#tell(version),
    );
  }

  /** Connects and brings the schema up to date. */
  static async open(url: string, clock: Clock): Promise<PostgresDatabase> {
    const database = new PostgresDatabase(url);
    try {
      await database.#migrate(clock);
      await database.#listen();
    } catch (error) {
      await database.close();
      throw error;
    }
    return database;
  }

  async all(statement: string, ...values: SqlValue[]): Promise<readonly Row[]> {
    return query(this.#pool, statement, values);
  }

  async get(statement: string, ...values: SqlValue[]): Promise<Row | undefined> {
    return (await query(this.#pool, statement, values))[0];
  }

  write<T>(work: (tx: SqlWriter) => Promise<T>): Promise<T> {
    return this.#writes.write(work);
  }

  subscribe(listener: (version: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#writes.close();
    await this.#listening?.end().catch(() => undefined);
    await this.#pool.end();
  }

  async #migrate(clock: Clock): Promise<void> {
    const client = await connect(this.#pool);
    try {
      await begin(client, MIGRATION_LOCK);
      await query(
        client,
        "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
        [],
      );
      const [row] = await query(client, "SELECT max(version) AS version FROM schema_versions", []);
      for (const step of pendingSteps(Number(row?.version ?? 0))) {
        for (const statement of step.statements) await query(client, statement, []);
        await query(client, "INSERT INTO schema_versions (version, applied_at) VALUES (?, ?)", [step.version, clock()]);
      }
      await query(client, "COMMIT", []);
    } catch (error) {
      await rollBack(client);
      throw error;
    } finally {
      client.release();
    }
  }

  /** One connection that hears of other replicas' commits; it comes back by itself. */
  async #listen(): Promise<void> {
    const client = new pg.Client(this.#config);
    const again = () => {
      if (this.#listening === client) this.#listening = undefined;
      if (this.#closed || this.#retry !== undefined) return;
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#listen().then(
          // What was announced meanwhile was missed: listeners look for themselves.
          () => this.#tell(0),
          () => undefined,
        );
      }, this.#retryMs).unref();
      this.#retryMs = Math.min(this.#retryMs * 2, LISTEN_RETRY_MS.most);
    };
    client.on("error", again);
    client.on("end", again);
    client.on("notification", (message) => {
      if (message.channel === CHANNEL) this.#tell(Number(message.payload) || 0);
    });
    this.#listening = client;
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      this.#retryMs = LISTEN_RETRY_MS.first;
    } catch (error) {
      again();
      await client.end().catch(() => undefined);
      throw asStoreError(error);
    }
  }

  #tell(version: number): void {
    for (const listener of this.#listeners) listener(version);
  }
}

class PostgresSession implements WriteSession {
  readonly #client: pg.PoolClient;
  #state: "open" | "committed" | "lost" = "open";

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  begin(): Promise<void> {
    return begin(this.#client, WRITE_LOCK);
  }

  async exec(statement: string): Promise<void> {
    try {
      await query(this.#client, statement, []);
    } catch (error) {
      this.#state = "lost";
      throw error;
    }
    if (statement === "COMMIT") this.#state = "committed";
  }

  writer(): PostgresTransaction {
    return new PostgresTransaction(this.#client);
  }

  async announce(version: number): Promise<void> {
    await query(this.#client, "SELECT pg_notify(?, ?)", [CHANNEL, String(version)]);
  }

  isOpen(): boolean {
    return this.#state === "open";
  }

  async end(): Promise<void> {
    const isSound = this.#state === "committed" || (this.#state === "open" && (await rollBack(this.#client)));
    // A connection that is not sound is closed, not reused.
    this.#client.release(!isSound);
  }
}

class PostgresTransaction implements SqlWriter {
  readonly #client: pg.PoolClient;
  /** The last version this transaction drew; 0: none. */
  version = 0;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  all(statement: string, ...values: SqlValue[]): Promise<readonly Row[]> {
    return query(this.#client, statement, values);
  }

  async get(statement: string, ...values: SqlValue[]): Promise<Row | undefined> {
    return (await query(this.#client, statement, values))[0];
  }

  async run(statement: string, ...values: SqlValue[]): Promise<number> {
    try {
      return (await this.#client.query(numbered(statement), [...values])).rowCount ?? 0;
    } catch (error) {
      throw asStoreError(error);
    }
  }

  async nextVersion(): Promise<number> {
    const row = await this.get("UPDATE counters SET number = number + 1 WHERE name = 'version' RETURNING number");
    this.version = Number(row?.number);
    return this.version;
  }
}

async function query(
  target: pg.Pool | pg.PoolClient,
  statement: string,
  values: readonly SqlValue[],
): Promise<readonly Row[]> {
  try {
    return (await target.query<Row>(numbered(statement), [...values])).rows;
  } catch (error) {
    throw asStoreError(error);
  }
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw asStoreError(error);
  }
}

/** An answered write has to survive a crash, so a server that is set to commit without waiting is told to wait. */
async function begin(client: pg.PoolClient, lock: number): Promise<void> {
  await query(client, "BEGIN", []);
  await query(
    client,
    `SELECT pg_advisory_xact_lock(?),
       CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END`,
    [lock],
  );
}

/** Whether the connection is still good. */
async function rollBack(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query("ROLLBACK");
    return true;
  } catch {
    return false;
  }
}

function pendingSteps(current: number): readonly MigrationStep[] {
  const steps = migrationSteps(current, {
    // The C collation sorts by byte, as SQLite does, on every server.
    text: 'TEXT COLLATE "C"',
    bytes: "BYTEA",
    serial: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
  });
  if (steps === "too-new")
    throw new StoreError("schema-too-new", "The database was written by a newer keyswap; use that version or newer.");
  return steps;
}

const numberedStatements = new Map<string, string>();
const MAX_NUMBERED = 512;

/** `?` → `$1`, `$2`, …; no statement has a question mark elsewhere. */
function numbered(statement: string): string {
  let text = numberedStatements.get(statement);
  if (text === undefined) {
    let count = 0;
    text = statement.replace(/\?/g, () => `$${++count}`);
    if (numberedStatements.size >= MAX_NUMBERED) numberedStatements.clear();
    numberedStatements.set(statement, text);
  }
  return text;
}

/**
 * The server's messages and details can hold parts of rows, so none of them goes on: only the SQLSTATE does. What has
 * none comes from the connection.
 */
function asStoreError(error: unknown): Error {
  if (error instanceof StoreError || error instanceof Rollback) return error;
  const code = error instanceof pg.DatabaseError ? (error.code ?? "") : "";
  if (code === "53100") return new StoreError("full", "The disk that holds the database is full.");
  if (/^(28|3D|42501)/.test(code))
    return new StoreError("cannot-open", `PostgreSQL does not let keyswap in or lacks the database (${code}).`);
  if (code === "" || /^(08|25006|40|53|55P03|57|58)/.test(code)) {
    const reason =
      code !== "" ? code : error instanceof Error && "code" in error ? String(error.code) : "connection lost";
    return new StoreError("unavailable", `PostgreSQL cannot be reached (${reason}).`);
  }
  return new Error(`PostgreSQL refused a statement (${code})`);
}
