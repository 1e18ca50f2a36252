// Answers that go on: each event passes when it comes, and nothing cuts a stream that is quiet.

import type { ServerResponse } from "node:http";
import { createGunzip, createGzip, gunzipSync, gzipSync, constants as zlib } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { codecs } from "../support/codecs.ts";
import { connectHttp2, type Http2Origin, open, startHttp2Origin } from "../support/http2-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { connectWebSocket, startWebSocketOrigin } from "../support/websocket-peers.ts";
import { connectThrough, openWay, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
let now = Date.now;
let keyswap: TestKeyswap;
let origin: Origin;
let modern: Http2Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
/** What the last request is answered by, piece by piece. */
let answer: ServerResponse;
let begin: (response: ServerResponse) => void;
const clients: WireClient[] = [];

beforeAll(async () => {
  keyswap = await startKeyswap({ clock: () => now() });
  origin = await startOrigin({
    pki: keyswap.pki,
    names: [host],
    handler: (_request, response) => {
      answer = response;
      begin(response);
    },
  });
  modern = await startHttp2Origin({ pki: keyswap.pki, names: [host], speaks: "both" });
  secret = await keyswap.secret("the value in a stream", [host]);
  sandbox = await keyswap.sandbox([secret]);
  await keyswap.heard();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  await modern.close();
  expect(keyswap.errors).toEqual([]);
});

async function get(): Promise<WireClient> {
  const client = await connectThrough(keyswap, sandbox, host, origin.port);
  clients.push(client);
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nAccept-Encoding: gzip\r\n\r\n`);
  return client;
}

const events = [
  "data: one\n\n",
  `data: {"echo":"SECRET"}\n\n`,
  ": keep-alive\n\n",
  "data: a long one ".padEnd(70_000, "x").concat("\n\n"),
  // It begins the value and then goes on otherwise.
  "data: the val\n\n",
  "data: last\n\n",
];
const sentAs = (event: string): string => event.replace("SECRET", secret.value);
const seenAs = (event: string): string => event.replace("SECRET", secret.placeholder);

const streams = ["text/event-stream", "application/x-ndjson"];

describe.each([...streams, "text/plain; charset=utf-8"])("a stream of %s", (type) => {
  it("passes event by event, chunked: the next is written when the one before has come", async () => {
    begin = (response) => response.writeHead(200, { "content-type": type }).flushHeaders();
    const client = await get();
    expect((await client.readHead()).status).toBe(200);
    for (const event of events) {
      answer.write(sentAs(event));
      let seen = "";
      while (seen.length < seenAs(event).length) seen += String(await client.readChunk());
      expect(seen === seenAs(event)).toBe(true);
    }
    answer.end();
    expect(await client.readChunk()).toBeUndefined();
  });
});

// Of other types what is compressed may be held up to the bound: found nothing, it goes out as it came.
describe.each(streams)("a compressed stream of %s", (type) => {
  it("passes event by event", async () => {
    const gzip = createGzip();
    begin = (response) => {
      response.writeHead(200, { "content-type": type, "content-encoding": "gzip" }).flushHeaders();
      gzip.pipe(response);
    };
    const client = await get();
    expect((await client.readHead()).status).toBe(200);
    const gunzip = createGunzip();
    let seen = "";
    gunzip.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
    });
    let expected = "";
    for (const event of events) {
      gzip.write(sentAs(event));
      await new Promise<void>((resolve) => gzip.flush(zlib.Z_SYNC_FLUSH, resolve));
      expected += seenAs(event);
      while (seen.length < expected.length) {
        const chunk = await client.readChunk();
        await new Promise<void>((resolve) => gunzip.write(chunk, () => resolve()));
      }
      expect(seen === expected).toBe(true);
    }
    gzip.end();
  });

  it("passes event by event where two codings are stacked", async () => {
    const [inner, outer] = [createGzip(), createGzip()];
    inner.pipe(outer);
    begin = (response) => {
      response.writeHead(200, { "content-type": type, "content-encoding": "gzip, gzip" }).flushHeaders();
      outer.pipe(response);
    };
    const client = await get();
    expect((await client.readHead()).status).toBe(200);
    const [first, second] = [createGunzip(), createGunzip()];
    first.pipe(second);
    let seen = "";
    second.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
    });
    let expected = "";
    for (const event of ["data: one\n\n", "data: SECRET\n\n", "data: three\n\n"]) {
      inner.write(sentAs(event));
      for (const gzip of [inner, outer]) {
        await new Promise<void>((resolve) => gzip.flush(zlib.Z_SYNC_FLUSH, resolve));
      }
      expected += seenAs(event);
      while (seen.length < expected.length) {
        const chunk = await client.readChunk();
        await new Promise<void>((resolve) => first.write(chunk, () => resolve()));
        await vi.waitFor(() => expect(second.writableLength).toBe(0));
      }
      expect(seen === expected).toBe(true);
    }
    inner.end();
  });
});

describe("a stream of events", () => {
  it("without a framing of its own passes event by event and ends with its connection", async () => {
    begin = (response) => {
      response.useChunkedEncodingByDefault = false;
      response.removeHeader("transfer-encoding");
      response.shouldKeepAlive = false;
      response.writeHead(200, { "content-type": "text/event-stream", connection: "close" }).flushHeaders();
    };
    const client = await get();
    await client.readHead();
    for (const event of events) {
      answer.write(sentAs(event));
      let seen = "";
      while (seen.length < seenAs(event).length) seen += String(await client.readChunk());
      expect(seen === seenAs(event)).toBe(true);
    }
    answer.end();
    expect(await client.readChunk()).toBeUndefined();
  });

  it("passes over HTTP/2 on both legs", async () => {
    modern.handler = (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(": hello\n\n");
      // A cast, because the response of HTTP/2 is another class with the methods that are used here.
      answer = response as unknown as ServerResponse;
    };
    const session = await connectHttp2(keyswap, sandbox, host, modern.port);
    const stream = open(session, { method: "POST", body: "x" });
    stream.end("x");
    let seen = "";
    stream.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
    });
    let expected = ": hello\n\n";
    await vi.waitFor(() => expect(seen).toBe(expected));
    expect(modern.last().protocol).toBe("h2");
    for (const event of events) {
      answer.write(sentAs(event));
      expected += seenAs(event);
      await vi.waitFor(() => expect(seen === expected).toBe(true));
    }
    answer.end();
    session.close();
  });

  it("ends with its framing, not where its coding ends", async () => {
    const own = await keyswap.sandbox([secret]);
    begin = (response) => {
      response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" }).flushHeaders();
    };
    const client = await connectThrough(keyswap, own, host, origin.port);
    clients.push(client);
    const padding = Buffer.alloc(512);
    for (let round = 1; round <= 2; round++) {
      client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      const head = await client.readHead();
      answer.write(Buffer.concat([gzipSync("data: one\n\n"), padding]));
      const first = await client.readChunk();
      answer.write(padding);
      answer.end();
      const rest = await client.readBody(head, "GET");
      expect(gunzipSync(Buffer.concat([first ?? padding, rest.body])).toString()).toBe("data: one\n\n");
      expect((await keyswap.exchanges(own, round)).at(-1)).toMatchObject({ error: undefined, status: 200 });
    }
  });

  it("coded anew, or with a value taken out, ends without digests of what it was", async () => {
    const read = async (coding: string, event: string): Promise<readonly string[]> => {
      begin = (response) => {
        response.writeHead(200, {
          "content-type": "text/event-stream",
          trailer: "Content-Digest, Repr-Digest, X-Sum",
          ...(coding === "" ? {} : { "content-encoding": coding }),
        });
        response.addTrailers({ "Content-Digest": "sha-256=:AAAA:", "Repr-Digest": "sha-256=:AAAA:", "X-Sum": "1" });
        response.end(codecs.encode(coding, Buffer.from(event)));
      };
      return (await (await get()).read()).trailers.map(([name]) => name);
    };
    expect(await read("", "data: one\n\n")).toEqual(["Content-Digest", "Repr-Digest", "X-Sum"]);
    expect(await read("", `data: ${secret.value}\n\n`)).toEqual(["X-Sum"]);
    expect(await read("gzip", "data: one\n\n")).toEqual(["X-Sum"]);
  });

  it("is held where it may be the beginning of a value, and no further", async () => {
    begin = (response) => response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    const client = await get();
    await client.readHead();
    answer.write("data: one\n\ndata: the val");
    expect(String(await client.readChunk())).toBe("data: one\n\ndata: ");
    answer.write("ue in a stream\n\n");
    let seen = "";
    while (!seen.endsWith("\n\n")) seen += String(await client.readChunk());
    expect(seen).toBe(`${secret.placeholder}\n\n`);
    answer.end();
  });
});

describe("ten quiet hours", () => {
  it("cut neither a stream of events, nor a WebSocket, nor a tunnel", async () => {
    begin = (response) => response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    const stream = await get();
    await stream.readHead();
    const webSockets = await startWebSocketOrigin({ pki: keyswap.pki, names: [host] });
    const webSocket = await connectWebSocket(keyswap, sandbox, host, webSockets.port);
    const tunnel = await openWay(keyswap, sandbox, `evil.test:${origin.port}`);
    const idle = await connectThrough(keyswap, sandbox, host, origin.port);
    clients.push(tunnel, idle);
    await vi.waitFor(() => expect(keyswap.proxy.counts).toMatchObject({ clients: 3, tunnels: 1 }));

    const later = Date.now() + 10 * 60 * 60 * 1000;
    now = () => later;
    // A connection without a request shows that the deadlines were looked at, twice over.
    expect(await idle.closed()).toBe("");
    const another = await connectThrough(keyswap, sandbox, host, origin.port);
    clients.push(another);
    now = () => later + 10 * 60 * 60 * 1000;
    expect(await another.closed()).toBe("");

    answer.write("data: good morning\n\n");
    expect(String(await stream.readChunk())).toBe("data: good morning\n\n");
    await webSocket.send(secret.placeholder);
    expect(await webSockets.last().nextText()).toBe(secret.value);
    tunnel.send("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    // The origin speaks TLS: it answers what it cannot read by closing, so the bytes arrived.
    expect(await tunnel.closed()).not.toBeUndefined();
    webSocket.socket.close();
    await webSocket.closed;
    await webSockets.close();
    now = Date.now;
  });
});
