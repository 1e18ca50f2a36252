// HTTP to the Secret API: deadlines, a bound on what an answer may weigh, and errors as values. What an answer means:
// client.ts.

import type {
  Agent,
  AgentOptions,
  ClientRequest,
  IncomingHttpHeaders,
  IncomingMessage,
  RequestOptions,
} from "node:http";
import { getCACertificates } from "node:tls";

// An `import` reads all exports, one of which loads Node's whole fetch (15 MB); `https` is loaded where it is spoken.
const modules = {
  "http:": () => process.getBuiltinModule("node:http"),
  "https:": () => process.getBuiltinModule("node:https"),
} as const;

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

/** A kept connection that the server closed while we wrote on it. */
const staleSocketCodes = new Set(["ECONNRESET", "EPIPE"]);
const maxErrorBodyBytes = 64 * 1024;
/** Kept connections beyond this are more likely to be closed by the server than used again. */
const idleMs = 4_000;

export class ApiTransport {
  readonly #url: URL;
  readonly #basePath: string;
  readonly #authorization: string;
  readonly #options: TransportOptions;
  readonly #http: Pick<typeof import("node:http"), "Agent" | "request">;
  readonly #agent: Agent;
  /** What ends the calls that are under way. */
  readonly #calls = new Set<() => void>();
  #closed = false;

  /** Throws a TypeError with a safe message if the URL or the key cannot be used. */
  constructor(options: TransportOptions) {
    if (!URL.canParse(options.url)) throw new TypeError("the Secret API's URL is not a URL");
    const url = new URL(options.url);
    const { protocol } = url;
    if (protocol !== "http:" && protocol !== "https:") throw new TypeError("the Secret API's URL must be http(s)");
    if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
      throw new TypeError("the Secret API's URL must have no user, query or fragment");
    }
    // Checked here because header errors further down would quote it.
    if (!/^[\x21-\x7e]+$/.test(options.key))
      throw new TypeError("the proxy key must be printable ASCII without blanks");
    this.#url = url;
    this.#basePath = url.pathname.replace(/\/+$/, "");
    this.#authorization = `Bearer ${options.key}`;
    this.#options = options;
    this.#http = modules[protocol]();
    this.#agent = this.#makeAgent({ maxSockets: options.connections, timeout: idleMs });
  }

  /** A GET with a deadline. `path` is under the base URL, encoded. Never rejects. */
  get(path: string, etag?: string): Promise<Reply> {
    const headers = { accept: "application/json", ...(etag === undefined ? {} : { "if-none-match": etag }) };
    return this.#inTime((signal) => this.#send({ ...this.#request(path, headers), signal }));
  }

  /** A POST of JSON with a deadline. `path` is under the base URL, encoded. Never rejects. */
  post(path: string, body: string): Promise<Reply> {
    const headers = {
      accept: "application/json",
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
    };
    return this.#inTime((signal) => this.#send({ ...this.#request(path, headers), method: "POST", signal }, body));
  }

  async #inTime(exchange: (signal: AbortSignal) => Promise<Reply>): Promise<Reply> {
    if (this.#closed) return { kind: "unreachable", detail: "closed" };
    const controller = new AbortController();
    const { signal } = controller;
    const end = () => controller.abort();
    this.#calls.add(end);
    const timer = setTimeout(end, this.#options.requestTimeoutMs);
    try {
      return await exchange(signal);
    } catch (error) {
      if (this.#closed) return { kind: "unreachable", detail: "closed" };
      if (signal.aborted)
        return { kind: "unreachable", detail: `no answer within ${this.#options.requestTimeoutMs} ms` };
      return { kind: "unreachable", detail: describeError(error) };
    } finally {
      clearTimeout(timer);
      this.#calls.delete(end);
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
    const agent = this.#makeAgent({});
    const opening = new AbortController();
    const close = () => {
      this.#calls.delete(close);
      opening.abort();
      agent.destroy();
    };
    this.#calls.add(close);
    const timer = setTimeout(close, this.#options.requestTimeoutMs);
    signal.addEventListener("abort", close, { once: true });
    try {
      const request = { ...this.#request(path, { accept: contentType, prefer }), agent, signal: opening.signal };
      const answer = await this.#answer(request);
      // Beyond the iteration nobody has to hear of its end.
      answer.on("error", ignore);
      if (answer.statusCode === 200 && hasType(answer.headers, contentType)) {
        return { kind: "open", chunks: answer, close };
      }
      const body = await readBody(answer, maxErrorBodyBytes);
      close();
      return { kind: "reply", status: statusOf(answer), isJson: isJson(answer.headers), body: body ?? Buffer.alloc(0) };
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
    for (const end of [...this.#calls]) end();
    this.#agent.destroy();
  }

  async #send(options: RequestOptions & { readonly signal: AbortSignal }, body?: string): Promise<Reply> {
    const answer = await this.#answer(options, body).catch((error: unknown) => {
      // Nothing was answered, and what is sent here may be repeated.
      if (!options.signal.aborted && staleSocketCodes.has(codeOf(error))) return this.#answer(options, body);
      throw error;
    });
    const content = await readBody(answer, this.#options.maxAnswerBytes);
    if (content === undefined) return { kind: "oversized" };
    return {
      kind: "reply",
      status: statusOf(answer),
      etag: answer.headers.etag,
      isJson: isJson(answer.headers),
      body: content,
    };
  }

  /** Resolves with the answer's head. */
  #answer(options: RequestOptions, body?: string): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = this.#http.request(options, resolve);
      request.on("error", reject);
      // A server that goes on with another protocol, which nobody asked for.
      request.on("upgrade", (_, socket) => {
        socket.destroy();
        reject(new Error("an upgrade"));
      });
      this.#boundConnecting(request);
      request.end(body);
    });
  }

  /** The deadline of a new connection; a kept one has none to keep. */
  #boundConnecting(request: ClientRequest): void {
    request.once("socket", (socket) => {
      if (!socket.connecting) return;
      const timer = setTimeout(() => request.destroy(connectTimeout()), this.#options.connectTimeoutMs);
      const done = () => clearTimeout(timer);
      socket.once(this.#url.protocol === "https:" ? "secureConnect" : "connect", done);
      socket.once("close", done);
    });
  }

  #request(path: string, headers: Record<string, string>): RequestOptions {
    const { hostname, port } = this.#url;
    return {
      agent: this.#agent,
      // Without the brackets of an IPv6 address.
      hostname: hostname.replace(/^\[|\]$/g, ""),
      ...(port === "" ? {} : { port }),
      path: this.#basePath + path,
      method: "GET",
      headers: { ...headers, authorization: this.#authorization, "user-agent": "keyswap-proxy" },
    };
  }

  #makeAgent(options: AgentOptions): Agent {
    const { extraCa } = this.#options;
    // `ca` replaces the roots, so they are named too.
    const roots = extraCa === undefined ? {} : { ca: [...getCACertificates("default"), extraCa] };
    return new this.#http.Agent({ ...options, ...roots, keepAlive: true });
  }
}

function connectTimeout(): Error {
  return Object.assign(new Error("no connection in time"), { code: "ETIMEDOUT" });
}

function statusOf(answer: IncomingMessage): number {
  // Of an answer to a request it is always there.
  return answer.statusCode ?? 0;
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

function hasType(headers: IncomingHttpHeaders, type: string): boolean {
  return headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase() === type;
}

/** We ask for no coding, so a coded body is not ours to read. */
function isJson(headers: IncomingHttpHeaders): boolean {
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
