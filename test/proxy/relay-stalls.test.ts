// Tunnels and WebSockets with a side that takes nothing of what waits for it: they end, by whatever way they came. Quiet
// ones stay.

import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterEach, expect, it } from "vitest";
import type { AuditEvent } from "../../src/core/audit.ts";
import { type MadeSandbox, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { waitUntil } from "../support/wait.ts";
import { openBy, wayNames } from "../support/ways.ts";
import { connectThrough, type WireClient } from "../support/wire-client.ts";

const [granted, other] = ["api.good.test", "evil.test"] as const;
const loopback = { host: "127.0.0.1", port: 0 };
let keyswap: TestKeyswap;
let sandbox: MadeSandbox;
let origin: RawOrigin;
const clients: { destroy(): void }[] = [];

async function start(stallTimeoutMs: number, serve: (connection: RawConnection) => Promise<void>): Promise<void> {
  const ports: Record<number, number> = {};
  keyswap = await startKeyswap({
    limits: { stallTimeoutMs },
    options: { tlsListen: loopback },
    upstreamPorts: ports,
  });
  origin = await startRawOrigin({ pki: keyswap.pki, names: [granted, other] }, serve);
  ports[443] = origin.port;
  const secret = await keyswap.secret("the real value", [granted]);
  sandbox = await keyswap.sandbox([secret], { sources: ["127.0.0.1/32"] });
  await keyswap.heard();
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await keyswap.settled();
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

/** Sends for as long as somebody takes it. */
async function flood({ wire, socket }: Pick<RawConnection, "wire" | "socket">, part: Buffer): Promise<void> {
  while (!wire.isEnded && !socket.destroyed) await wire.sendAll(part);
}

async function tunnelTls(way: (typeof wayNames)[number]): Promise<TLSSocket> {
  const socket = await openBy(way, keyswap, sandbox, other);
  const secure = connectTls({ socket, servername: other, ca: keyswap.pki.caPem });
  clients.push(secure, socket);
  secure.on("error", () => {});
  await new Promise((resolve) => secure.once("secureConnect", resolve));
  return secure;
}

function ended(type: AuditEvent["type"]): Promise<AuditEvent> {
  return waitUntil(() => {
    const event = keyswap.audit.find((each) => each.type === type);
    if (event === undefined) throw new Error(`no ${type}`);
    return event;
  });
}

it.each(wayNames)("a tunnel by %s whose client takes nothing ends", async (way) => {
  await start(400, async (connection) => {
    await connection.wire.readExactly(4);
    await flood(connection, Buffer.alloc(65_536));
  });
  const client = await tunnelTls(way);
  client.write("send");
  client.pause();
  expect(await ended("tunnel")).toMatchObject({ error: "client-stalled", reason: "host-not-granted" });
  expect(keyswap.proxy.counts).toMatchObject({ tunnels: 0 });
});

it("a tunnel whose destination takes nothing ends", async () => {
  await start(400, async ({ socket }) => void socket.pause());
  const client = await tunnelTls("CONNECT");
  const part = Buffer.alloc(65_536);
  client.on("drain", () => client.write(part));
  while (client.write(part));
  expect(await ended("tunnel")).toMatchObject({ error: "upstream-stalled" });
});

it("a tunnel that is quiet, and one whose client is slow, go on", async () => {
  await start(1_500, async (connection) => {
    await connection.wire.readExactly(4);
    await flood(connection, Buffer.alloc(16_384));
  });
  const quiet = await tunnelTls("CONNECT");
  const slow = await tunnelTls("CONNECT");
  slow.write("send");
  let taken = 0;
  for (let at = 0; at < 8; at++) {
    // More than what the two kernels between can hold back, so that the proxy sees something taken.
    const goal = taken + 8 * 1024 * 1024;
    for (let part = slow.read() as Buffer | null; taken < goal; part = slow.read() as Buffer | null) {
      if (part === null) await new Promise((resolve) => slow.once("readable", resolve));
      else taken += part.length;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  expect([quiet.destroyed, slow.destroyed, keyswap.proxy.counts.tunnels]).toEqual([false, false, 2]);
});

const taken =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async function openWebSocket(): Promise<WireClient> {
  const client = await connectThrough(keyswap, sandbox, granted, origin.port);
  clients.push(client.socket);
  client.send(
    `GET /ws HTTP/1.1\r\nHost: ${granted}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  expect((await client.readHead()).status).toBe(101);
  return client;
}

/** Binary messages of 60,000 bytes; `mask`: the key of zeros. */
function message(mask: Buffer): Buffer {
  const head = Buffer.of(0x82, (mask.length === 0 ? 0 : 0x80) | 126, 60_000 >> 8, 60_000 & 0xff);
  return Buffer.concat([head, mask, Buffer.alloc(60_000)]);
}

it("a WebSocket whose client takes nothing ends, and the destination is told", async () => {
  let closeCode: number | undefined;
  await start(400, async (connection) => {
    await connection.readRequest();
    connection.wire.send(taken);
    const flooding = flood(connection, message(Buffer.alloc(0)));
    // A masked close frame: two bytes, the key, the code.
    const frame = await connection.wire.readExactly(8);
    closeCode = (frame.readUInt16BE(6) ^ frame.readUInt16BE(2)) & 0xffff;
    await flooding;
  });
  const client = await openWebSocket();
  client.socket.pause();
  expect(await ended("exchange")).toMatchObject({ protocol: "websocket", error: "client-stalled" });
  await waitUntil(() => expect(closeCode).toBe(1001));
});

it("a WebSocket whose destination takes nothing ends, and the client is told", async () => {
  await start(400, async ({ wire, readRequest, socket }) => {
    await readRequest();
    wire.send(taken);
    socket.pause();
  });
  const client = await openWebSocket();
  void flood({ wire: client, socket: client.socket }, message(Buffer.alloc(4)));
  expect(await ended("exchange")).toMatchObject({ error: "upstream-stalled" });
  const close = await client.readExactly(4);
  expect([close[0], close.readUInt16BE(2)]).toEqual([0x88, 1014]);
});

it("a WebSocket that is quiet goes on", async () => {
  await start(100, async ({ wire, readRequest }) => {
    await readRequest();
    wire.send(taken);
    await wire.readExactly(7);
    wire.send(Buffer.from("\x81\x05hello", "latin1"));
  });
  const client = await openWebSocket();
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  client.send(Buffer.concat([Buffer.of(0x81, 0x81, 0, 0, 0, 0), Buffer.from("x")]));
  expect((await client.readExactly(7)).toString("latin1")).toBe("\x81\x05hello");
});
