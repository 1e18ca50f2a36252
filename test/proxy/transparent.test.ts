// Redirected connections: who calls is known by the source address, where to by the ClientHello or by Host.

import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { hello, helloBody, inRecords, serverName as named } from "../support/client-hello.ts";
import { curl } from "../support/curl.ts";
import {
  egressPattern,
  type KeyswapSetup,
  type MadeSandbox,
  type MadeSecret,
  startKeyswap,
  type TestKeyswap,
} from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki } from "../support/pki.ts";
import { dial, errorOf, fieldValue, secure, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
const anyPort = { host: "127.0.0.1", port: 0 };
let keyswap: TestKeyswap;
let origin: Origin;
let plain: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
const clients: WireClient[] = [];

function portOf(address: string | undefined): number {
  return Number(address?.split(":").at(-1));
}

/** Upstream's 443 and 80 are the origins' ports. */
async function startGateway(setup: KeyswapSetup = {}): Promise<TestKeyswap> {
  return startKeyswap({
    plainHttpHosts: ["plain.test"],
    ...setup,
    upstreamPorts: { 443: origin.port, 80: plain.port },
    options: {
      tlsListen: anyPort,
      httpListen: anyPort,
      egress: { allow: [], deny: [egressPattern("denied.test")] },
      ...setup.options,
    },
  });
}

beforeAll(async () => {
  const pki = makePki();
  plain = await startOrigin({});
  origin = await startOrigin({
    pki,
    names: [host, "evil.test"],
    handler: (_request, response) => {
      const fields = { "content-type": "application/json", "alt-svc": 'h3=":443"; ma=86400' };
      response.writeHead(200, fields).end('{"ok":true}');
    },
  });
  keyswap = await startGateway({ pki });
  secret = await keyswap.secret("the real value", [host, "plain.test"]);
});

beforeEach(async () => {
  origin.seen.length = 0;
  plain.seen.length = 0;
  sandbox = await keyswap.sandbox([secret], { sources: ["127.0.0.1/32"] });
  await keyswap.heard();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await keyswap.deleteSandbox(sandbox);
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  await plain.close();
  expect(keyswap.errors).toEqual([]);
});

async function toTls(at = keyswap): Promise<WireClient> {
  const client = await dial(portOf(at.addresses.tls), { allowHalfOpen: true });
  clients.push(client);
  return client;
}

async function toHttp(at = keyswap): Promise<WireClient> {
  const client = await dial(portOf(at.addresses.http));
  clients.push(client);
  return client;
}

async function get(client: WireClient, name: string, more = "") {
  client.send(`GET / HTTP/1.1\r\nHost: ${name}\r\nX-Key: ${secret.placeholder}\r\n${more}\r\n`);
  return client.read();
}

function refusals(at = keyswap) {
  return at.audit.filter((event) => event.type === "refusal");
}

describe("TLS", () => {
  it("substitutes for the name in the ClientHello", async () => {
    const inside = await secure(await toTls(), { ca: keyswap.caPem, serverName: host });
    expect((await get(inside, host)).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe("the real value");
    const [exchange] = await keyswap.exchanges(sandbox);
    expect(exchange).toMatchObject({ way: "tls", authority: `${host}:443` });
  });

  it("does not tell the client of QUIC", async () => {
    const inside = await secure(await toTls(), { ca: keyswap.caPem, serverName: host });
    const answer = await get(inside, host);
    expect(answer.status).toBe(200);
    expect(fieldValue(answer, "alt-svc")).toBeUndefined();
  });

  it("answers 421 to another Host, and to another port", async () => {
    const inside = await secure(await toTls(), { ca: keyswap.caPem, serverName: host });
    expect((await get(inside, "evil.test")).status).toBe(421);
    const other = await secure(await toTls(), { ca: keyswap.caPem, serverName: host });
    expect((await get(other, `${host}:8443`)).status).toBe(421);
    expect(origin.seen).toEqual([]);
  });

  it("relays a host that is not granted blind", async () => {
    const inside = await secure(await toTls(), { ca: keyswap.pki.caPem, serverName: "evil.test" });
    expect((await get(inside, "evil.test")).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(secret.placeholder);
    inside.close();
    await vi.waitFor(() => {
      expect(keyswap.audit).toContainEqual(
        expect.objectContaining({ type: "tunnel", way: "tls", sandbox: sandbox.id, authority: "evil.test:443" }),
      );
    });
  });

  it("refuses a ClientHello without a name", async () => {
    const before = refusals().length;
    const way = await toTls();
    way.socket.removeAllListeners("data");
    const failed = new Promise<Error>((resolve) => {
      connectTls({ socket: way.socket, ca: keyswap.caPem }).on("error", resolve);
    });
    expect((await failed).message).toMatch(/unrecognized.name/i);
    expect(refusals().slice(before)).toMatchObject([{ error: "authority-mismatch", detail: "no SNI" }]);
  });

  it.each([
    ["an address", "127.0.0.1"],
    ["no name at all", "a..b"],
  ])("refuses %s for a name", async (_name, serverName) => {
    const minted = keyswap.leaves.minted;
    const way = await toTls();
    way.send(hello(named(serverName)));
    expect(Buffer.from(await way.closed(), "latin1").toString("hex")).toBe("15030300020270");
    expect(keyswap.leaves.minted).toBe(minted);
  });

  it("reads a ClientHello byte by byte and over many records", async () => {
    const before = refusals().length;
    const way = await toTls();
    for (const byte of inRecords(helloBody([named("denied.test")]), { recordBytes: 7 })) {
      way.send(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    expect(Buffer.from(await way.closed(), "latin1").toString("hex")).toBe("15030300020231");
    expect(refusals().slice(before)).toMatchObject([{ error: "egress-denied", authority: "denied.test:443" }]);
  });

  it("refuses what is not TLS", async () => {
    const way = await toTls();
    way.send("GET / HTTP/1.1\r\nHost: plain.test\r\n\r\n");
    expect(await way.closed()).toBe("");
    expect(plain.seen).toEqual([]);
  });
});

describe("plain HTTP", () => {
  it("goes where each Host says", async () => {
    const client = await toHttp();
    expect((await get(client, "plain.test")).status).toBe(200);
    expect(plain.last().headers["x-key"]).toBe("the real value");
    expect((await get(client, "evil.test")).status).toBe(200);
    expect(plain.last().headers["x-key"]).toBe(secret.placeholder);
    expect((await get(client, "denied.test")).status).toBe(403);
    const ways = (await keyswap.exchanges(sandbox, 3)).map(({ way, authority }) => `${way} ${authority}`);
    expect(ways).toEqual(["http plain.test:80", "http evil.test:80", "http denied.test:80"]);
  });

  it.each([
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["no Host, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 400],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: plain.test\r\nHost: evil.test\r\n\r\n", 400],
    ["a Host that is none", "GET / HTTP/1.1\r\nHost: plain.test@evil.test\r\n\r\n", 400],
    ["absolute-form", "GET http://plain.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 400],
    ["CONNECT", "CONNECT plain.test:80 HTTP/1.1\r\nHost: plain.test:80\r\n\r\n", 400],
    ["an internal address", "GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 403],
    ["the gateway itself", () => `GET / HTTP/1.1\r\nHost: 127.0.0.1:${keyswap.port}\r\n\r\n`, 403],
  ])("refuses %s", async (_name, text, status) => {
    const client = await toHttp();
    client.send(typeof text === "string" ? text : text());
    expect((await client.read()).status).toBe(status);
    expect(plain.seen).toEqual([]);
  });
});

describe("the source address", () => {
  it("of nobody is refused, and told to the audit", async () => {
    await keyswap.deleteSandbox(sandbox);
    await keyswap.heard();
    const before = refusals().length;
    const way = await toTls();
    expect(Buffer.from(await way.closed(), "latin1").toString("hex")).toBe("15030300020231");
    const client = await toHttp();
    expect(errorOf(await client.read())).toBe("source-unknown");
    expect(refusals().slice(before)).toMatchObject([
      { way: "tls", error: "source-unknown", detail: "127.0.0.1", sandbox: undefined },
      { way: "http", error: "source-unknown", detail: "127.0.0.1", sandbox: undefined },
    ]);
    sandbox = await keyswap.sandbox([secret]);
  });

  it("moves to another sandbox as soon as the API says so", async () => {
    await keyswap.deleteSandbox(sandbox);
    const other = await keyswap.secret("another value", [host]);
    sandbox = await keyswap.sandbox([other], { sources: ["127.0.0.0/8"] });
    await keyswap.heard();
    const inside = await secure(await toTls(), { ca: keyswap.caPem, serverName: host });
    inside.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${other.placeholder} ${secret.placeholder}\r\n\r\n`);
    expect((await inside.read()).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(`another value ${secret.placeholder}`);
  });
});

describe("a fixed sandbox", () => {
  it("without a token is everybody", async () => {
    const other = await startGateway({ options: { fixedSandbox: { id: "fixed" } } });
    try {
      const client = await toHttp(other);
      // The API of this test does not know it, which is another error than an unknown source.
      expect(errorOf(await get(client, "plain.test"))).toBe("proxy-auth-required");
    } finally {
      await other.close();
    }
  });

  it("with a token is known by its source address alone", async () => {
    const other = await startGateway({ options: { fixedSandbox: { id: "fixed", token: "t".repeat(20) } } });
    try {
      await other.sandbox([], { sources: ["127.0.0.1/32"] });
      await other.heard();
      const client = await toHttp(other);
      expect(errorOf(await client.read())).toBe("source-unknown");
    } finally {
      await other.close();
    }
  });
});

describe("curl, connected by address", () => {
  it("gets the substitution over HTTP/1.1 and HTTP/2 without knowing of a proxy", async () => {
    for (const version of ["--http1.1", "--http2"]) {
      origin.seen.length = 0;
      const answer = await curl([
        ...[
          version,
          "--cacert",
          keyswap.caPath,
          "--connect-to",
          `${host}:443:127.0.0.1:${portOf(keyswap.addresses.tls)}`,
        ],
        ...["-H", `X-Key: ${secret.placeholder}`, `https://${host}/`],
      ]);
      expect(answer).toMatchObject({ code: 0, body: '{"ok":true}' });
      expect(origin.last().headers["x-key"]).toBe("the real value");
    }
  });
});
