// SOCKS5 on the proxy port: who calls, where to, and how refusals are told.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { curl } from "../support/curl.ts";
import {
  egressPattern,
  type MadeSandbox,
  type MadeSecret,
  startKeyswap,
  type TestKeyswap,
} from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { askSocks, socksIpv4, socksLogin, socksName } from "../support/socks-client.ts";
import { dial, secure, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: Origin;
let plain: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
const clients: WireClient[] = [];

beforeAll(async () => {
  keyswap = await startKeyswap({
    plainHttpHosts: ["plain.test"],
    options: { egress: { allow: [], deny: [egressPattern("denied.test")] } },
  });
  origin = await startOrigin({ pki: keyswap.pki, names: [host, "evil.test"] });
  plain = await startOrigin({});
  secret = await keyswap.secret("the real value", [host, "plain.test"]);
});

beforeEach(async () => {
  origin.seen.length = 0;
  plain.seen.length = 0;
  sandbox = await keyswap.sandbox([secret]);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  await plain.close();
  expect(keyswap.errors).toEqual([]);
});

async function ask(request: Buffer, who: Pick<MadeSandbox, "id" | "token"> = sandbox) {
  const { code, client } = await askSocks(keyswap, who, request);
  clients.push(client);
  return { code, client };
}

/** A GET of `/` with the placeholder in a header. */
async function get(client: WireClient, name: string, port: number) {
  client.send(`GET / HTTP/1.1\r\nHost: ${name}:${port}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
  return client.read();
}

function refusals(): unknown[] {
  return keyswap.audit.filter((event) => event.type === "refusal" && event.sandbox === sandbox.id);
}

describe("by name", () => {
  it("substitutes on a granted host", async () => {
    const { code, client } = await ask(socksName(host, origin.port));
    expect(code).toBe(0);
    const inside = await secure(client, { ca: keyswap.caPem, serverName: host });
    expect((await get(inside, host, origin.port)).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe("the real value");
    const [exchange] = await keyswap.exchanges(sandbox);
    expect(exchange).toMatchObject({ way: "socks5", authority: `${host}:${origin.port}` });
  });

  it("relays any other host blind", async () => {
    const { code, client } = await ask(socksName("evil.test", origin.port));
    expect(code).toBe(0);
    const inside = await secure(client, { ca: keyswap.pki.caPem, serverName: "evil.test" });
    await get(inside, "evil.test", origin.port);
    expect(origin.last().headers["x-key"]).toBe(secret.placeholder);
  });

  it("refuses another name in the ClientHello", async () => {
    const { client } = await ask(socksName(host, origin.port));
    const minted = keyswap.leaves.minted;
    await expect(secure(client, { ca: keyswap.caPem, serverName: "evil.test" })).rejects.toThrow(/unrecognized.name/i);
    expect(keyswap.leaves.minted).toBe(minted);
  });
});

describe("by address, of a client that resolved the name itself", () => {
  it("takes the name in the ClientHello for the destination, and resolves it anew", async () => {
    // Nobody listens there: the address that was asked for is not dialled.
    const { code, client } = await ask(socksIpv4("127.66.66.66", origin.port));
    expect(code).toBe(0);
    const inside = await secure(client, { ca: keyswap.caPem, serverName: host });
    expect((await get(inside, host, origin.port)).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe("the real value");
    const [exchange] = await keyswap.exchanges(sandbox);
    expect(exchange).toMatchObject({ authority: `${host}:${origin.port}` });
  });

  it("relays blind to a name that is not granted", async () => {
    const { client } = await ask(socksIpv4("127.66.66.66", origin.port));
    const inside = await secure(client, { ca: keyswap.pki.caPem, serverName: "evil.test" });
    await get(inside, "evil.test", origin.port);
    expect(origin.last().headers["x-key"]).toBe(secret.placeholder);
  });

  it("asks the egress policy about the name", async () => {
    const { client } = await ask(socksIpv4("127.0.0.1", origin.port));
    await expect(secure(client, { ca: keyswap.caPem, serverName: "denied.test" })).rejects.toThrow(/access.denied/i);
    expect(refusals()).toMatchObject([{ error: "egress-denied", authority: `denied.test:${origin.port}` }]);
  });

  it("takes plain HTTP's Host for the destination", async () => {
    const { client } = await ask(socksIpv4("127.66.66.66", plain.port));
    expect((await get(client, "plain.test", plain.port)).status).toBe(200);
    expect(plain.last().headers["x-key"]).toBe("the real value");
    // The next request may be for another host, and is judged anew.
    expect((await get(client, "denied.test", plain.port)).status).toBe(403);
  });

  it("refuses a Host of another port or another address", async () => {
    const first = await ask(socksIpv4("127.0.0.1", plain.port));
    expect((await get(first.client, "plain.test", plain.port + 1)).status).toBe(421);
    const second = await ask(socksIpv4("127.0.0.1", plain.port));
    expect((await get(second.client, "127.0.0.2", plain.port)).status).toBe(421);
    expect(plain.seen).toEqual([]);
  });
});

describe("who is calling", () => {
  it.each([
    ["a wrong token", () => ({ id: sandbox.id, token: "wrong" })],
    ["an unknown sandbox", () => ({ id: "nobody", token: sandbox.token })],
  ])("%s is refused", async (_name, who) => {
    const client = await dial(keyswap.port);
    clients.push(client);
    client.send(Buffer.concat([Buffer.of(5, 1, 2), socksLogin(who())]));
    expect((await client.readToEnd()).toString("hex")).toBe("05020101");
  });

  it("a client that offers no password is refused", async () => {
    const client = await dial(keyswap.port);
    clients.push(client);
    client.send(Buffer.of(5, 2, 0, 1));
    expect((await client.readToEnd()).toString("hex")).toBe("05ff");
  });

  it("a sandbox that is gone is refused", async () => {
    await keyswap.deleteSandbox(sandbox);
    await keyswap.heard();
    await expect(ask(socksName(host, origin.port))).rejects.toThrow("login 0101");
  });

  it("everything may come at once, or byte by byte", async () => {
    const all = Buffer.concat([Buffer.of(5, 1, 2), socksLogin(sandbox), socksName(host, origin.port)]);
    const replies = `05020100${"0500000100000000"}0000`;
    const whole = await dial(keyswap.port);
    clients.push(whole);
    whole.send(all);
    expect((await whole.readExactly(14)).toString("hex")).toBe(replies);
    const slow = await dial(keyswap.port);
    clients.push(slow);
    for (const byte of all) {
      slow.send(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    expect((await slow.readExactly(14)).toString("hex")).toBe(replies);
  });
});

describe("replies", () => {
  it.each([
    ["2: the egress policy", () => socksName("denied.test", 443), 2],
    ["2: the proxy itself", () => socksName("evil.test", keyswap.port), 2],
    ["4: a name that does not resolve", () => socksName("missing.test", 443), 4],
    ["4: no name at all", () => socksName("a b", 443), 4],
    ["4: port 0", () => socksName("evil.test", 0), 4],
    ["5: a port that is closed", () => socksName("evil.test", 1), 5],
    ["7: BIND", () => socksName("evil.test", 443, 2), 7],
    ["7: UDP ASSOCIATE", () => socksName("evil.test", 443, 3), 7],
    ["8: an unknown type of address", () => Buffer.of(5, 1, 0, 9, 0, 0, 0), 8],
  ])("%s", async (_name, request, expected) => {
    const { code, client } = await ask(request());
    expect(code).toBe(expected);
    expect(await client.closed()).toBe("");
    expect(refusals()).toHaveLength(1);
  });

  it("a malformed message ends the connection", async () => {
    const client = await dial(keyswap.port);
    clients.push(client);
    client.send(Buffer.of(5, 0));
    expect(await client.closed()).toBe("");
  });
});

describe("a fixed sandbox", () => {
  it("needs no credentials, and takes any", async () => {
    const fixed = await startKeyswap({ options: { fixedSandbox: { id: sandbox.id } } });
    try {
      const client = await dial(fixed.port);
      client.send(Buffer.of(5, 1, 0));
      expect((await client.readExactly(2)).toString("hex")).toBe("0500");
      client.close();
      const other = await dial(fixed.port);
      other.send(Buffer.concat([Buffer.of(5, 1, 2), socksLogin({ id: "x", token: "y" })]));
      expect((await other.readExactly(2)).toString("hex")).toBe("0502");
      other.close();
    } finally {
      await fixed.close();
    }
  });
});

describe("curl", () => {
  const request = (): string[] => ["--cacert", keyswap.caPath, "-H", `X-Key: ${secret.placeholder}`];

  it("--proxy socks5h: the proxy resolves", async () => {
    const proxy = `socks5h://${sandbox.id}:${sandbox.token}@127.0.0.1:${keyswap.port}`;
    const answer = await curl([...request(), "--proxy", proxy, `https://${host}:${origin.port}/`]);
    expect(answer).toMatchObject({ code: 0, body: '{"ok":true}' });
    expect(origin.last().headers["x-key"]).toBe("the real value");
  });

  it("--proxy socks5: curl resolves, and the SNI is the authority", async () => {
    const proxy = `socks5://${sandbox.id}:${sandbox.token}@127.0.0.1:${keyswap.port}`;
    const resolve = ["--resolve", `${host}:${origin.port}:127.66.66.66`];
    const answer = await curl([...request(), ...resolve, "--proxy", proxy, `https://${host}:${origin.port}/`]);
    expect(answer).toMatchObject({ code: 0, body: '{"ok":true}' });
    expect(origin.last().headers["x-key"]).toBe("the real value");
  });

  it("tells the user what the reply says", async () => {
    const proxy = `socks5h://${sandbox.id}:${sandbox.token}@127.0.0.1:${keyswap.port}`;
    const answer = await curl([...request(), "--proxy", proxy, "https://denied.test/"]);
    expect(answer.code).toBe(97);
  });
});
