// ClientHellos for tests: captured from real clients, and built by hand where no client sends such a thing.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createServer, type Socket } from "node:net";
import { startsLikeTls } from "../../src/core/wire/client-hello.ts";

/** Runs `start` with the port of a raw TCP server and answers the first flight that arrives there. */
export async function captureHello(start: (port: number) => ChildProcess | Socket): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const hello = new Promise<Buffer>((resolve, reject) => {
    server.on("connection", (socket) => {
      let bytes = Buffer.alloc(0);
      socket.on("error", () => {});
      socket.on("data", (part: Buffer) => {
        bytes = Buffer.concat([bytes, part]);
        if (!isWholeFlight(bytes)) return;
        resolve(bytes);
        socket.destroy();
      });
      socket.on("close", () => reject(new Error(`closed after ${bytes.length} bytes`)));
    });
  });
  const client = start(address.port);
  const failed = new Promise<never>((_, reject) => client.on("error", reject));
  try {
    return await Promise.race([hello, failed]);
  } finally {
    // Errors of the connection that is cut off are expected by now.
    failed.catch(() => {});
    if ("kill" in client) client.kill();
    else client.destroy();
    server.close();
  }
}

/** By the record headers alone, not by the parser under test. */
function isWholeFlight(bytes: Buffer): boolean {
  let pos = 0;
  while (pos + 5 <= bytes.length) pos += 5 + bytes.readUInt16BE(pos + 3);
  return pos === bytes.length && startsLikeTls(bytes);
}

export function runClient(command: string, ...args: readonly string[]): ChildProcess {
  return spawn(command, args, { stdio: ["pipe", "ignore", "ignore"] });
}

export function isInstalled(command: string): boolean {
  return spawnSync(command, ["--version"], { stdio: "ignore" }).error === undefined;
}

const u8 = (value: number): Buffer => Buffer.of(value);
const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 0xff);

/** Bytes with their length in front, in `size` bytes. */
export function vector(size: 1 | 2, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([size === 1 ? u8(body.length) : u16(body.length), body]);
}

export type Extension = readonly [type: number, body: Buffer];

export function serverName(...names: readonly string[]): Extension {
  const entries = names.map((name) => Buffer.concat([u8(0), vector(2, Buffer.from(name, "latin1"))]));
  return [0, vector(2, ...entries)];
}

export function alpn(...protocols: readonly string[]): Extension {
  return [16, vector(2, ...protocols.map((name) => vector(1, Buffer.from(name, "latin1"))))];
}

/** The body of a ClientHello. `extensions` undefined: it ends before them, as old clients' do. */
export function helloBody(extensions: readonly Extension[] | undefined, sessionId = Buffer.alloc(32, 7)): Buffer {
  return Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 1),
    vector(1, sessionId),
    vector(2, u16(0x1a1a), u16(0x1301), u16(0xc02b)),
    vector(1, u8(0)),
    ...(extensions === undefined
      ? []
      : [vector(2, ...extensions.map(([type, body]) => Buffer.concat([u16(type), vector(2, body)])))]),
  ]);
}

/** A handshake message in records of at most `recordBytes`. */
export function inRecords(body: Buffer, options: { recordBytes?: number; type?: number } = {}): Buffer {
  const { recordBytes = 16_384, type = 1 } = options;
  const message = Buffer.concat([u8(type), u8(body.length >> 16), u16(body.length & 0xffff), body]);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordBytes) {
    records.push(Buffer.of(22, 3, 1), vector(2, message.subarray(at, at + recordBytes)));
  }
  return Buffer.concat(records);
}

export function hello(...extensions: readonly Extension[]): Buffer {
  return inRecords(helloBody(extensions));
}
