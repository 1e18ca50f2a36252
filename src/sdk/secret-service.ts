// Secrets for TypeScript programs: list, get, create, update, delete, on keyswap's Secret API or Daytona's.
//
//   const secrets = new SecretService({ apiUrl: "http://127.0.0.1:8181/api", apiKey });
//   const secret = await secrets.create({ name: "OPENAI", value, hosts: ["api.openai.com"] });
//
// Calls reject with the errors of errors.ts. Nothing is retried: after a ConnectionError on create or update, look first.

import { ServerError, ValidationError } from "./errors.ts";
import { type SecretServiceOptions, Transport } from "./transport.ts";
import type {
  CallOptions,
  CreateSecret,
  ListQuery,
  OnViolation,
  PageQuery,
  Secret,
  SecretPage,
  UpdateSecret,
} from "./types.ts";

/** The largest page that the API gives. */
const maxPage = 200;
/** Bound on a list that never ends. */
const maxPages = 100_000;

export class SecretService {
  readonly #transport: Transport;

  /** Throws a ValidationError where the URL or the key cannot be used. */
  constructor(options: SecretServiceOptions) {
    this.#transport = new Transport(options);
  }

  /** All that match. For very many, `iterate` holds one page at a time. */
  async list(query: ListQuery & CallOptions = {}): Promise<Secret[]> {
    const secrets: Secret[] = [];
    for await (const secret of this.iterate(query)) secrets.push(secret);
    return secrets;
  }

  /** All that match, fetched page by page as they are taken. What is made or deleted meanwhile repeats and hides none. */
  async *iterate(query: ListQuery & CallOptions = {}): AsyncGenerator<Secret, void, undefined> {
    let cursor: string | undefined;
    for (let pages = 0; pages < maxPages; pages++) {
      const page = await this.listPage({ limit: maxPage, ...query, ...(cursor === undefined ? {} : { cursor }) });
      yield* page.items;
      if (page.nextCursor === undefined) return;
      if (page.nextCursor === cursor) break;
      cursor = page.nextCursor;
    }
    throw new ServerError("The list does not end", {}, "unexpected-answer");
  }

  async listPage(query: PageQuery & CallOptions = {}): Promise<SecretPage> {
    const { signal, cursor, limit, name, sort, order } = query;
    const parameters = new URLSearchParams();
    for (const [key, value] of Object.entries({ cursor, limit, name, sort, order })) {
      if (value !== undefined) parameters.set(key, String(value));
    }
    const search = parameters.size === 0 ? "" : `?${parameters}`;
    return readPage(await this.#transport.send({ method: "GET", path: `/secret/paginated${search}`, signal }));
  }

  /** Rejects with a NotFoundError where there is none with this id. */
  async get(id: string, options: CallOptions = {}): Promise<Secret> {
    return readSecret(await this.#transport.send({ method: "GET", path: pathOf(id), signal: options.signal }));
  }

  /** Rejects with a ConflictError where the name is taken, with a ValidationError where the API does not like it. */
  async create(secret: CreateSecret, options: CallOptions = {}): Promise<Secret> {
    const { name, value, description, hosts, locations, onViolation, placeholder } = secret;
    const body = { name, value, description, hosts, locations, onViolation, placeholder };
    return readSecret(
      await this.#transport.send({ method: "POST", path: "/secret", body, value, signal: options.signal }),
    );
  }

  /** The placeholder stays, so sandboxes go on with a new value by themselves. */
  async update(id: string, changes: UpdateSecret, options: CallOptions = {}): Promise<Secret> {
    const { value, description, hosts, locations, onViolation, placeholder } = changes;
    const body = { value, description, hosts, locations, onViolation, placeholder };
    return readSecret(
      await this.#transport.send({ method: "PATCH", path: pathOf(id), body, value, signal: options.signal }),
    );
  }

  /** Rejects with a NotFoundError where there is none. Sandboxes that mount it can no longer use it. */
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.send({ method: "DELETE", path: pathOf(id), signal: options.signal });
  }
}

function pathOf(id: string): string {
  // An empty id, a dot segment or the name of another route would reach something else than a secret.
  if (id === "" || id === "." || id === ".." || id === "paginated" || !id.isWellFormed()) {
    throw new ValidationError("this is not a secret's id");
  }
  return `/secret/${encodeURIComponent(id)}`;
}

function readPage(answer: unknown): SecretPage {
  const { items, total, nextCursor } = asRecord(answer);
  if (!Array.isArray(items) || typeof total !== "number") throw unexpected();
  if (nextCursor !== undefined && nextCursor !== null && typeof nextCursor !== "string") throw unexpected();
  // An empty cursor ends the list as null does.
  return { items: items.map(readSecret), total, nextCursor: nextCursor || undefined };
}

function readSecret(answer: unknown): Secret {
  const record = asRecord(answer);
  return {
    id: asText(record.id),
    name: asText(record.name),
    description: record.description == null ? undefined : asText(record.description),
    placeholder: asText(record.placeholder),
    hosts: asTexts(record.hosts),
    createdAt: asDate(record.createdAt),
    updatedAt: asDate(record.updatedAt),
    locations: record.locations == null ? undefined : asTexts(record.locations),
    onViolation: asOnViolation(record.onViolation),
    warnings: record.warnings == null ? [] : asTexts(record.warnings),
  };
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw unexpected();
  return value as Readonly<Record<string, unknown>>; // Any object is one, read with care.
}

function asText(value: unknown): string {
  if (typeof value !== "string") throw unexpected();
  return value;
}

function asTexts(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw unexpected();
  return value.map(asText);
}

function asDate(value: unknown): Date {
  const date = new Date(asText(value));
  if (Number.isNaN(date.getTime())) throw unexpected();
  return date;
}

function asOnViolation(value: unknown): OnViolation | undefined {
  if (value == null) return undefined;
  if (value !== "pass" && value !== "block") throw unexpected();
  return value;
}

function unexpected(): ServerError {
  return new ServerError("The answer does not have the form of the Secret API's", {}, "unexpected-answer");
}
