// WebSockets through the proxy, with the real `ws` at both ends.

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import {
  type ConnectOptions,
  connectWebSocket,
  startWebSocketOrigin,
  type WebSocketOrigin,
  type WebSocketPeer,
} from "../support/websocket-peers.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: WebSocketOrigin;
let secret: MadeSecret;
/** As long as its placeholder. */
let equal: MadeSecret;
let sandbox: MadeSandbox;
const peers: WebSocketPeer[] = [];

beforeAll(async () => {
  keyswap = await startKeyswap({ plainHttpHosts: ["plain.test"] });
  origin = await startWebSocketOrigin({
    pki: keyswap.pki,
    names: [host, "evil.test"],
    server: { perMessageDeflate: true },
  });
  secret = await keyswap.secret('real "value"/100%', [host]);
  equal = await keyswap.secret("e".repeat(36), [host]);
  expect(equal.placeholder).toHaveLength(36);
  sandbox = await keyswap.sandbox([secret, equal]);
  await keyswap.heard();
});

afterEach(() => {
  for (const { socket } of peers.splice(0)) socket.terminate();
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

async function open(options: ConnectOptions = {}, who = sandbox, name = host, at = keyswap) {
  const client = await connectWebSocket(at, who, name, origin.port, options);
  peers.push(client);
  const server = await vi.waitFor(() => origin.last());
  return { client, server };
}

describe("the handshake", () => {
  it("has its placeholders substituted, in fields and in the target, and their echo scrubbed", async () => {
    const own = await keyswap.sandbox([equal]);
    const { client } = await open(
      {
        headers: { "X-Key": equal.placeholder },
        path: `/ws?key=${equal.placeholder}`,
        protocols: ["v1", equal.placeholder],
      },
      own,
    );
    const { request } = origin.seen.at(-1)!;
    expect(request.headers["x-key"]).toBe(equal.value);
    expect(request.url).toBe(`/ws?key=${equal.value}`);
    expect(request.headers["sec-websocket-protocol"]).toBe(`v1,${equal.value}`);
    client.socket.close();
    await client.closed;
    const [event] = await keyswap.exchanges(own);
    expect(event).toMatchObject({ protocol: "websocket", method: "GET", path: "/ws", status: 101, error: undefined });
    expect(event?.substituted).toEqual([
      { secret: equal.name, surface: "query" },
      { secret: equal.name, surface: "header" },
    ]);
  });

  it("agrees on no extension", async () => {
    const { client, server } = await open({ perMessageDeflate: true });
    expect(origin.seen.at(-1)?.request.headers["sec-websocket-extensions"]).toBeUndefined();
    expect(client.socket.extensions).toBe("");
    await client.send("x".repeat(5000));
    expect(await server.nextText()).toBe("x".repeat(5000));
  });
});

describe("a text message", () => {
  it("is substituted as JSON where it begins like that: Discord's identify", async () => {
    const own = await keyswap.sandbox([secret]);
    const { client, server } = await open({}, own);
    await client.send(JSON.stringify({ op: 2, d: { token: secret.placeholder, intents: 513 } }));
    expect(JSON.parse(await server.nextText())).toEqual({ op: 2, d: { token: secret.value, intents: 513 } });
    server.socket.send(`token is ${secret.value}!`);
    expect(await client.nextText()).toBe(`token is ${secret.placeholder}!`);
    server.socket.send(JSON.stringify({ echo: secret.value }));
    expect(JSON.parse(await client.nextText())).toEqual({ echo: secret.placeholder });
    client.socket.close(1000, "bye");
    expect(await server.closed).toEqual({ code: 1000, reason: "bye" });
    const [event] = await keyswap.exchanges(own);
    expect(event).toMatchObject({
      protocol: "websocket",
      substituted: [{ secret: secret.name, surface: "body" }],
      scrubbed: [secret.name],
      notSubstituted: [],
    });
    expect(event!.requestBytes).toBeGreaterThan(60);
    expect(event!.responseBytes).toBeGreaterThan(60);
  });

  it("is substituted as it is where it is no JSON, and behind Socket.IO's prefix", async () => {
    const { client, server } = await open();
    await client.send(`auth ${secret.placeholder}`);
    expect(await server.nextText()).toBe(`auth ${secret.value}`);
    await client.send(`42/admin,["auth",${JSON.stringify(secret.placeholder)}]`);
    expect(await server.nextText()).toBe(`42/admin,["auth",${JSON.stringify(secret.value)}]`);
  });

  it("is substituted and scrubbed across fragments, with control frames between them", async () => {
    const { client, server } = await open();
    const [head, tail] = [secret.placeholder.slice(0, 9), secret.placeholder.slice(9)];
    await client.send(`["${head}`, { fin: false });
    client.socket.ping("between");
    await vi.waitFor(() => expect(server.pings).toEqual(["between"]));
    expect(server.count).toBe(0);
    await client.send(`${tail}"]`, { fin: true });
    expect(JSON.parse(await server.nextText())).toEqual([secret.value]);
    for (const char of `<${secret.value}`) await server.send(char, { fin: false });
    await server.send(">");
    expect(await client.nextText()).toBe(`<${secret.placeholder}>`);
  });

  it("stays as it is, with nothing in it", async () => {
    const { client, server } = await open();
    for (const text of ["", "x", "ünïcödé ☃", '{"a":1}', "y".repeat(70_000)]) {
      await client.send(text);
      expect(await server.next()).toEqual({ data: Buffer.from(text), isBinary: false });
      await server.send(text);
      expect(await client.next()).toEqual({ data: Buffer.from(text), isBinary: false });
    }
  });

  it.each([1, 16])("of %i MiB and more goes through", async (mebibytes) => {
    const { client, server } = await open();
    const filler = "z".repeat(mebibytes * 1024 * 1024);
    await client.send(`["${secret.placeholder}","${filler}","${secret.placeholder}"]`);
    const value = JSON.stringify(secret.value);
    expect((await server.nextText()) === `[${value},"${filler}",${value}]`).toBe(true);
    await server.send(`${secret.value}${filler}${secret.value}`);
    expect((await client.nextText()) === secret.placeholder + filler + secret.placeholder).toBe(true);
  });

  it("with a placeholder that is nobody's goes on as it is", async () => {
    const own = await keyswap.sandbox([secret]);
    const { client, server } = await open({}, own);
    const unknown = `dtn_secret_${"0".repeat(25)}`;
    await client.send(unknown);
    expect(await server.nextText()).toBe(unknown);
    client.socket.close();
    const [event] = await keyswap.exchanges(own);
    expect(event?.notSubstituted).toEqual([{ surface: "body", reason: "unknown-placeholder" }]);
  });
});

describe("a binary message", () => {
  it("is rewritten where the lengths are equal, both ways, and else left alone", async () => {
    const own = await keyswap.sandbox([secret, equal]);
    const { client, server } = await open({}, own);
    const sent = Buffer.concat([Buffer.of(0, 255, 36), Buffer.from(`${equal.placeholder}|${secret.placeholder}`)]);
    await client.send(sent);
    const expected = Buffer.concat([Buffer.of(0, 255, 36), Buffer.from(`${equal.value}|${secret.placeholder}`)]);
    expect(await server.next()).toEqual({ data: expected, isBinary: true });
    await server.send(Buffer.from(`\0${equal.value}\0${secret.value}\0`));
    const echoed = await client.next();
    expect(echoed.isBinary).toBe(true);
    expect(echoed.data).toHaveLength(36 + secret.value.length + 3);
    expect(echoed.data.toString()).toContain(equal.placeholder);
    expect(echoed.data.toString()).not.toContain(secret.value);
    client.socket.close();
    const [event] = await keyswap.exchanges(own);
    expect(event?.notSubstituted).toEqual([{ secret: secret.name, surface: "body", reason: "length-differs" }]);
  });
});

describe("the order of things", () => {
  it("is kept over 10,000 messages each way at once", async () => {
    const { client, server } = await open();
    const count = 10_000;
    for (let index = 0; index < count; index++) {
      client.socket.send(`${index} ${index % 100 === 0 ? secret.placeholder : ""}`);
      server.socket.send(`${index} ${index % 100 === 0 ? secret.value : ""}`);
    }
    for (let index = 0; index < count; index++) {
      const isMarked = index % 100 === 0;
      if ((await server.nextText()) !== `${index} ${isMarked ? secret.value : ""}`) throw new Error(`server ${index}`);
      if ((await client.nextText()) !== `${index} ${isMarked ? secret.placeholder : ""}`)
        throw new Error(`client ${index}`);
    }
  });

  it("a side that does not read holds the other back", async () => {
    const { client, server } = await open();
    server.socket.pause();
    const chunk = Buffer.alloc(1024 * 1024);
    for (let sent = 0; sent < 32; sent++) client.socket.send(chunk);
    // What has left the client is what sockets and one message hold, not all of it.
    let before = Number.POSITIVE_INFINITY;
    await vi.waitFor(
      () => {
        const held = client.socket.bufferedAmount;
        const isSettled = held === before;
        before = held;
        if (!isSettled) throw new Error("still moving");
      },
      { timeout: 20_000, interval: 100 },
    );
    expect(before).toBeGreaterThan(8 * chunk.length);
    server.socket.resume();
    for (let got = 0; got < 32; got++) expect((await server.next()).data).toHaveLength(chunk.length);
  });
});

describe("control frames", () => {
  it("pings and pongs pass with their payload", async () => {
    const { client, server } = await open();
    client.socket.ping("from the client");
    server.socket.ping("from the server");
    await vi.waitFor(() => {
      expect(server.pings).toEqual(["from the client"]);
      expect(client.pongs).toEqual(["from the client"]);
      expect(client.pings).toEqual(["from the server"]);
      expect(server.pongs).toEqual(["from the server"]);
    });
  });

  it.each([1000, 1001, 1011, 3000, 4999])("close code %i passes both ways", async (code) => {
    const own = await keyswap.sandbox([secret]);
    const one = await open({}, own);
    one.client.socket.close(code, "ünd");
    expect(await one.server.closed).toEqual({ code, reason: Buffer.from("ünd").toString("latin1") });
    expect((await one.client.closed).code).toBe(code);
    const two = await open({}, own);
    two.server.socket.close(code, "because");
    expect(await two.client.closed).toEqual({ code, reason: "because" });
    expect((await two.server.closed).code).toBe(code);
    const events = await keyswap.exchanges(own, 2);
    expect(events.map(({ error }) => error)).toEqual([undefined, undefined]);
  });

  it("a close without a code stays one", async () => {
    const { client, server } = await open();
    client.socket.close();
    expect((await server.closed).code).toBe(1005);
    expect((await client.closed).code).toBe(1005);
  });

  it("a value in a close reason is masked at its length", async () => {
    const { client, server } = await open();
    server.socket.close(4004, `bad token ${equal.value}.`);
    expect(await client.closed).toEqual({ code: 4004, reason: `bad token ${equal.placeholder}.` });
  });
});

describe("another host", () => {
  it("gets the placeholder, though its connection is opened up for another secret", async () => {
    const evil = await keyswap.secret("harmless-value", ["evil.test"]);
    const own = await keyswap.sandbox([secret, evil]);
    const { client, server } = await open({ headers: { "X-Key": secret.placeholder } }, own, "evil.test");
    expect(origin.seen.at(-1)?.request.headers["x-key"]).toBe(secret.placeholder);
    await client.send(`["${secret.placeholder}","${evil.placeholder}"]`);
    expect(await server.nextText()).toBe(`["${secret.placeholder}","${evil.value}"]`);
    client.socket.close();
    const [event] = await keyswap.exchanges(own);
    expect(event?.notSubstituted).toContainEqual({ secret: secret.name, surface: "body", reason: "host-not-allowed" });
  });

  it("closes it with 1008 where violations are blocked", async () => {
    const evil = await keyswap.secret("harmless-value", ["evil.test"]);
    const own = await keyswap.sandbox([secret, evil], { onViolation: "block" });
    const { client, server } = await open({}, own, "evil.test");
    await client.send("first");
    expect(await server.nextText()).toBe("first");
    await client.send(`["${secret.placeholder}"]`);
    expect(await client.closed).toEqual({ code: 1008, reason: "keyswap: violation-blocked: host-not-allowed" });
    expect((await server.closed).code).toBe(1001);
    expect(server.count).toBe(1);
    const [event] = await keyswap.exchanges(own);
    expect(event).toMatchObject({ error: "violation-blocked", status: 101, protocol: "websocket" });
  });

  it("without TLS gets the value where the operator lists it", async () => {
    const plain = await startWebSocketOrigin({});
    const listed = await keyswap.secret("for-plain-http", ["plain.test"]);
    const own = await keyswap.sandbox([listed]);
    const client = await connectWebSocket(keyswap, own, "plain.test", plain.port, { isPlain: true });
    peers.push(client);
    await client.send(`key ${listed.placeholder}`);
    expect(await plain.last().nextText()).toBe(`key ${listed.value}`);
    client.socket.terminate();
    await plain.close();
  });
});

describe("an end without a closing handshake", () => {
  it("of the client ends the destination's side", async () => {
    const own = await keyswap.sandbox([secret]);
    const { client, server } = await open({}, own);
    client.socket.terminate();
    expect((await server.closed).code).toBe(1006);
    const [event] = await keyswap.exchanges(own);
    expect(event).toMatchObject({ status: 101, error: "client-closed" });
  });

  it("of the destination ends the client's side", async () => {
    const own = await keyswap.sandbox([secret]);
    const { client, server } = await open({}, own);
    await server.send("the last word");
    server.socket.terminate();
    expect(await client.nextText()).toBe("the last word");
    expect((await client.closed).code).toBe(1006);
    const [event] = await keyswap.exchanges(own);
    expect(event).toMatchObject({ status: 101, error: "upstream-closed" });
  });

  it("leaves nothing open", async () => {
    await vi.waitFor(() => expect(origin.sockets.size).toBe(0), { timeout: 5000 });
    await keyswap.settled();
  });
});

describe("grants that change meanwhile", () => {
  it("a placeholder that is mounted later is looked up, in the middle of a message too", async () => {
    const late = await keyswap.secret("mounted-later", [host]);
    const own = await keyswap.sandbox([secret]);
    const { client, server } = await open({}, own);
    await client.send(`one ${late.placeholder}`);
    expect(await server.nextText()).toBe(`one ${late.placeholder}`);
    await keyswap.mount(own, [secret, late]);
    await keyswap.heard();
    await client.send(`two ${late.placeholder}`);
    expect(await server.nextText()).toBe(`two ${late.value}`);
    await server.send(late.value);
    expect(await client.nextText()).toBe(late.placeholder);
  });

  it("a value that was revoked is never sent after the change was heard, and is still scrubbed", async () => {
    const gone = await keyswap.secret("about to be revoked", [host]);
    const own = await keyswap.sandbox([secret, gone]);
    const { client, server } = await open({}, own);
    await client.send(`a ${gone.placeholder}`);
    expect(await server.nextText()).toBe(`a ${gone.value}`);
    // Fragments that came before the change go out after it.
    await client.send(`b ${gone.placeholder}`, { fin: false });
    client.socket.ping();
    await vi.waitFor(() => expect(client.pongs).toHaveLength(1));
    await keyswap.deleteSecret(gone);
    await keyswap.heard();
    await client.send(".", { fin: true });
    expect(await server.nextText()).toBe(`b ${gone.placeholder}.`);
    await server.send(`c ${gone.value}`);
    expect(await client.nextText()).toBe(`c ${gone.placeholder}`);
  });

  it("a rotated value replaces the one before, and both are scrubbed", async () => {
    const turned = await keyswap.secret("the value before", [host]);
    const own = await keyswap.sandbox([turned]);
    const { client, server } = await open({}, own);
    await client.send(turned.placeholder);
    expect(await server.nextText()).toBe("the value before");
    await keyswap.rotate(turned, "the value after it");
    await keyswap.heard();
    await client.send(turned.placeholder);
    expect(await server.nextText()).toBe("the value after it");
    await server.send("the value before, the value after it");
    expect(await client.nextText()).toBe(`${turned.placeholder}, ${turned.placeholder}`);
  });

  it("a sandbox that was deleted is closed with 1008", async () => {
    const own = await keyswap.sandbox([secret]);
    const { client, server } = await open({}, own);
    await keyswap.deleteSandbox(own);
    await keyswap.heard();
    await client.send(secret.placeholder);
    expect((await client.closed).code).toBe(1008);
    await server.closed;
    expect(server.count).toBe(0);
  });

  it("where nothing is pushed, a message waits for the lookup of what nobody knows yet", async () => {
    const polled = await startKeyswap({ isPushed: false, pki: keyswap.pki });
    try {
      const [first, late] = [
        await polled.secret("first-value-1", [host]),
        await polled.secret("late-value-22", [host]),
      ];
      const own = await polled.sandbox([first]);
      const { client, server } = await open({}, own, host, polled);
      await client.send(first.placeholder);
      expect(await server.nextText()).toBe(first.value);
      await polled.mount(own, [first, late]);
      // One long message, so that it is looked up in the middle of a stream.
      const filler = "f".repeat(1_500_000);
      await client.send(`${filler}${late.placeholder} ${first.placeholder}`);
      await client.send("behind it");
      expect((await server.nextText()) === `${filler}${late.value} ${first.value}`).toBe(true);
      expect(await server.nextText()).toBe("behind it");
      client.socket.close();
      await client.closed;
    } finally {
      await polled.close();
    }
  });
});

describe("a shutdown", () => {
  it("closes both sides with 1001", async () => {
    const own = await startKeyswap({ pki: keyswap.pki });
    const [held] = [await own.secret("some-value-1", [host])];
    const who = await own.sandbox([held]);
    await own.heard();
    const { client, server } = await open({}, who, host, own);
    await client.send(held.placeholder);
    expect(await server.nextText()).toBe(held.value);
    const closing = own.proxy.close(10_000);
    expect(await client.closed).toEqual({ code: 1001, reason: "keyswap: shutting-down" });
    expect((await server.closed).code).toBe(1001);
    await closing;
    expect(own.audit).toMatchObject([{ protocol: "websocket", error: "shutting-down", status: 101 }]);
    await own.close();
  });
});
