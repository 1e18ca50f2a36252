// WebSockets byte by byte: what no well-behaved peer sends, and what can be seen on the wire alone.

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type Http2Origin, startHttp2Origin } from "../support/http2-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { connectThrough, errorOf, fieldValue, openWay, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
const taken =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
let keyswap: TestKeyswap;
let origin: RawOrigin;
let serve: (connection: RawConnection) => Promise<void>;
let secret: MadeSecret;
let sandbox: MadeSandbox;
const clients: WireClient[] = [];

beforeAll(async () => {
  keyswap = await startKeyswap({ plainHttpHosts: ["plain.test"] });
  origin = await startRawOrigin({ pki: keyswap.pki, names: [host] }, (connection) => serve(connection));
  secret = await keyswap.secret("the value on the wire", [host]);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  expect(origin.faults).toEqual([]);
  expect(keyswap.errors).toEqual([]);
});

interface Frame {
  readonly first: number;
  readonly key: string | undefined;
  readonly payload: string;
}

/** One frame of up to 65,535 bytes, read without the proxy's own code. */
async function readFrame(wire: WireClient): Promise<Frame> {
  const [first = 0, second = 0] = await wire.readExactly(2);
  const short = second & 0x7f;
  const length = short === 126 ? (await wire.readExactly(2)).readUInt16BE(0) : short;
  const key = second >= 0x80 ? Buffer.from(await wire.readExactly(4)) : undefined;
  const payload = Buffer.from(await wire.readExactly(length));
  if (key !== undefined) for (let at = 0; at < payload.length; at++) payload[at] = payload[at]! ^ key[at % 4]!;
  return { first, key: key?.toString("hex"), payload: payload.toString("latin1") };
}

/** A masked frame of up to 125 bytes, with the key of zeros that leaves the payload readable. */
function masked(first: number, payload: string): Buffer {
  return Buffer.concat([Buffer.of(first, 0x80 | payload.length, 0, 0, 0, 0), Buffer.from(payload, "latin1")]);
}

function unmasked(first: number, payload: string): Buffer {
  return Buffer.concat([Buffer.of(first, payload.length), Buffer.from(payload, "latin1")]);
}

const closeOf = (frame: Frame): number => Buffer.from(frame.payload, "latin1").readUInt16BE(0);

async function ask(more = "", upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"): Promise<WireClient> {
  sandbox = await keyswap.sandbox([secret]);
  await keyswap.heard();
  const client = await connectThrough(keyswap, sandbox, host, origin.port);
  clients.push(client);
  client.send(
    `GET /ws HTTP/1.1\r\nHost: ${host}\r\n${upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n${more}`,
  );
  return client;
}

/** An upgraded connection and what the origin does with it. */
async function open(then: (connection: RawConnection) => Promise<void>): Promise<WireClient> {
  serve = async (connection) => {
    await connection.readRequest();
    connection.socket.write(taken);
    await then(connection);
  };
  const client = await ask();
  expect((await client.readHead()).status).toBe(101);
  return client;
}

const ended = async () => (await keyswap.exchanges(sandbox))[0];

