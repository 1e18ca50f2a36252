// One call to the Secret API: request out, JSON or a typed error back.

import { ConnectionError, errorForStatus, ServerError, ValidationError } from "./errors.ts";

export interface SecretServiceOptions {
  /** Base URL with its path: `http://127.0.0.1:8181/api`, `https://app.daytona.io/api`. */
  readonly apiUrl: string;
  /** API key with the permission `manage:secrets`. */
  readonly apiKey: string;
  /** Needed only where the key does not say it: with a JWT. */
  readonly organizationId?: string;
  /** Deadline of one call, its answer included. Default 30000. */
  readonly timeoutMs?: number;
  /** In the place of the global `fetch`. */
  readonly fetch?: typeof fetch;
}

export interface Call {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** Under the base URL, encoded. */
  readonly path: string;
  readonly body?: unknown;
  /** The secret value in `body`: taken out of whatever the API says about it. */
  readonly value?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const maxAnswerBytes = 8 * 1024 * 1024;
const maxMessageLength = 1000;
const printable = /^[\x21-\x7e]+$/;

export class Transport {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;
  readonly #fetch: typeof fetch;

  constructor(options: SecretServiceOptions) {
    if (!URL.canParse(options.apiUrl)) throw new ValidationError("apiUrl must be a URL, as http://127.0.0.1:8181/api");
    const url = new URL(options.apiUrl);
    if (
      !/^https?:$/.test(url.protocol) ||
      url.username !== "" ||
      url.password !== "" ||
      url.search !== "" ||
      url.hash !== ""
    ) {
      throw new ValidationError("apiUrl must be an http(s) URL without user, query and fragment");
    }
    // Checked here because the error of a malformed header would quote it.
    if (!printable.test(options.apiKey)) throw new ValidationError("apiKey must be printable ASCII without blanks");
    const { organizationId } = options;
    if (organizationId !== undefined && !printable.test(organizationId)) {
      throw new ValidationError("organizationId must be printable ASCII without blanks");
    }
    this.#base = url.origin + url.pathname.replace(/\/+$/, "");
    this.#headers = {
      accept: "application/json",
      authorization: `Bearer ${options.apiKey}`,
      ...(organizationId === undefined ? {} : { "x-daytona-organization-id": organizationId }),
    };
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    // Looked up now, so that a later replacement of the global does not see keys.
    this.#fetch = options.fetch ?? fetch;
  }

  /** The parsed answer; undefined where it has no body. */
  async send(call: Call): Promise<unknown> {
    call.signal?.throwIfAborted();
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#timeoutMs);
    const signal = call.signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, call.signal]);
    try {
      return await this.#exchange(call, signal);
    } catch (error) {
      if (call.signal?.aborted === true) throw call.signal.reason;
      if (deadline.signal.aborted) {
        throw new ConnectionError(`The Secret API did not answer within ${this.#timeoutMs} ms`, {}, "timeout");
      }
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #exchange(call: Call, signal: AbortSignal): Promise<unknown> {
    const { status, headers, text } = await this.#fetchText(call, signal);
    const json = parseJson(text);
    if (status >= 200 && status < 300) {
      if (text !== "" && json === undefined) {
        throw new ServerError("The answer is not JSON: is apiUrl the Secret API's?", { status }, "unexpected-answer");
      }
      return json;
    }
    // A redirect is not followed: it would carry key and value to wherever it points.
    if (status >= 300 && status < 400) {
      throw new ServerError("The Secret API answered with a redirect: check apiUrl", { status }, "unexpected-answer");
    }
    throw errorForStatus(status, withoutValue(messageOf(json, status), call.value), retryAfterMs(headers));
  }

  async #fetchText(call: Call, signal: AbortSignal): Promise<{ status: number; headers: Headers; text: string }> {
    const hasBody = call.body !== undefined;
    try {
      const response = await this.#fetch(this.#base + call.path, {
        method: call.method,
        headers: hasBody ? { ...this.#headers, "content-type": "application/json" } : this.#headers,
        ...(hasBody ? { body: JSON.stringify(call.body) } : {}),
        redirect: "manual",
        signal,
      });
      return { status: response.status, headers: response.headers, text: await readText(response) };
    } catch (error) {
      if (signal.aborted || error instanceof ServerError) throw error;
      throw new ConnectionError(`The Secret API cannot be reached (${reasonOf(error)})`, { cause: error });
    }
  }
}

async function readText(response: Response): Promise<string> {
  if (response.body === null) return "";
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    if (length > maxAnswerBytes) {
      throw new ServerError("The answer is too large", { status: response.status }, "unexpected-answer");
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length).toString("utf8");
}

/** Undefined for what is not JSON; V8's error would quote it. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function messageOf(json: unknown, status: number): string {
  const fallback = `The Secret API answered ${status}`;
  if (typeof json !== "object" || json === null) return fallback;
  const { message, error } = json as { message?: unknown; error?: unknown }; // Both are checked below.
  if (typeof message === "string" && message !== "") return message;
  // NestJS's own form of validation errors.
  if (Array.isArray(message)) return message.filter((each) => typeof each === "string").join(", ") || fallback;
  return typeof error === "string" && error !== "" ? error : fallback;
}

/** The message without any spelling of the value that an API might repeat. */
function withoutValue(message: string, value: string | undefined): string {
  let safe = message;
  if (value !== undefined && value !== "") {
    const spellings = [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value.toWellFormed())];
    for (const spelling of spellings) safe = safe.replaceAll(spelling, "[value]");
    // A message that cuts the value short would slip through, so none is passed on that holds its beginning.
    if (value.length > 8 && safe.includes(value.slice(0, 8))) return "The Secret API refused the request";
  }
  return safe.length > maxMessageLength ? `${safe.slice(0, maxMessageLength)}…` : safe;
}

/** Seconds or a date, RFC 9110 10.2.3. */
function retryAfterMs(headers: Headers): number | undefined {
  const text = headers.get("retry-after");
  if (text === null) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** `fetch` hides the errno in the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code;
  return "the connection failed";
}
