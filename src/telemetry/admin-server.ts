// The admin listener: `/healthz` (the process turns its loop), `/readyz` (it can do its work) and `/metrics`.

import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Newcomers } from "../core/newcomers.ts";

// Not imported: an import reads all of a built-in's exports, and `WebSocket` among these loads Node's whole fetch (15 MB).
const { createServer } = process.getBuiltinModule("node:http");

export interface Readiness {
  readonly ready: boolean;
  /** What is missing, safe to show. */
  readonly reason?: string;
  /** What will be missing soon. */
  readonly warning?: string;
}

export interface AdminServerOptions {
  readonly host: string;
  readonly port: number;
  readonly readiness: () => Readiness | Promise<Readiness>;
  /** For Prometheus; without it there is no such path. */
  readonly metrics?: { readonly contentType: string; text(): Promise<string> };
}

/** Probes are small; whoever sends more is no probe. */
const REQUEST_TIMEOUT_MS = 5_000;
/** Beyond it the oldest connection is closed: a crowd keeps no probe out. */
const MAX_CONNECTIONS = 200;

export class AdminServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Rejects with the system's error where the address cannot be taken. */
  static listen(options: AdminServerOptions): Promise<AdminServer> {
    const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, maxHeaderSize: 8_192 }, (request, response) => {
      // Bodies are of no interest, but unread ones would hold the connection.
      request.resume();
      const path = request.url?.split("?", 1)[0];
      if (request.method !== "GET" && request.method !== "HEAD")
        return answer(response, 405, { status: "method not allowed" });
      if (path === "/healthz") return answer(response, 200, { status: "ok" });
      if (path === "/metrics" && options.metrics !== undefined) return void answerMetrics(response, options.metrics);
      if (path !== "/readyz") return answer(response, 404, { status: "not found" });
      return void (async () => options.readiness())().then(
        ({ ready, reason, warning }) =>
          answer(response, ready ? 200 : 503, { status: ready ? "ready" : "not ready", reason, warning }),
        () => answer(response, 503, { status: "not ready", reason: "readiness could not be found out" }),
      );
    });
    server.unref();
    const newcomers = new Newcomers(MAX_CONNECTIONS);
    server.on("connection", (socket) => newcomers.add(socket));
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.host, () => {
        server.off("error", reject);
        server.on("error", () => {});
        resolve(new AdminServer(server));
      });
    });
  }

  get address(): { readonly host: string; readonly port: number } {
    // A listening TCP server's address is an object.
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

async function answerMetrics(
  response: ServerResponse,
  metrics: NonNullable<AdminServerOptions["metrics"]>,
): Promise<void> {
  try {
    const body = await metrics.text();
    response.writeHead(200, { "content-type": metrics.contentType, "cache-control": "no-store" });
    response.end(body);
  } catch {
    answer(response, 500, { status: "metrics could not be collected" });
  }
}

function answer(response: ServerResponse, status: number, body: Record<string, string | undefined>): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
}
