// What one sandbox, or a stranger, may take: each bound, and that others are not touched by it.

import { randomBytes } from "node:crypto";
import { constants as zlib, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ProxyLimits } from "../../src/proxy/options.ts";
import { hello, serverName } from "../support/client-hello.ts";
import { connectHttp2, exchange as exchangeHttp2 } from "../support/http2-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawConnection, type RawOrigin, type RawRequest, startRawOrigin } from "../support/raw-origin.ts";
import {
  askConnect,
  connectThrough,
  dial,
  errorOf,
  fieldValue,
  type WireAnswer,
  type WireClient,
} from "../support/wire-client.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: RawOrigin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let serve: (connection: RawConnection) => Promise<void>;
const clients: WireClient[] = [];

async function start(limits: Partial<ProxyLimits>): Promise<void> {
  keyswap = await startKeyswap({ limits, plainHttpHosts: ["plain.test"] });
  origin = await startRawOrigin({ pki: keyswap.pki, names: [host] }, (connection) => serve(connection));
  secret = await keyswap.secret("the real value of the secret", [host, "other.good.test"]);
  sandbox = await keyswap.sandbox([secret]);
}

function kept(client: WireClient): WireClient {
  clients.push(client);
  return client;
}

async function ask(target: string, who: Pick<MadeSandbox, "credentials">): Promise<[number, string | undefined]> {
  const { answer, client } = await askConnect(keyswap, target, who.credentials);
  kept(client);
  return [answer.status, fieldValue(answer, "keyswap-error")];
}

