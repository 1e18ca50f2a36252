// HTTP to the Secret API: deadlines, a bound on what an answer may weigh, and errors as values. What an answer means:
// client.ts.

import { getCACertificates } from "node:tls";
import type { Dispatcher } from "undici";
// Not the package's main file: that brings fetch, caches and WebSocket with it, 14 MB and two thirds of the loading time.
import request from "undici/lib/api/api-request.js";
import Client from "undici/lib/dispatcher/client.js";
import Pool from "undici/lib/dispatcher/pool.js";

export interface TransportOptions {
  /** Base URL with its path, `http://127.0.0.1:8181/api`. */
  readonly url: string;
  readonly key: string;
  /** PEM, added to the trusted roots. */
  readonly extraCa?: string | undefined;
  readonly connectTimeoutMs: number;
  /** From the call to the last byte of the answer, waiting for a connection included. */
  readonly requestTimeoutMs: number;
  /** Connections at most; further requests wait, inside their deadline. */
  readonly connections: number;
  readonly maxAnswerBytes: number;
}

export type Reply =
  | {
      readonly kind: "reply";
      readonly status: number;
      readonly etag: string | undefined;
      readonly isJson: boolean;
      readonly body: Buffer;
    }
  | { readonly kind: "oversized" }
  | { readonly kind: "unreachable"; readonly detail: string };

export type Opening =
  | { readonly kind: "open"; readonly chunks: AsyncIterable<Uint8Array>; close(): void }
  | { readonly kind: "reply"; readonly status: number; readonly isJson: boolean; readonly body: Buffer }
  | { readonly kind: "unreachable"; readonly detail: string };

/** A pooled connection that the server closed while we wrote on it. */
const staleSocketCodes = new Set(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]);
const maxErrorBodyBytes = 64 * 1024;

export class ApiTransport {
  readonly #origin: string;
  readonly #basePath: string;
  readonly #authorization: string;
  readonly #options: TransportOptions;
  readonly #pool: Pool;
  readonly #streams = new Set<Client>();
  #closed = false;

