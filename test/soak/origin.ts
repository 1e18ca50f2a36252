// The destination of the soak: echoes what it was sent, streams events, speaks WebSocket, and breaks off when it is told to.

import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { goodHost, type World } from "../attack/world.ts";

export interface SoakOrigin {
  readonly port: number;
  /** Codes with which WebSockets were closed towards it. */
  readonly closes: readonly number[];
  close(): Promise<void>;
}

/** Of a body, so much is echoed. */
const maxEcho = 2_000;
const events = 10;

export async function serveSoak(world: World): Promise<SoakOrigin> {
  const { certPem, keyPem } = world.pki.issue([goodHost]);
  const server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    request.on("error", () => {});
    response.on("error", () => {});
    const parts: Buffer[] = [];
    let length = 0;
    request.on("data", (part: Buffer) => {
      length += part.length;
      if (length <= maxEcho) parts.push(part);
    });
    request.on("end", () => answer(request, response, Buffer.concat(parts), length));
  });
  server.on("tlsClientError", () => {});
  const sockets = new WebSocketServer({ server });
  const closes: number[] = [];
  sockets.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("close", (code) => closes.push(code));
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    // A listening TCP server's address is an object.
    port: (server.address() as AddressInfo).port,
    closes,
    close: async () => {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer, length: number): void {
  const key = String(request.headers["x-key"] ?? "");
  if (request.url?.startsWith("/events")) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    let sent = 0;
    const timer = setInterval(() => {
      response.write(`data: ${sent} ${key}\n\n`);
      if (++sent < events && !response.destroyed) return;
      clearInterval(timer);
      response.end();
    }, 20);
    return;
  }
  if (request.url?.startsWith("/break")) {
    response.writeHead(200, { "content-type": "text/plain", "content-length": "100000" });
    response.write(key);
    setTimeout(() => response.socket?.destroy(), 5);
    return;
  }
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ url: request.url, key, length, body: body.toString("latin1") }));
}