beforeEach(() => {
  serve = async ({ wire, readRequest }) => {
    for (let count = 0; count < 100; count++) {
      await readRequest();
      wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await keyswap.settled();
  expect(keyswap.proxy.counts).toMatchObject({ sockets: 0, clients: 0, tunnels: 0 });
  expect(keyswap.proxy.connectionCounts(9)).toEqual({ bySandbox: {}, others: 0 });
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

it("a sandbox at its bound of connections gets 429, others go on, and a closed one makes room", async () => {
  await start({ maxSandboxConnections: 2 });
  const other = await keyswap.sandbox([secret]);
  const target = `${host}:${origin.port}`;
  expect(keyswap.proxy.connectionCounts(9)).toEqual({ bySandbox: {}, others: 0 });
  expect(await ask(target, sandbox)).toEqual([200, undefined]);
  expect(await ask(target, sandbox)).toEqual([200, undefined]);
  expect(await ask(target, sandbox)).toEqual([429, "sandbox-overloaded"]);
  expect(await ask(target, other)).toEqual([200, undefined]);
  const told = { bySandbox: { [sandbox.id]: 2, [other.id]: 1 }, others: 0 };
  expect(keyswap.proxy.connectionCounts(2)).toEqual(told);
  expect(keyswap.proxy.connectionCounts(1)).toEqual({ bySandbox: { [sandbox.id]: 2 }, others: 1 });
  clients[0]?.close();
  await vi.waitFor(async () => expect(await ask(target, sandbox)).toEqual([200, undefined]));
});

it("requests on the proxy port take a place while they run", async () => {
  await start({ maxSandboxConnections: 1 });
  const held = Promise.withResolvers<void>();
  const plain = await startRawOrigin({}, async ({ wire, readRequest }) => {
    for (let count = 0; count < 10; count++) {
      await readRequest();
      await held.promise;
      wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  const send = async (): Promise<WireClient> => {
    const client = kept(await dial(keyswap.port));
    client.send(
      `GET http://plain.test:${plain.port}/ HTTP/1.1\r\nHost: plain.test:${plain.port}\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`,
    );
    return client;
  };
  const first = await send();
  await vi.waitFor(() => expect(plain.connections).toHaveLength(1));
  const refused = await (await send()).read();
  expect([refused.status, errorOf(refused), fieldValue(refused, "retry-after")]).toEqual([
    429,
    "sandbox-overloaded",
    "1",
  ]);
  held.resolve();
  expect((await first.read()).status).toBe(200);
  expect((await (await send()).read()).status).toBe(200);
  await plain.close();
});

it("connections to destinations that are kept go before a sandbox has more than its bound", async () => {
  await start({ maxSandboxConnections: 3 });
  const plain = await startRawOrigin({}, async ({ wire, readRequest }) => {
    for (let count = 0; count < 10; count++) {
      await readRequest();
      wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  const client = kept(await dial(keyswap.port));
  const visit = async (name: string, who: MadeSandbox): Promise<number> => {
    const proof = `Proxy-Authorization: ${who.credentials}`;
    client.send(`GET http://${name}:${plain.port}/ HTTP/1.1\r\nHost: ${name}:${plain.port}\r\n${proof}\r\n\r\n`);
    return (await client.read()).status;
  };
  const other = await keyswap.sandbox([secret]);
  expect(await visit("plain.test", other)).toBe(200);
  for (const name of ["plain.test", "rare.test", "evil.test", "denied.test", "tunnelled.test", "plain.test"]) {
    expect(await visit(name, sandbox)).toBe(200);
  }
  await vi.waitFor(() => expect(keyswap.proxy.poolCounts).toMatchObject({ open: 4, idle: 4 }));
  // The other sandbox's is still there, and so are the youngest of this one.
  const { dialled } = keyswap.proxy.poolCounts;
  expect([await visit("plain.test", other), await visit("tunnelled.test", sandbox)]).toEqual([200, 200]);
  expect(keyswap.proxy.poolCounts.dialled).toBe(dialled);
  await plain.close();
});

it("streams that each need a connection to the destination get 429 beyond the bound, others go on", async () => {
  await start({ maxSandboxConnections: 3 });
  const answer = Promise.withResolvers<void>();
  serve = async ({ wire, readRequest }) => {
    for (let count = 0; count < 10; count++) {
      await readRequest();
      await wire.readExactly(1);
      await answer.promise;
      wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
  const session = await connectHttp2(keyswap, sandbox, host, origin.port);
  const post = { method: "POST", body: "x", fields: [["content-length", "1"]] } as const;
  const taken = [exchangeHttp2(session, post), exchangeHttp2(session, post), exchangeHttp2(session, post)];
  await vi.waitFor(() => expect(origin.connections).toHaveLength(3));
  const refused = await exchangeHttp2(session, post);
  expect([refused.status, JSON.parse(refused.body.toString()).error]).toEqual([429, "sandbox-overloaded"]);
  const other = await keyswap.sandbox([secret]);
  const neighbour = await connectHttp2(keyswap, other, host, origin.port);
  taken.push(exchangeHttp2(neighbour, post));
  await vi.waitFor(() => expect(origin.connections).toHaveLength(4));
  answer.resolve();
  expect((await Promise.all(taken)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  expect((await exchangeHttp2(session, post)).status).toBe(200);
  session.destroy();
  neighbour.destroy();
});

it("a crowd that says nothing pushes out its oldest, never a sandbox", async () => {
  await start({ maxNewcomers: 5 });
  const client = kept(await connectThrough(keyswap, sandbox, host, origin.port));
  const crowd: WireClient[] = [];
  for (let count = 0; count < 12; count++) crowd.push(kept(await dial(keyswap.port)));
  await vi.waitFor(() => expect(crowd.filter(({ isEnded }) => isEnded)).toHaveLength(7));
  expect(crowd.slice(0, 7).every(({ isEnded }) => isEnded)).toBe(true);
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  expect((await client.read()).status).toBe(200);
});

it("wrong credentials get 407, and beyond the bound 429; the right ones pass from the same address", async () => {
  await start({ maxFailedLogins: 3 });
  const wrong = { credentials: `Basic ${Buffer.from(`${sandbox.id}:wrong`).toString("base64")}` };
  const target = `${host}:${origin.port}`;
  // Known to the proxy from here on.
  expect((await ask(target, sandbox))[0]).toBe(200);
  const errors: (string | undefined)[] = [];
  for (let count = 0; count < 5; count++) errors.push((await ask(target, wrong))[1]);
  expect(errors.slice(0, 3)).toEqual(Array(3).fill("proxy-auth-required"));
  expect(errors[4]).toBe("too-many-logins");
  expect((await ask(target, sandbox))[0]).toBe(200);
  // Nobody is looked up any more for this address.
  const stranger = { credentials: `Basic ${Buffer.from("nobody-knows-it:wrong").toString("base64")}` };
  expect(await ask(target, stranger)).toEqual([429, "too-many-logins"]);
});

it("a sandbox may have so many certificates made, and hosts that have one do not count", async () => {
  await start({ maxMints: 1 });
  const first = kept(await connectThrough(keyswap, sandbox, host, origin.port));
  first.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  expect((await first.read()).status).toBe(200);
  await expect(connectThrough(keyswap, sandbox, "other.good.test", origin.port)).rejects.toThrow();
  kept(await connectThrough(keyswap, sandbox, host, origin.port));
  const other = await keyswap.sandbox([secret]);
  kept(await connectThrough(keyswap, other, "other.good.test", origin.port));
});

it.each([
  ["a CONNECT", (sent: WireClient) => sent.send(connectText(`${host}:1`, "Basic eDp5"))],
  [
    "a CONNECT to where nobody listens",
    (sent: WireClient) => sent.send(connectText("evil.test:1", sandbox.credentials)),
  ],
  ["TLS to the proxy by a name that is none", (sent: WireClient) => sent.send(hello(serverName("bad name")))],
])("%s that is refused is closed, though its client stays", async (_what, send) => {
  await start({});
  const client = kept(await dial(keyswap.port, { allowHalfOpen: true }));
  send(client);
  await client.readToEnd();
  await vi.waitFor(() => expect(keyswap.proxy.counts).toMatchObject({ sockets: 0 }), { timeout: 10_000 });
  expect(client.socket.destroyed).toBe(false);
});

function connectText(target: string, credentials: string): string {
  return `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: ${credentials}\r\n\r\n`;
}

it("bodies beyond what may be held in all are streamed, and come through right", async () => {
  await start({ maxHeldBytes: 10 });
  const bodies: string[] = [];
  serve = async ({ wire, readRequest }) => {
    const { fields } = await readRequest();
    const isChunked = fieldValue({ fields }, "transfer-encoding") === "chunked";
    const length = Number(fieldValue({ fields }, "content-length") ?? 0);
    const parts: Buffer[] = [];
    if (isChunked)
      for (let chunk = await wire.readChunk(); chunk !== undefined; ) {
        parts.push(chunk);
        chunk = await wire.readChunk();
      }
    else parts.push(await wire.readExactly(length));
    const body = Buffer.concat(parts).toString();
    bodies.push(body);
    wire.send(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  };
  const client = kept(await connectThrough(keyswap, sandbox, host, origin.port));
  const body = JSON.stringify({ key: secret.placeholder });
  client.send(
    `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const answer = await client.read();
  expect(bodies).toEqual([body.replace(secret.placeholder, secret.value)]);
  expect(answer.body.toString()).not.toContain(secret.value);
});

describe("a body that is held and comes to far more than it was", () => {
  /** Repeats that the window of a fast encoder does not reach: coded anew it is as long as it is plain. */
  const fill = Buffer.alloc(7_000_000, randomBytes(700_000));
  const coded = (text: string): Buffer => {
    const params = { [zlib.ZSTD_c_windowLog]: 21, [zlib.ZSTD_c_enableLongDistanceMatching]: 1 };
    return zstdCompressSync(Buffer.concat([Buffer.from(text), fill]), { params });
  };
  let seen: { readonly fields: RawRequest["fields"]; readonly body: Buffer };

  /** Sends a body; the origin's answer is its own kind of that. */
  async function send(fields: string, body: Buffer): Promise<WireAnswer> {
    serve = async ({ wire, readRequest }) => {
      const head = { ...(await readRequest()), version: "", status: 200, reason: "" };
      const answer = coded(secret.value);
      seen = await wire.readBody(head, "POST");
      wire.send(
        `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: zstd\r\nContent-Length: ${answer.length}\r\n\r\n`,
      );
      wire.send(answer);
    };
    const client = kept(await connectThrough(keyswap, sandbox, host, origin.port));
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\n${fields}Content-Length: ${body.length}\r\n\r\n`,
    );
    client.send(body);
    return client.read();
  }

  it("goes on as a stream, both ways", async () => {
    await start({});
    const body = coded(secret.placeholder);
    expect(body.length).toBeLessThan(1024 * 1024);
    const answer = await send("Content-Encoding: zstd\r\n", body);
    for (const [message, text] of [
      [seen, secret.value],
      [answer, secret.placeholder],
    ] as const) {
      expect(fieldValue(message, "transfer-encoding")).toBe("chunked");
      expect(fieldValue(message, "content-length")).toBeUndefined();
      expect(zstdDecompressSync(message.body).equals(Buffer.concat([Buffer.from(text), fill]))).toBe(true);
    }
  });

  it("without a coding, too", async () => {
    await start({});
    const long = await keyswap.secret("v".repeat(10_000), [host]);
    sandbox = await keyswap.sandbox([secret, long]);
    await send("", Buffer.from(long.placeholder.repeat(500)));
    expect(fieldValue(seen, "transfer-encoding")).toBe("chunked");
    expect(seen.body.toString() === long.value.repeat(500)).toBe(true);
  });

  it("is refused where its digest has to be known first, and passes as it came where it is signed", async () => {
    await start({});
    const body = coded(secret.placeholder);
    const field = "Content-Encoding: zstd\r\n";
    const refused = await send(`${field}Content-Digest: sha-256=:${"A".repeat(43)}=:\r\n`, body);
    expect([refused.status, errorOf(refused)]).toEqual([413, "body-too-large"]);
    expect((await send(`${field}X-Hub-Signature-256: sha256=00\r\n`, body)).status).toBe(200);
    expect(seen.body.equals(body)).toBe(true);
  });
});

it("an upload that stops coming gets 408, and nothing is left of it", async () => {
  await start({ bodyTimeoutMs: 300 });
  serve = async ({ wire }) => void (await wire.closed());
  const client = kept(await connectThrough(keyswap, sandbox, host, origin.port));
  client.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nhalf`);
  const answer = await client.read();
  expect([answer.status, errorOf(answer)]).toEqual([408, "request-timeout"]);
  await client.closed();
  expect((await keyswap.exchanges(sandbox))[0]).toMatchObject({ error: "request-timeout" });
});

it("an upload that goes on slowly is not cut off", async () => {
  await start({ bodyTimeoutMs: 1500 });
  serve = async ({ wire, readRequest }) => {
    await readRequest();
    const body = await wire.readExactly(8);
    wire.send(`HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n${body}`);
  };
  const client = kept(await connectThrough(keyswap, sandbox, host, origin.port));
  client.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: image/png\r\nContent-Length: 8\r\n\r\n`);
  for (const letter of "slowpoke") {
    await new Promise((resolve) => setTimeout(resolve, 300));
    client.send(letter);
  }
  expect((await client.read()).body.toString()).toBe("slowpoke");
});

it("a client that is still taking its answer is not idle", async () => {
  await start({ idleTimeoutMs: 400 });
  const size = 12 * 1024 * 1024;
  serve = async ({ wire, readRequest }) => {
    await readRequest();
    await wire.sendAll(`HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: ${size}\r\n\r\n`);
    await wire.sendAll(Buffer.alloc(size));
  };
  const client = kept(await connectThrough(keyswap, sandbox, host, origin.port));
  const { socket } = client;
  socket.removeAllListeners("data");
  socket.pause();
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  let taken = 0;
  /** Takes a little: what is between the two is full all the time. */
  const take = async (bytes: number): Promise<void> => {
    for (const goal = taken + bytes; taken < goal; ) {
      const part = socket.read(Math.min(socket.readableLength, goal - taken)) as Buffer | null;
      if (part !== null) taken += part.length;
      else if (socket.readableEnded || socket.destroyed) throw new Error(`cut off at ${taken}`);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  };
  // All of it is with the proxy, and not yet with the client.
  while (keyswap.audit.every(({ type }) => type !== "exchange")) await take(64 * 1024);
  expect(taken).toBeLessThan(size);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  await take(size - 2 * 1024 - taken);
});

it("a client that takes nothing of its answer is dropped, with its upstream connection", async () => {
  await start({ stallTimeoutMs: 300 });
  const upstreamGone = Promise.withResolvers<void>();
  serve = async ({ wire, readRequest, socket }) => {
    await readRequest();
    socket.once("close", () => upstreamGone.resolve());
    wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000000\r\n\r\n");
    const part = Buffer.alloc(65_536);
    for (let count = 0; count < 10_000 && !wire.isEnded; count++) await wire.sendAll(part);
  };
  const client = kept(await connectThrough(keyswap, sandbox, host, origin.port));
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  client.socket.pause();
  await upstreamGone.promise;
  expect((await keyswap.exchanges(sandbox))[0]).toMatchObject({ error: "client-stalled" });
});
