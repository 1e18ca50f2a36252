// A TLS (or plain) server that is told byte for byte what to answer: for answers that a well-behaved server never gives.

import { createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Pki } from "./pki.ts";
import { WireClient } from "./wire-client.ts";

/** One connection of the origin's. `read*` of WireClient work on what the proxy sent. */
export interface RawConnection {
  readonly wire: WireClient;
  readonly socket: Socket;
  /** 0 for the first connection of this origin. */
  readonly index: number;
  /** Reads a request head: start line and fields. */
  readRequest(): Promise<RawRequest>;
}

export interface RawRequest {
  readonly line: string;
  readonly fields: readonly (readonly [string, string])[];
  /** The whole head as it came, Latin-1. */
  readonly text: string;
}

export interface RawOrigin {
  readonly port: number;
  readonly connections: readonly RawConnection[];
  /** What went wrong in `serve`, other than the connection's end. */
  readonly faults: readonly unknown[];
  close(): Promise<void>;
}

export async function startRawOrigin(
  options: { readonly pki?: Pki; readonly names?: string[]; readonly alpn?: string[] },
  serve: (connection: RawConnection) => Promise<void>,
): Promise<RawOrigin> {
  const connections: RawConnection[] = [];
  const faults: unknown[] = [];
  const onSocket = (socket: Socket): void => {
    const wire = new WireClient(socket);
    const connection = { wire, socket, index: connections.length, readRequest: () => readRequest(wire) };
    connections.push(connection);
    void serve(connection).catch((error: unknown) => {
      if (!wire.isEnded) faults.push(error);
    });
  };
  let server: Server;
  if (options.pki === undefined) server = createPlainServer({ allowHalfOpen: true, noDelay: true }, onSocket);
  else {
    const { certPem, keyPem } = options.pki.issue(options.names ?? ["localhost"]);
    const { alpn } = options;
    const tls = { cert: certPem, key: keyPem, noDelay: true, ...(alpn === undefined ? {} : { ALPNProtocols: alpn }) };
    server = createTlsServer(tls, onSocket);
    server.on("tlsClientError", () => {});
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  return {
    port: address.port,
    connections,
    faults,
    close() {
      for (const { socket } of connections) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function readRequest(wire: WireClient): Promise<RawRequest> {
  const text = (await wire.readThrough("\r\n\r\n")).toString("latin1");
  const [line = "", ...lines] = text.slice(0, -4).split("\r\n");
  const fields = lines.map((field): readonly [string, string] => {
    const colon = field.indexOf(":");
    return [field.slice(0, colon), field.slice(colon + 1).trim()];
  });
  return { line, fields, text };
}
