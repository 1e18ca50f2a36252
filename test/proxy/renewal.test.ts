// Values that are rotated in the midst of an exchange whose answer has begun: what is written is scrubbed from the answer.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { connectThrough, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
/** As long as a placeholder, so that they go into binary messages, too. */
const [old, fresh] = ["an old value ".padEnd(39, "o"), "the new value ".padEnd(39, "n")];
const bufferBytes = 16 * 1024;

let keyswap: TestKeyswap;
let origin: RawOrigin;
let serve: (connection: RawConnection) => Promise<void>;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let client: WireClient;
/** The content that the origin got. */
let received: string;

beforeAll(async () => {
  keyswap = await startKeyswap({ options: { bufferBytes } });
  origin = await startRawOrigin({ pki: keyswap.pki, names: [host] }, (connection) => serve(connection));
});

beforeEach(async () => {
  received = "";
  secret = await keyswap.secret(old, [host]);
  sandbox = await keyswap.sandbox([secret]);
  client = await connectThrough(keyswap, sandbox, host, origin.port);
});

afterEach(() => client.close());

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  expect(origin.faults).toEqual([]);
  expect(keyswap.errors).toEqual([]);
});

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

/** Answers at once, and goes on with what comes. */
function echo(type: string, first: string): void {
  serve = async ({ wire, readRequest }) => {
    await readRequest();
    wire.send(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(first)}`);
    for (let bytes = await wire.readChunk(); bytes !== undefined; bytes = await wire.readChunk()) {
      received += bytes.toString("latin1");
      wire.send(chunk(bytes.toString("latin1")));
    }
    wire.send("0\r\n\r\n");
  };
}

async function begin(type: string): Promise<void> {
  client.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  expect((await client.readHead()).status).toBe(200);
}

/** What comes until `end` has come. */
async function readThrough(end: string): Promise<string> {
  let text = "";
  while (!text.endsWith(end)) text += (await client.readChunk())?.toString("latin1");
  return text;
}

async function rotate(): Promise<void> {
  await keyswap.rotate(secret, fresh);
  await keyswap.heard();
}

describe("an answer that has begun", () => {
  it("holds the request to what it is scrubbed by, also where a placeholder is looked up", async () => {
    const unknown = `dtn_secret_${"e5".repeat(14)}`;
    echo("text/plain", "begun;");
    await begin("text/plain");
    expect(await readThrough(";")).toBe("begun;");
    await rotate();
    for (const text of [`${secret.placeholder};`, `${unknown} ${secret.placeholder};`]) {
      client.send(chunk(text));
      expect(await readThrough(";")).toBe(text);
    }
    expect(received).toBe(`${old};${unknown} ${old};`);
  });
});

describe("a message that is under way", () => {
  it("of gRPC is scrubbed of a value that was written after it began", async () => {
    const message = (length: number, text: string): string => `\0\0\0\0${String.fromCharCode(length)}${text}`;
    const text = `${secret.placeholder};.`;
    const question = message(text.length, text);
    const beginning = message("begun;".length + question.length, "begun;");
    echo("application/grpc", beginning);
    await begin("application/grpc");
    expect(await readThrough(";")).toBe(beginning);
    await rotate();
    client.send(chunk(question));
    expect(await readThrough(".")).toBe(question);
    expect(received).toBe(question.replace(secret.placeholder, fresh));
  });

  it("of a WebSocket is, too", async () => {
    const fill = "x".repeat(bufferBytes + 1);
    serve = async ({ wire, readRequest }) => {
      await readRequest();
      wire.send(switched);
      wire.send(frame(0x01, fill));
      received = await readFrame(wire);
      wire.send(frame(0x80, `${received}.`));
    };
    client.send(
      `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
    expect((await client.readHead()).status).toBe(101);
    let seen = "";
    while (seen.length < fill.length) seen += await readFrame(client);
    await rotate();
    const { placeholder } = secret;
    client.send(Buffer.concat([Buffer.of(0x81, 0x80 | placeholder.length, 0, 0, 0, 0), Buffer.from(placeholder)]));
    while (!seen.endsWith(".")) seen += await readFrame(client);
    expect(seen.slice(fill.length)).toBe(`${placeholder}.`);
    expect(received).toBe(fresh);
  });
});

const switched =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/** Without a mask. */
function frame(first: number, payload: string): Buffer {
  const head = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 0xff];
  return Buffer.concat([Buffer.of(first, ...head), Buffer.from(payload)]);
}

/** The payload of a frame of up to 65,535 bytes. */
async function readFrame(wire: WireClient): Promise<string> {
  const [, second = 0] = await wire.readExactly(2);
  const short = second & 0x7f;
  const length = short === 126 ? (await wire.readExactly(2)).readUInt16BE(0) : short;
  const key = second >= 0x80 ? Buffer.from(await wire.readExactly(4)) : Buffer.alloc(4);
  const payload = await wire.readExactly(length);
  return Buffer.from(payload.map((byte, at) => byte ^ (key[at % 4] ?? 0))).toString("latin1");
}