describe("the handshake on the wire", () => {
  it("goes out with its Upgrade and comes back with it", async () => {
    let text = "";
    serve = async (connection) => {
      ({ text } = await connection.readRequest());
      connection.socket.write(taken);
    };
    const client = await ask();
    const head = await client.readHead();
    expect(text.match(/^(?:connection|upgrade): .*$/gim)).toEqual(["Connection: Upgrade", "Upgrade: websocket"]);
    expect(fieldValue(head, "upgrade")).toBe("websocket");
    expect(fieldValue(head, "connection")).toBe("Upgrade");
    expect(fieldValue(head, "sec-websocket-accept")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  });

  it("may bring frames in its own segments, both ways", async () => {
    const frames: Frame[] = [];
    serve = async (connection) => {
      await connection.readRequest();
      connection.socket.write(Buffer.concat([Buffer.from(taken), unmasked(0x81, secret.value)]));
      frames.push(await readFrame(connection.wire));
    };
    const client = await ask(masked(0x81, secret.placeholder).toString("latin1"));
    expect((await client.readHead()).status).toBe(101);
    expect(await readFrame(client)).toEqual({ first: 0x81, key: undefined, payload: secret.placeholder });
    await vi.waitFor(() => expect(frames).toMatchObject([{ first: 0x81, payload: secret.value }]));
  });

  it("that is refused is an ordinary answer, and the connection goes on", async () => {
    serve = async (connection) => {
      await connection.readRequest();
      connection.socket.write(`HTTP/1.1 403 No\r\nX: ${secret.value}\r\nContent-Length: 2\r\n\r\nno`);
      await connection.readRequest();
      connection.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    };
    const client = await ask();
    const answer = await client.read();
    expect(answer.status).toBe(403);
    expect(fieldValue(answer, "x")).toBe(secret.placeholder);
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect((await client.read()).body.toString()).toBe("ok");
    const events = await keyswap.exchanges(sandbox, 2);
    expect(events.map(({ protocol, status }) => [protocol, status])).toEqual([
      ["http/1.1", 403],
      ["http/1.1", 200],
    ]);
  });

  it.each([
    ["an extension that was not offered", "Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"],
    ["101 to another protocol", "Upgrade: h2c\r\n"],
  ])("is refused with 502 where the answer is %s", async (detail, fields) => {
    serve = async (connection) => {
      await connection.readRequest();
      connection.socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${fields}\r\n`);
    };
    const answer = await (await ask()).read();
    expect([answer.status, errorOf(answer)]).toEqual([502, "upstream-malformed"]);
    expect(JSON.parse(answer.body.toString()).detail).toBe(detail);
    expect(await ended()).toMatchObject({ error: "upstream-malformed", status: 502 });
  });

  it.each([
    ["another protocol", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"],
    ["a word of it in Connection that is missing", "Upgrade: websocket\r\n"],
  ])("is none with %s: an ordinary request without Upgrade", async (_name, upgrade) => {
    let text = "";
    serve = async (connection) => {
      ({ text } = await connection.readRequest());
      connection.socket.write("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
    };
    expect((await (await ask("", upgrade)).read()).status).toBe(426);
    expect(text).not.toMatch(/upgrade/i);
  });

  describe("with a destination that speaks HTTP/2 alone", () => {
    let modern: Http2Origin;
    beforeAll(async () => {
      modern = await startHttp2Origin({ pki: keyswap.pki, names: [host], speaks: "h2" });
    });
    afterAll(() => modern.close());

    it("is refused with 501", async () => {
      sandbox = await keyswap.sandbox([secret]);
      await keyswap.heard();
      const client = await connectThrough(keyswap, sandbox, host, modern.port);
      clients.push(client);
      client.send(
        `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      );
      const answer = await client.read();
      expect([answer.status, errorOf(answer)]).toEqual([501, "upgrade-unsupported"]);
      expect(modern.seen).toEqual([]);
      // The connection to the client lives on.
      client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect((await client.read()).status).toBe(200);
    });
  });
});

describe("frames on the wire", () => {
  it("go out masked, each with another key", async () => {
    const frames: Frame[] = [];
    const client = await open(async ({ wire }) => {
      for (let count = 0; count < 20; count++) frames.push(await readFrame(wire));
    });
    for (let count = 0; count < 20; count++) client.send(masked(0x81, "the same"));
    await vi.waitFor(() => expect(frames).toHaveLength(20));
    expect(new Set(frames.map(({ key }) => key)).size).toBe(20);
    expect(new Set(frames.map(({ payload }) => payload))).toEqual(new Set(["the same"]));
  });

  it("of a whole message that came in pieces are one", async () => {
    const frames: Frame[] = [];
    const client = await open(async ({ wire }) => {
      for (let count = 0; count < 2; count++) frames.push(await readFrame(wire));
    });
    const bytes = Buffer.concat([masked(0x01, "ab"), masked(0x89, "p"), masked(0x00, "cd"), masked(0x80, "ef")]);
    for (const byte of bytes) await client.sendAll(Buffer.of(byte));
    await vi.waitFor(() => expect(frames).toHaveLength(2));
    expect(frames.map(({ first, payload }) => [first, payload])).toEqual([
      [0x89, "p"],
      [0x81, "abcdef"],
    ]);
  });
});

