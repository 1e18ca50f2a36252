// A proxy port for the JVM, which cannot be told the credentials of a proxy from outside the program. It takes CONNECT
// without credentials, from programs of this user alone, and passes it on to keyswap with the sandbox's own.
//
// Any program of this user can read the sandbox's token from the command's environment already; those of other users are
// found out by the kernel's table of connections (Linux), so there is no such port elsewhere.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { pipeline } from "node:stream";

/** A CONNECT request has a line and a few fields. */
const MAX_HEAD_BYTES = 16_384;
const HEAD_TIMEOUT_MS = 10_000;

export interface JavaPort extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
}

/** Undefined where connections cannot be told apart by user. `proxyUrl` holds the sandbox's id and token. */
export async function openJavaPort(proxyUrl: string): Promise<JavaPort | undefined> {
  if (process.platform !== "linux" || process.getuid === undefined) return undefined;
  const user = process.getuid();
  const proxy = new URL(proxyUrl);
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    if (findUser(socket) === user) readHead(socket, (head) => passOn(socket, head, proxy));
    else refuse(socket, 403, "this port is another user's");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    // A server that listens on a host has an address of this form.
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The user id of the program at the other end, by proc(5)'s tables of this machine's connections. */
function findUser({ remotePort, localPort }: Socket): number | undefined {
  const hex = (port = 0) => port.toString(16).toUpperCase().padStart(4, "0");
  // The JVM's sockets are IPv6 ones that talk to a mapped address.
  const ends = new RegExp(`^ *\\d+: (?:\\w{24})?0100007F:${hex(remotePort)} (?:\\w{24})?0100007F:${hex(localPort)} `);
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    try {
      const line = readFileSync(table, "latin1")
        .split("\n")
        .find((entry) => ends.test(entry));
      if (line !== undefined) return Number(line.trim().split(/\s+/)[7]);
    } catch {
      // No such protocol on this machine.
    }
  }
  return undefined;
}

function readHead(socket: Socket, use: (head: string) => void): void {
  let head = "";
  socket.setTimeout(HEAD_TIMEOUT_MS, () => socket.destroy());
  socket.on("data", function onData(chunk: Buffer) {
    head += chunk.toString("latin1");
    if (!head.includes("\r\n\r\n")) {
      if (head.length > MAX_HEAD_BYTES) refuse(socket, 431, "the head is too long");
      return;
    }
    socket.off("data", onData);
    socket.pause();
    socket.setTimeout(0);
    use(head);
  });
}

function passOn(socket: Socket, head: string, proxy: URL): void {
  const [, target] = /^CONNECT (\S+) HTTP\/1\.[01]\r\n/.exec(head) ?? [];
  if (target === undefined) {
    refuse(socket, 501, "only CONNECT is served here");
    return;
  }
  const { hostname, port, username, password } = proxy;
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  const connect = request({
    host: hostname.replaceAll(/[[\]]/g, ""),
    port,
    method: "CONNECT",
    path: target,
    headers: { host: target, "proxy-authorization": `Basic ${credentials}` },
    agent: false,
  });
  socket.on("close", () => connect.destroy());
  connect.on("error", () => refuse(socket, 502, "keyswap cannot be reached"));
  // A refusal: its status is all that the JVM looks at.
  connect.on("response", (answer) => {
    answer.resume();
    refuse(socket, answer.statusCode ?? 502, answer.statusMessage ?? "");
  });
  connect.on("connect", (answer, upstream, seen) => {
    if (answer.statusCode !== 200) {
      upstream.destroy();
      refuse(socket, answer.statusCode ?? 502, answer.statusMessage ?? "");
      return;
    }
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    if (seen.length > 0) socket.write(seen);
    // A failure of either side destroys both.
    pipeline(upstream, socket, upstream, () => {});
  });
  connect.end();
}

function refuse(socket: Socket, status: number, reason: string): void {
  if (!socket.destroyed) socket.end(`HTTP/1.1 ${status} ${reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
}
