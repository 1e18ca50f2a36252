// A real HTTPS (and HTTP) server that remembers what reached it, for tests of the whole way.

import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Pki } from "./pki.ts";

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  /** Name, value, name, value, … as sent. */
  readonly rawHeaders: readonly string[];
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Buffer;
  readonly trailers: NodeJS.Dict<string>;
}

export interface Origin {
  readonly port: number;
  /** Requests in the order in which they were complete. */
  readonly seen: Seen[];
  /** The last one. Throws where there is none. */
  last(): Seen;
  /** Sockets that are open now. */
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

export type OriginHandler = (request: IncomingMessage, response: ServerResponse, seen: Seen) => void;

/** Starts a server on 127.0.0.1; without a handler it answers `{"ok":true}`. With a PKI it speaks TLS for these names. */
export async function startOrigin(options: {
  readonly pki?: Pki;
  readonly names?: string[];
  readonly port?: number;
  readonly handler?: OriginHandler;
  /** Called before the body is read; answering true takes the request over. */
  readonly early?: (request: IncomingMessage, response: ServerResponse) => boolean;
}): Promise<Origin> {
  const seen: Seen[] = [];
  const sockets = new Set<Socket>();
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    request.on("error", () => {});
    response.on("error", () => {});
    if (options.early?.(request, response)) return;
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const entry: Seen = {
        method: request.method ?? "",
        url: request.url ?? "",
        httpVersion: request.httpVersion,
        rawHeaders: request.rawHeaders,
        headers: request.headers,
        body: Buffer.concat(parts),
        trailers: request.trailers,
      };
      seen.push(entry);
      if (options.handler !== undefined) options.handler(request, response, entry);
      else response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}');
    });
  };
  const server =
    options.pki === undefined
      ? createHttpServer(listener)
      : createHttpsServer(
          (({ certPem, keyPem }) => ({ cert: certPem, key: keyPem }))(
            options.pki.issue(options.names ?? ["localhost"]),
          ),
          listener,
        );
  server.on(options.pki === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("clientError", (_error, socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    sockets,
    last() {
      const entry = seen.at(-1);
      if (entry === undefined) throw new Error("the origin saw no request");
      return entry;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
