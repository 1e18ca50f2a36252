// Load balancers that tell the client's address by the PROXY protocol.

import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { parseCidr } from "../../src/core/authority/ip.ts";
import { type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { dial, errorOf, type WireClient } from "../support/wire-client.ts";

const cidr = (text: string) => [parseCidr(text) ?? []].flat();
let balanced: TestKeyswap;
let plain: Origin;
let secret: MadeSecret;
const clients: WireClient[] = [];

beforeAll(async () => {
  plain = await startOrigin({});
  balanced = await startKeyswap({
    plainHttpHosts: ["plain.test"],
    upstreamPorts: { 80: plain.port },
    options: { httpListen: { host: "127.0.0.1", port: 0 }, proxyProtocolFrom: cidr("127.0.0.1/32") },
  });
  secret = await balanced.secret("the real value", ["plain.test"]);
  await balanced.sandbox([secret], { sources: ["192.0.2.7/32"] });
  await balanced.heard();
});

beforeEach(() => {
  plain.seen.length = 0;
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await balanced.close();
  await plain.close();
  expect(balanced.errors).toEqual([]);
});

async function send(header: string | Buffer): Promise<WireClient> {
  const client = await dial(Number(balanced.addresses.http?.split(":")[1]));
  clients.push(client);
  client.send(header);
  client.send(`GET / HTTP/1.1\r\nHost: plain.test\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
  return client;
}

const version2 = (source: string): Buffer =>
  Buffer.concat([
    Buffer.from("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "latin1"),
    Buffer.of(...source.split(".").map(Number), 10, 0, 0, 1, 0x10, 0, 0, 80),
  ]);

it.each([
  ["version 1", "PROXY TCP4 192.0.2.7 10.0.0.1 4096 80\r\n"],
  ["version 2", version2("192.0.2.7")],
])("%s names the sandbox's address", async (_name, header) => {
  const client = await send(header);
  expect((await client.read()).status).toBe(200);
  expect(plain.last().headers["x-key"]).toBe("the real value");
});

it("another address is another caller", async () => {
  const client = await send("PROXY TCP4 192.0.2.8 10.0.0.1 4096 80\r\n");
  expect(errorOf(await client.read())).toBe("source-unknown");
  expect(balanced.audit.at(-1)).toMatchObject({ error: "source-unknown", detail: "192.0.2.8" });
});

it("a header byte by byte is the same header", async () => {
  const client = await dial(Number(balanced.addresses.http?.split(":")[1]));
  clients.push(client);
  for (const byte of version2("192.0.2.7")) {
    client.send(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  client.send(`GET / HTTP/1.1\r\nHost: plain.test\r\n\r\n`);
  expect((await client.read()).status).toBe(200);
});

it("a balancer without a header gets nothing", async () => {
  const client = await send("");
  expect(await client.closed()).toBe("");
  expect(plain.seen).toEqual([]);
  expect(balanced.audit.at(-1)).toMatchObject({ type: "refusal", error: "bad-request" });
});

it("whoever is no balancer cannot claim an address", async () => {
  const open = await startKeyswap({ options: { httpListen: { host: "127.0.0.1", port: 0 } } });
  try {
    await open.sandbox([], { sources: ["192.0.2.7/32", "127.0.0.1/32"] });
    await open.heard();
    const client = await dial(Number(open.addresses.http?.split(":")[1]));
    clients.push(client);
    client.send("PROXY TCP4 192.0.2.7 10.0.0.1 4096 80\r\n\r\n");
    expect((await client.read()).status).toBe(400);
  } finally {
    await open.close();
  }
});

it("the proxy port takes the header too", async () => {
  const client = await dial(balanced.port);
  clients.push(client);
  client.send("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
  expect(errorOf(await client.read())).toBe("bad-target");
});