  /** Throws a TypeError with a safe message if the URL or the key cannot be used. */
  constructor(options: TransportOptions) {
    if (!URL.canParse(options.url)) throw new TypeError("the Secret API's URL is not a URL");
    const url = new URL(options.url);
    if (url.protocol !== "http:" && url.protocol !== "https:")
      throw new TypeError("the Secret API's URL must be http(s)");
    if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
      throw new TypeError("the Secret API's URL must have no user, query or fragment");
    }
    // Checked here because header errors further down would quote it.
    if (!/^[\x21-\x7e]+$/.test(options.key))
      throw new TypeError("the proxy key must be printable ASCII without blanks");
    this.#origin = url.origin;
    this.#basePath = url.pathname.replace(/\/+$/, "");
    this.#authorization = `Bearer ${options.key}`;
    this.#options = options;
    this.#pool = new Pool(this.#origin, { ...this.#connectOptions(), connections: options.connections });
  }

  /** A GET with a deadline. `path` is under the base URL, encoded. Never rejects. */
  get(path: string, etag?: string): Promise<Reply> {
    const headers = { accept: "application/json", ...(etag === undefined ? {} : { "if-none-match": etag }) };
    return this.#inTime((signal) => this.#send({ ...this.#request(path, headers), signal }));
  }

  /** A POST of JSON with a deadline. `path` is under the base URL, encoded. Never rejects. */
  post(path: string, body: string): Promise<Reply> {
    const headers = { accept: "application/json", "content-type": "application/json" };
    return this.#inTime((signal) => this.#send({ ...this.#request(path, headers), method: "POST", body, signal }));
  }

  async #inTime(exchange: (signal: AbortSignal) => Promise<Reply>): Promise<Reply> {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), this.#options.requestTimeoutMs);
    try {
      return await exchange(controller.signal);
    } catch (error) {
      if (controller.signal.aborted) {
        return { kind: "unreachable", detail: `no answer within ${this.#options.requestTimeoutMs} ms` };
      }
      return { kind: "unreachable", detail: describeError(error) };
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * A GET whose answer goes on: event streams. `prefer` as in RFC 7240. Connection and head have the deadline; the chunks have none, so whoever
   * reads them watches the silence and calls `close`, after which the iteration throws. `signal` ends the opening. Never
   * rejects.
   */
  async open(path: string, contentType: string, prefer: string, signal: AbortSignal): Promise<Opening> {
    if (this.#closed || signal.aborted) return { kind: "unreachable", detail: "closed" };
    // A connection of its own: it must not take one of the pool's away for hours.
    const client = new Client(this.#origin, { ...this.#connectOptions(), bodyTimeout: 0 });
    this.#streams.add(client);
    const close = () => {
      this.#streams.delete(client);
      void client.destroy().catch(ignore);
    };
    const timer = setTimeout(close, this.#options.requestTimeoutMs);
    signal.addEventListener("abort", close, { once: true });
    try {
      const answer = await request.call(client, this.#request(path, { accept: contentType, prefer }));
      answer.body.on("error", ignore);
      if (answer.statusCode === 200 && hasType(answer.headers, contentType)) {
        return { kind: "open", chunks: answer.body, close };
      }
      const body = await readBody(answer.body, maxErrorBodyBytes);
      close();
      return {
        kind: "reply",
        status: answer.statusCode,
        isJson: isJson(answer.headers),
        body: body ?? Buffer.alloc(0),
      };
    } catch (error) {
      close();
      return { kind: "unreachable", detail: describeError(error) };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", close);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const streams = [...this.#streams];
    this.#streams.clear();
    await Promise.all([this.#pool.destroy(), ...streams.map((client) => client.destroy())]);
  }

  async #send(options: Dispatcher.RequestOptions & { readonly signal: AbortSignal }): Promise<Reply> {
    const answer = await request.call(this.#pool, options).catch((error: unknown) => {
      // Nothing was answered, and what is sent here may be repeated.
      if (!options.signal.aborted && staleSocketCodes.has(codeOf(error))) return request.call(this.#pool, options);
      throw error;
    });
    const body = await readBody(answer.body, this.#options.maxAnswerBytes);
    if (body === undefined) return { kind: "oversized" };
    const tag = answer.headers.etag;
    return {
      kind: "reply",
      status: answer.statusCode,
      etag: typeof tag === "string" ? tag : undefined,
      isJson: isJson(answer.headers),
      body,
    };
  }

  #request(path: string, headers: Record<string, string>): Dispatcher.RequestOptions {
    return {
      origin: this.#origin,
      path: this.#basePath + path,
      method: "GET",
      headers: { ...headers, authorization: this.#authorization, "user-agent": "keyswap-proxy" },
    };
  }

  #connectOptions() {
    const { connectTimeoutMs, requestTimeoutMs, extraCa } = this.#options;
    return {
      allowH2: false,
      headersTimeout: requestTimeoutMs,
      bodyTimeout: requestTimeoutMs,
      connect: {
        timeout: connectTimeoutMs,
        // `ca` replaces the roots, so they are named too.
        ...(extraCa === undefined ? {} : { ca: [...getCACertificates("default"), extraCa] }),
      },
    };
  }
}

/** The whole body, or undefined as soon as it is beyond `maxBytes`; leaving the loop then closes the connection. */
async function readBody(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

function hasType(headers: Headers, type: string): boolean {
  const given = headers["content-type"];
  return typeof given === "string" && given.split(";", 1)[0]?.trim().toLowerCase() === type;
}

/** We ask for no coding, so a coded body is not ours to read. */
function isJson(headers: Headers): boolean {
  return hasType(headers, "application/json") && headers["content-encoding"] === undefined;
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** The code alone: messages of parsers quote bytes. */
function describeError(error: unknown): string {
  const code = codeOf(error);
  return code === "" ? "the connection failed" : code;
}

function ignore(): void {}
