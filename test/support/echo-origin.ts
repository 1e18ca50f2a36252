// An origin on one port for every protocol: HTTP/1.1 and HTTP/2, gRPC and WebSocket, or plain HTTP. It answers with what
// reached it: `<protocol> <whether it is the expected value> <x-key>`.

import { createServer, type IncomingMessage } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { Pki } from "./pki.ts";

export interface EchoOrigin {
  readonly port: number;
  /** What x-key, a gRPC message or a WebSocket message has to be. */
  expected: string;
  close(): Promise<void>;
}

export async function startEchoOrigin(tls?: { readonly pki: Pki; readonly names: string[] }): Promise<EchoOrigin> {
  const sockets = new Set<Socket>();
  const say = (protocol: string, key: string): string => `${protocol} ${key === origin.expected} ${key}`;

  const answer = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      if (request.headers["content-type"] === "application/grpc") {
        // Behind flags and length: the message.
        const text = say("grpc", Buffer.concat(parts).toString("latin1", 5));
        const prefix = Buffer.alloc(5);
        prefix.writeUInt32BE(text.length, 1);
        response.writeHead(200, { "content-type": "application/grpc" });
        response.addTrailers({ "grpc-status": "0" });
        response.end(Buffer.concat([prefix, Buffer.from(text, "latin1")]));
        return;
      }
      response.writeHead(200, { "content-type": "text/plain" });
      response.end(say(request.httpVersion === "2.0" ? "h2" : "http/1.1", String(request.headers["x-key"] ?? "")));
    });
  };

  let server: Server;
  if (tls === undefined) {
    // A cast, because the two libraries' types do not know of each other: the methods used are the same.
    server = createServer(answer as unknown as Parameters<typeof createServer>[1]);
  } else {
    const { certPem, keyPem } = tls.pki.issue(tls.names);
    server = createSecureServer({ cert: certPem, key: keyPem, allowHTTP1: true }, answer);
  }
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("sessionError", () => {});
  const webSockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("message", (data, isBinary) => {
        // One buffer, as `binaryType` is nodebuffer.
        webSocket.send(say(isBinary ? "binary" : "text", (data as Buffer).toString("latin1")), { binary: isBinary });
      });
      webSocket.on("error", () => {});
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin: EchoOrigin = {
    // Listens on a port, so it has one.
    port: (server.address() as AddressInfo).port,
    expected: "",
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return origin;
}
