// The real `ws` at both ends: a server that remembers what reached it, and a client through the proxy.

import type { IncomingMessage } from "node:http";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import WebSocket, { type ClientOptions, type RawData, type ServerOptions, WebSocketServer } from "ws";
import type { MadeSandbox, TestKeyswap } from "./keyswap.ts";
import type { Pki } from "./pki.ts";
import { openWay } from "./wire-client.ts";

export interface Message {
  readonly data: Buffer;
  readonly isBinary: boolean;
}

export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** One end of a WebSocket, with what came to it in the order in which it came. */
export class WebSocketPeer {
  readonly socket: WebSocket;
  readonly closed: Promise<Closing>;
  readonly errors: Error[] = [];
  readonly pings: string[] = [];
  readonly pongs: string[] = [];
  readonly #messages: Message[] = [];
  #taken = 0;
  #wake: (() => void) | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("error", (error) => this.errors.push(error));
    socket.on("message", (data: RawData, isBinary: boolean) => {
      // `binaryType` is nodebuffer, so that a message is one buffer.
      this.#messages.push({ data: data as Buffer, isBinary });
      this.#wake?.();
    });
    socket.on("ping", (data) => this.pings.push(data.toString("latin1")));
    socket.on("pong", (data) => this.pongs.push(data.toString("latin1")));
    this.closed = new Promise((resolve) => {
      socket.on("close", (code, reason) => {
        resolve({ code, reason: reason.toString("latin1") });
        this.#wake?.();
      });
    });
  }

  get count(): number {
    return this.#messages.length;
  }

  /** The next message. Rejects where the connection closes first. */
  async next(): Promise<Message> {
    for (;;) {
      const message = this.#messages[this.#taken];
      if (message !== undefined) {
        this.#taken += 1;
        return message;
      }
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error("closed before a message came");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async nextText(): Promise<string> {
    return (await this.next()).data.toString("utf8");
  }

  /** Resolves when ws took the message. */
  send(data: string | Buffer, options: { binary?: boolean; fin?: boolean } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.send(data, options, (error) => (error ? reject(error) : resolve()));
    });
  }
}

export interface WebSocketOrigin {
  readonly port: number;
  readonly seen: { readonly peer: WebSocketPeer; readonly request: IncomingMessage }[];
  /** The peer of the last connection. */
  last(): WebSocketPeer;
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

export type WebSocketOriginHandler = (peer: WebSocketPeer, request: IncomingMessage) => void;

/** Answers each upgrade; what is no upgrade gets 426. Without a PKI it is plain. */
export async function startWebSocketOrigin(options: {
  readonly pki?: Pki;
  readonly names?: string[];
  readonly server?: ServerOptions;
  readonly handler?: WebSocketOriginHandler;
}): Promise<WebSocketOrigin> {
  const server =
    options.pki === undefined
      ? createHttpServer()
      : createHttpsServer(
          (({ certPem, keyPem }) => ({ cert: certPem, key: keyPem }))(
            options.pki.issue(options.names ?? ["localhost"]),
          ),
        );
  server.on("request", (_request, response) => response.writeHead(426, { "content-type": "text/plain" }).end("no"));
  const sockets = new Set<Socket>();
  server.on(options.pki === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  const seen: { peer: WebSocketPeer; request: IncomingMessage }[] = [];
  const webSockets = new WebSocketServer({ maxPayload: 64 * 1024 * 1024, ...options.server, server });
  webSockets.on("connection", (socket, request) => {
    const peer = new WebSocketPeer(socket);
    seen.push({ peer, request });
    options.handler?.(peer, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    sockets,
    last() {
      const entry = seen.at(-1);
      if (entry === undefined) throw new Error("the origin saw no WebSocket");
      return entry.peer;
    },
    close() {
      webSockets.close();
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

export interface ConnectOptions extends ClientOptions {
  readonly path?: string;
  readonly protocols?: string[];
  /** Without TLS. */
  readonly isPlain?: boolean;
}

/** A WebSocket through a CONNECT to the proxy, open. Rejects with ws's error where it is refused. */
export async function connectWebSocket(
  keyswap: TestKeyswap,
  sandbox: MadeSandbox,
  host: string,
  port: number,
  options: ConnectOptions = {},
): Promise<WebSocketPeer> {
  const { path = "/", protocols = [], isPlain = false, ...more } = options;
  const way = await openWay(keyswap, sandbox, `${host}:${port}`);
  way.socket.removeAllListeners("data");
  const socket = new WebSocket(`${isPlain ? "ws" : "wss"}://${host}:${port}${path}`, protocols, {
    perMessageDeflate: false,
    maxPayload: 64 * 1024 * 1024,
    ...more,
    createConnection: () =>
      isPlain ? way.socket : connectTls({ socket: way.socket, servername: host, ca: keyswap.caPem }),
  });
  const peer = new WebSocketPeer(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  return peer;
}