describe("what RFC 6455 forbids", () => {
  it.each([
    ["an unmasked frame", unmasked(0x81, "x")],
    ["a reserved bit", masked(0xc1, "x")],
    ["a continuation of nothing", masked(0x80, "x")],
    ["a fragmented ping", masked(0x09, "x")],
    ["a close code that must not be sent", masked(0x88, "\x03\xed")],
  ])("fails the connection of a client: %s", async (_name, bytes) => {
    const frames: Frame[] = [];
    const client = await open(async ({ wire }) => {
      frames.push(await readFrame(wire), await readFrame(wire));
    });
    client.send(Buffer.concat([masked(0x81, "before"), bytes, masked(0x81, "behind")]));
    const close = await readFrame(client);
    expect([close.first, closeOf(close)]).toEqual([0x88, 1002]);
    expect(await client.closed()).toBe("");
    await vi.waitFor(() => expect(frames).toHaveLength(2));
    expect(frames.map(({ first }) => first)).toEqual([0x81, 0x88]);
    expect(closeOf(frames[1]!)).toBe(1001);
    client.close();
    expect(await ended()).toMatchObject({ error: "bad-request", status: 101 });
  });

  it.each([
    ["a masked frame", masked(0x81, "x")],
    ["a message within a message", Buffer.concat([unmasked(0x01, "x"), unmasked(0x01, "y")])],
  ])("fails the connection of a destination: %s", async (_name, bytes) => {
    const client = await open(async ({ socket }) => {
      socket.write(Buffer.concat([unmasked(0x81, "before"), bytes]));
    });
    expect((await readFrame(client)).payload).toBe("before");
    const close = await readFrame(client);
    expect([close.first, closeOf(close)]).toEqual([0x88, 1014]);
    client.close();
    expect(await ended()).toMatchObject({ error: "upstream-malformed", status: 101 });
  });
});

describe("the end of one direction", () => {
  it("of a client that goes on reading is kept", async () => {
    // Without TLS, for its peers here end their side when the other does.
    const plain = await startRawOrigin({}, async (connection) => {
      await connection.readRequest();
      connection.socket.write(taken);
      await readFrame(connection.wire);
      await connection.wire.readToEnd();
      connection.socket.end(unmasked(0x81, `late ${listed.value}`));
    });
    const listed = await keyswap.secret("for plain HTTP", ["plain.test"]);
    sandbox = await keyswap.sandbox([listed]);
    await keyswap.heard();
    const client = await openWay(keyswap, sandbox, `plain.test:${plain.port}`);
    clients.push(client);
    client.send(
      "GET / HTTP/1.1\r\nHost: plain.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    expect((await client.readHead()).status).toBe(101);
    client.send(masked(0x81, "the last word"));
    client.socket.end();
    expect((await readFrame(client)).payload).toBe(`late ${listed.placeholder}`);
    expect(await client.closed()).toBe("");
    expect(await ended()).toMatchObject({ error: "client-closed" });
    await plain.close();
  });

  it("behind a closing handshake closes both", async () => {
    const client = await open(async ({ wire, socket }) => {
      await readFrame(wire);
      socket.end(unmasked(0x88, "\x03\xe8"));
    });
    client.send(masked(0x88, "\x03\xe8bye"));
    expect(closeOf(await readFrame(client))).toBe(1000);
    expect(await client.closed()).toBe("");
    client.close();
    expect(await ended()).toMatchObject({ error: undefined, status: 101 });
  });
});
