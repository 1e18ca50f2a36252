// Whoever takes nothing, or owes and does not send, is let go with all that was held for it: streams, tunnels, WebSockets.
// What is merely quiet meanwhile stays.

import { readdirSync } from "node:fs";
import { errorCode, flag, frameType, Http2Wire } from "../support/http2-frames.ts";
import type { RawConnection } from "../support/raw-origin.ts";
import type { WireClient } from "../support/wire-client.ts";
import { intercepted } from "./ways.ts";
import {
  type AttackCase,
  evilHost,
  goodHost,
  holds,
  inOwnWorld,
  type Sandbox,
  same,
  until,
  type World,
} from "./world.ts";

const env = { KEYSWAP_STALL_TIMEOUT_MS: "1000", KEYSWAP_BODY_TIMEOUT_MS: "1000" };
const streams = 90;
const connections = 40;

/** Two connections that say nothing during `run`, and are there afterwards. */
async function besideQuietOnes(run: (world: World, sandbox: Sandbox) => Promise<void>): Promise<void> {
  await inOwnWorld(async (world) => {
    const sandbox = await world.sandbox([await world.secret("a value that waits", [goodHost])]);
    const quiet: RawConnection[] = [];
    const hushed = async (connection: RawConnection): Promise<void> => {
      await connection.readRequest();
      connection.wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
      quiet.push(connection);
      await connection.wire.closed();
    };
    world.good.serve = hushed;
    world.evil.serve = hushed;
    const events = await intercepted(world, sandbox, goodHost, world.good.port);
    const tunnel = await intercepted(world, sandbox, evilHost, world.evil.port);
    for (const [client, host] of [
      [events, goodHost],
      [tunnel, evilHost],
    ] as const) {
      client.send(`GET /quiet HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      await client.readThrough("data: 1");
    }
    const before = descriptors(world);
    await run(world, sandbox);
    await until(() => holds(descriptors(world) <= before + 4, `${descriptors(world)} descriptors, ${before} before`));
    for (const { wire } of quiet) wire.send("data: 2\n\n");
    for (const client of [events, tunnel]) {
      await client.readThrough("data: 2");
      client.close();
    }
  }, env);
}

function descriptors(world: World): number {
  return readdirSync(`/proc/${world.keyswap.pid}/fd`).length;
}

async function flood({ wire }: RawConnection, part: Buffer): Promise<void> {
  while (!wire.isEnded) await wire.sendAll(part);
}

/** Opens so many, tells each what to ask, and takes nothing of what comes. */
async function hold(count: number, open: () => Promise<WireClient>, ask: string | Buffer): Promise<WireClient[]> {
  const held: WireClient[] = [];
  for (let at = 0; at < count; at++) {
    const client = await open();
    client.send(ask);
    client.socket.pause();
    held.push(client);
  }
  return held;
}

async function errorsOf(world: World, type: string, error: string, count: number): Promise<void> {
  const isOf = ({ type: kind, error: code }: Readonly<Record<string, unknown>>) => kind === type && code === error;
  await until(() => {
    const found = world.audit().filter(isOf);
    same(found.length, count, `${type} events of ${error}`);
  });
}

async function http2(world: World, sandbox: Sandbox, windowBytes: number): Promise<Http2Wire> {
  const client = await intercepted(world, sandbox, goodHost, world.good.port, { alpn: ["h2"] });
  client.socket.removeAllListeners("data");
  const initialWindowSize = 4;
  return new Http2Wire(client.socket, "client", [[initialWindowSize, windowBytes]]);
}

const head = [
  [":scheme", "https"],
  [":authority", goodHost],
  [":path", "/held"],
] as const;

function resets(wire: Http2Wire, code: number): number {
  const isReset = ({ type, payload }: Http2Wire["frames"][number]) =>
    type === frameType.rstStream && payload.readUInt32BE() === code;
  return wire.frames.filter(isReset).length;
}

export const stallCases: readonly AttackCase[] = [
  {
    name: `${streams} HTTP/2 streams with closed windows are reset, their destinations let go; quiet ones stay`,
    run: () =>
      besideQuietOnes(async (world, sandbox) => {
        world.good.serve = async (connection) => {
          await connection.readRequest();
          connection.wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000000\r\n\r\n");
          await flood(connection, Buffer.alloc(65_536));
        };
        const wire = await http2(world, sandbox, 0);
        for (let at = 0; at < streams; at++) wire.headers(2 * at + 1, [[":method", "POST"], ...head], flag.endStream);
        await until(() => same(resets(wire, errorCode.enhanceYourCalm), streams, "resets"));
        await errorsOf(world, "exchange", "client-stalled", streams);
        wire.socket.destroy();
      }),
  },
  {
    name: `${streams} HTTP/2 uploads that stop coming get 408, their destinations are let go; quiet ones stay`,
    run: () =>
      besideQuietOnes(async (world, sandbox) => {
        world.good.serve = async ({ wire }) => void (await wire.closed());
        const wire = await http2(world, sandbox, 65_535);
        for (let at = 0; at < streams; at++) {
          wire.headers(2 * at + 1, [[":method", "POST"], ...head, ["content-length", "1000"]]);
          wire.send(frameType.data, 0, 2 * at + 1, "half");
        }
        await until(() => same(resets(wire, errorCode.noError), streams, "streams that ended"));
        await errorsOf(world, "exchange", "request-timeout", streams);
        wire.socket.destroy();
      }),
  },
  {
    name: `${connections} answers and ${connections} tunnels that nobody reads end; quiet ones stay`,
    run: () =>
      besideQuietOnes(async (world, sandbox) => {
        const serve = async (connection: RawConnection): Promise<void> => {
          await connection.readRequest();
          connection.wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000000\r\n\r\n");
          await flood(connection, Buffer.alloc(65_536));
        };
        world.good.serve = serve;
        world.evil.serve = serve;
        const held = [
          ...(await hold(
            connections,
            () => intercepted(world, sandbox, goodHost, world.good.port),
            `GET /held HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`,
          )),
          ...(await hold(
            connections,
            () => intercepted(world, sandbox, evilHost, world.evil.port),
            `GET /held HTTP/1.1\r\nHost: ${evilHost}\r\n\r\n`,
          )),
        ];
        await errorsOf(world, "exchange", "client-stalled", connections);
        await errorsOf(world, "tunnel", "client-stalled", connections);
        for (const client of held) client.close();
      }),
  },
  {
    name: `${connections} WebSockets that nobody reads end; quiet connections stay`,
    run: () =>
      besideQuietOnes(async (world, sandbox) => {
        world.good.serve = async (connection) => {
          await connection.readRequest();
          connection.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
          );
          await flood(connection, Buffer.concat([Buffer.of(0x82, 126, 0xea, 0x60), Buffer.alloc(60_000)]));
        };
        const held = await hold(
          connections,
          () => intercepted(world, sandbox, goodHost, world.good.port),
          `GET /ws HTTP/1.1\r\nHost: ${goodHost}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
        );
        await errorsOf(world, "exchange", "client-stalled", connections);
        for (const client of held) client.close();
      }),
  },
];
