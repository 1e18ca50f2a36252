// The ways in, for clients of tests: a connection by each of them, and a forwarder that takes clients along which know
// nothing of proxies.

import { createServer, type Socket } from "node:net";
import type { MadeSandbox, TestKeyswap } from "./keyswap.ts";
import { askSocks, socksIpv4, socksName } from "./socks-client.ts";
import { dial, openWay, secure, type WireClient } from "./wire-client.ts";

export const wayNames = ["CONNECT", "CONNECT over TLS", "SOCKS5 by name", "SOCKS5 by address", "transparent"] as const;
export type WayName = (typeof wayNames)[number];

/** A connection to a host's port 443 by one way, nothing said in it yet. */
export async function openBy(way: WayName, keyswap: TestKeyswap, sandbox: MadeSandbox, host: string): Promise<Socket> {
  const client = await open(way, keyswap, sandbox, host);
  client.socket.removeAllListeners("data");
  return client.socket;
}

async function open(way: WayName, keyswap: TestKeyswap, sandbox: MadeSandbox, host: string): Promise<WireClient> {
  switch (way) {
    case "CONNECT":
      return openWay(keyswap, sandbox, `${host}:443`);
    case "CONNECT over TLS": {
      const toProxy = await secure(await dial(keyswap.port), { ca: keyswap.caPem, serverName: "gateway.example" });
      toProxy.send(
        `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`,
      );
      const { status } = await toProxy.readHead();
      if (status !== 200) throw new Error(`CONNECT: ${status}`);
      return toProxy;
    }
    case "SOCKS5 by name":
    case "SOCKS5 by address": {
      // Nobody listens at the address: the name inside of TLS is what counts.
      const request = way === "SOCKS5 by name" ? socksName(host, 443) : socksIpv4("127.66.66.66", 443);
      const { code, client } = await askSocks(keyswap, sandbox, request);
      if (code !== 0) throw new Error(`SOCKS5: ${code}`);
      return client;
    }
    case "transparent":
      return dial(Number(keyswap.addresses.tls?.split(":").at(-1)));
    default:
      return way satisfies never;
  }
}

export interface Forwarder {
  /** On 127.0.0.1. */
  readonly port: number;
  close(): Promise<void>;
}

/** Listens, and carries each connection along a way of its own. */
export async function startForwarder(openWay: () => Promise<Socket>): Promise<Forwarder> {
  const sockets = new Set<Socket>();
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
    const join = async (): Promise<void> => {
      const way = await openWay();
      for (const [socket, other] of [
        [client, way],
        [way, client],
      ] as const) {
        sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    };
    client.on("error", () => {});
    join().catch(() => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  return {
    port: address.port,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
