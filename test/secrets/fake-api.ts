// A Secret API's wire form on a real HTTP server, with every fault that a test wants: what the proxy side is tried against
// where the real API would not misbehave on request.

import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface WireGrant {
  env: string;
  name: string;
  placeholder: string;
  value: string;
  hosts: string[];
  locations: string[] | null;
  onViolation: string | null;
}

interface WireSandbox {
  version: string;
  grants: WireGrant[];
  sources: string[];
  tokenHash: string;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export function randomPlaceholder(): string {
  return `dtn_secret_${randomBytes(32).toString("hex").slice(0, 25)}`;
}

export function wireGrant(name: string, over: Partial<WireGrant> = {}): WireGrant {
  return {
    env: name,
    name,
    placeholder: randomPlaceholder(),
    value: randomBytes(16).toString("hex"),
    hosts: ["api.example.com"],
    locations: null,
    onViolation: null,
    ...over,
  };
}

export class FakeApi {
  readonly key = randomBytes(16).toString("hex");
  readonly sandboxes = new Map<string, WireSandbox>();
  /** Paths asked for, in order; changes apart. */
  readonly asked: string[] = [];
  readonly conditions: (string | undefined)[] = [];
  readonly sinces: (string | null)[] = [];
  /** Takes the place of the answer, for faults. */
  fault: Handler | undefined;
  /** Awaited before an answer is made. */
  gate: Promise<void> | undefined;
  /** Awaited after an answer was made and before it is sent. */
  lateGate: Promise<void> | undefined;
  hasEgress = true;
  hasResolve = false;
  hasChanges = true;
  version = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #streams = new Set<ServerResponse>();
  #port = 0;

  constructor() {
    this.#server = createServer((request, response) => {
      void this.#serve(request, response);
    });
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/api`;
  }

  get streams(): number {
    return this.#streams.size;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    const address = this.#server.address();
    // A TCP server has an address object.
    this.#port = (address as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Sets what a sandbox has, and tells those who listen. */
  put(id: string, grants: WireGrant[], options: { sources?: string[]; silent?: boolean } = {}): void {
    this.version++;
    const sources = options.sources ?? this.sandboxes.get(id)?.sources ?? [];
    this.sandboxes.set(id, {
      version: String(this.version),
      grants,
      sources,
      tokenHash: `sha256:${"0".repeat(64)}`,
    });
    if (options.silent !== true) this.change([id], options.sources !== undefined);
  }

  remove(id: string): void {
    this.version++;
    this.sandboxes.delete(id);
    this.change([id]);
  }

  change(sandboxes: string[], sources = false): void {
    this.send("change", { version: String(this.version), sandboxes, sources });
  }

  send(event: string, data: unknown): void {
    const text = typeof data === "string" ? data : JSON.stringify(data);
    for (const stream of this.#streams) stream.write(`event: ${event}\ndata: ${text}\n\n`);
  }

  endStreams(): void {
    for (const stream of this.#streams) stream.end();
  }

  egressBody(id: string): Record<string, unknown> {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) throw new Error(`no sandbox ${id}`);
    return {
      sandboxId: id,
      organizationId: "org",
      version: sandbox.version,
      tokenHash: sandbox.tokenHash,
      sources: sandbox.sources,
      onViolation: null,
      egress: { allow: [], deny: [] },
      grants: sandbox.grants,
    };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {});
    const url = new URL(request.url ?? "/", "http://api");
    const path = url.pathname;
    if (path !== "/api/changes") {
      this.asked.push(path);
      this.conditions.push(request.headers["if-none-match"]);
    }
    await this.gate;
    if (this.fault !== undefined) return this.fault(request, response);
    if (request.headers.authorization !== `Bearer ${this.key}`) return problem(response, 401, "Unauthorized");
    if (path === "/api/changes" && this.hasChanges) return this.#listen(url, response);
    const route = /^\/api\/sandbox\/([^/]+)\/(egress|secrets)$/.exec(path);
    const id = decodeURIComponent(route?.[1] ?? "");
    const sandbox = this.sandboxes.get(id);
    let answer: { body: string; etag: string | undefined } | undefined;
    if (route?.[2] === "egress" && this.hasEgress && sandbox !== undefined) {
      answer = { body: JSON.stringify(this.egressBody(id)), etag: `"${sandbox.version}"` };
    } else if (route?.[2] === "secrets" && this.hasResolve && sandbox !== undefined) {
      const mounts = sandbox.grants.map(({ env, placeholder, value, hosts }) => ({ env, placeholder, value, hosts }));
      answer = { body: JSON.stringify(mounts), etag: undefined };
    } else if (path === "/api/egress/sources" && this.hasEgress) {
      const sources = [...this.sandboxes].flatMap(([sandboxId, { sources }]) =>
        sources.map((cidr) => ({ cidr, sandboxId })),
      );
      answer = { body: JSON.stringify({ version: String(this.version), sources }), etag: `"${this.version}"` };
    }
    await this.lateGate;
    if (answer === undefined) return problem(response, 404, "Not Found");
    if (answer.etag !== undefined && request.headers["if-none-match"] === answer.etag) {
      response.writeHead(304, { etag: answer.etag }).end();
      return;
    }
    response.writeHead(200, {
      "content-type": "application/json; charset=utf-8",
      ...(answer.etag === undefined ? {} : { etag: answer.etag }),
    });
    response.end(answer.body);
  }

  #listen(url: URL, response: ServerResponse): void {
    this.sinces.push(url.searchParams.get("since"));
    this.#streams.add(response);
    response.on("close", () => this.#streams.delete(response));
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`event: hello\ndata: ${JSON.stringify({ version: String(this.version) })}\n\n`);
  }
}

export function problem(response: ServerResponse, status: number, error: string): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ path: "/", timestamp: "", statusCode: status, error, message: error }));
}

/** A promise and the function that fulfils it. */
export function gate(): { promise: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, open: () => resolve() };
}
