// The little SQL that both databases share, so that every table is written once. Statements use `?` and the common
// ground of SQLite and PostgreSQL; the few differences are in `Dialect`.

export type SqlValue = string | number | null | Uint8Array;
export type Row = Readonly<Record<string, SqlValue>>;

export interface SqlReader {
  all(statement: string, ...values: SqlValue[]): Promise<readonly Row[]>;
  get(statement: string, ...values: SqlValue[]): Promise<Row | undefined>;
}

/** A transaction. Writes to shared state are one after another, so what is read here stays true until the commit. */
export interface SqlWriter extends SqlReader {
  /** Returns how many rows it touched. */
  run(statement: string, ...values: SqlValue[]): Promise<number>;
  /** The next global version; proxies are told of it after the commit. */
  nextVersion(): Promise<number>;
}

export interface Dialect {
  /** An SQL expression: whether the text `outer` holds the text `inner`. */
  contains(outer: string, inner: string): string;
  /** An SQL expression: `text` with A to Z in lower case, and all else as it is. */
  asciiLower(text: string): string;
}

export interface Sql extends SqlReader {
  readonly kind: "sqlite" | "postgres";
  readonly dialect: Dialect;
  /**
   * Runs `work` in a transaction and commits it; the commit is durable when the promise resolves. `work` must await
   * nothing but the transaction's own statements. Throwing rolls back; `Rollback` does so with an outcome.
   */
  write<T>(work: (tx: SqlWriter) => Promise<T>): Promise<T>;
  subscribe(listener: (version: number) => void): () => void;
  close(): Promise<void>;
}

/** Ends a transaction without a trace; `write` resolves with the outcome. */
export class Rollback<T> extends Error {
  readonly outcome: T;

  constructor(outcome: T) {
    super("rolled back");
    this.outcome = outcome;
  }
}

// Reading rows. A wrong type means that the schema and the code have parted: broken promise, so it throws.

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`column ${column} is not text`);
  return value;
}

export function textOrNull(row: Row, column: string): string | null {
  return row[column] == null ? null : text(row, column);
}

export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== "number") throw new TypeError(`column ${column} is not a number`);
  return value;
}

export function integerOrNull(row: Row, column: string): number | null {
  return row[column] == null ? null : integer(row, column);
}

export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw new TypeError(`column ${column} is not bytes`);
  return value;
}

/** JSON that this store wrote itself; the type is the writer's promise. */
export function json<T>(row: Row, column: string): T {
  return JSON.parse(text(row, column)) as T;
}

/**
 * A LIKE pattern that finds `part` literally, with `ESCAPE '\'`; compare with `asciiLower`: databases fold other letters in
 * different ways, none as JavaScript does.
 */
export function likePart(part: string): string {
  return `%${part.replace(/[\\%_]/g, "\\$&").replace(/[A-Z]/g, (letter) => letter.toLowerCase())}%`;
}

/** `?, ?, ?` */
export function marks(count: number): string {
  return Array.from({ length: count }, () => "?").join(", ");
}
