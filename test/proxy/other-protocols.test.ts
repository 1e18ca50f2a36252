// What is neither TLS nor HTTP inside of an opened way, clients that stay silent, and clients that are merely slow.

import { createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  egressPattern,
  type MadeSandbox,
  type MadeSecret,
  startKeyswap,
  type TestKeyswap,
} from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { openWay, secure, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
const afterPatience = 500;
let keyswap: TestKeyswap;
let secure443: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
/** Greets at once, then echoes. */
let greeter: Server;
/** Echoes, and says nothing by itself. */
let echoer: Server;
let deniedPort: Server;
const accepted: Socket[] = [];
const clients: WireClient[] = [];

function listen(greeting: string | undefined): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on("error", () => {});
    if (greeting !== undefined) socket.write(greeting);
    socket.pipe(socket);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

beforeAll(async () => {
  greeter = await listen("220 ready\r\n");
  echoer = await listen(undefined);
  deniedPort = await listen("220 ready\r\n");
  keyswap = await startKeyswap({
    options: {
      rawHosts: [egressPattern(`${host}:${portOf(greeter)}`), egressPattern(`${host}:${portOf(echoer)}`)],
      egress: { allow: [], deny: [egressPattern(`*:${portOf(deniedPort)}`)] },
    },
  });
  secure443 = await startOrigin({ pki: keyswap.pki, names: [host, "evil.test"] });
  secret = await keyswap.secret("the real value", [host, "rare.test"]);
});

beforeEach(async () => {
  sandbox = await keyswap.sandbox([secret]);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const socket of accepted.splice(0)) socket.destroy();
});

afterAll(async () => {
  await keyswap.close();
  await secure443.close();
  for (const server of [greeter, echoer, deniedPort]) server.close();
  expect(keyswap.errors).toEqual([]);
});

async function open(target: string, at = keyswap, who = sandbox): Promise<WireClient> {
  const client = await openWay(at, who, target);
  clients.push(client);
  return client;
}

function ended(type: "tunnel" | "refusal", at = keyswap, who = sandbox) {
  return vi.waitFor(() => {
    const found = at.audit.filter((event) => event.type === type && event.sandbox === who.id);
    if (found.length === 0) throw new Error("no event yet");
    return found;
  });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const sshBanner = "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";

describe("a host that is not granted", () => {
  it("is dialled at once, so that its server may speak first", async () => {
    const client = await open(`evil.test:${portOf(greeter)}`);
    expect((await client.readThrough("\r\n")).toString()).toBe("220 ready\r\n");
    client.send("EHLO me\r\n");
    expect((await client.readThrough("\r\n")).toString()).toBe("EHLO me\r\n");
  });

  it("may be spoken to in anything, with half-close kept", async () => {
    const client = await open(`evil.test:${portOf(echoer)}`);
    client.send(sshBanner);
    client.socket.end();
    expect((await client.readToEnd()).toString()).toBe(sshBanner);
    expect(await ended("tunnel")).toMatchObject([{ reason: "host-not-granted", sentBytes: sshBanner.length }]);
  });
});

describe("a tunnel", () => {
  it("carries what a client still says to a server that has ended its own direction", async () => {
    const heard: string[] = [];
    const ender = createServer({ allowHalfOpen: true }, (socket) => {
      accepted.push(socket);
      socket.end("all that I say\r\n");
      socket.setEncoding("utf8").on("data", (text: string) => heard.push(text));
      socket.on("end", () => heard.push("the end"));
    });
    await new Promise<void>((resolve) => ender.listen(0, "127.0.0.1", resolve));
    const client = await open(`evil.test:${portOf(ender)}`);
    expect((await client.readToEnd()).toString()).toBe("all that I say\r\n");
    await client.sendAll("x".repeat(100_000));
    client.send("y");
    client.socket.end();
    await vi.waitFor(() => expect(heard.at(-1)).toBe("the end"));
    expect(heard.join("")).toBe(`${"x".repeat(100_000)}ythe end`);
    expect(await ended("tunnel")).toMatchObject([{ sentBytes: 100_001, receivedBytes: 16 }]);
    ender.close();
  });
});

describe("a granted host", () => {
  it.each([
    ["SSH", sshBanner],
    ["binary", Buffer.of(0, 1, 2, 3)],
    ["HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ])("is closed to %s", async (_name, bytes) => {
    const client = await open(`rare.test:${portOf(echoer)}`);
    client.send(bytes);
    expect((await client.closed()).startsWith("SSH")).toBe(false);
    expect(accepted).toEqual([]);
  });

  it("is not dialled for a silent client", async () => {
    await open(`rare.test:${portOf(greeter)}`);
    await pause(afterPatience);
    expect(accepted).toEqual([]);
  });

  it("whose port the operator lists takes anything", async () => {
    const client = await open(`${host}:${portOf(echoer)}`);
    client.send(sshBanner);
    expect((await client.readThrough("\r\n")).toString()).toBe(sshBanner);
    client.close();
    expect(await ended("tunnel")).toMatchObject([{ reason: "not-http", authority: `${host}:${portOf(echoer)}` }]);
  });

  it("whose port the operator lists may speak first", async () => {
    const client = await open(`${host}:${portOf(greeter)}`);
    expect((await client.readThrough("\r\n")).toString()).toBe("220 ready\r\n");
    client.send("QUIT\r\n");
    expect((await client.readThrough("\r\n")).toString()).toBe("QUIT\r\n");
  });

  it("whose port the operator lists keeps its tunnels when grants change", async () => {
    const client = await open(`${host}:${portOf(echoer)}`);
    client.send(sshBanner);
    await client.readThrough("\r\n");
    const more = await keyswap.secret("one more", [host]);
    await keyswap.mount(sandbox, [secret, more]);
    await keyswap.heard();
    await pause(afterPatience * 4);
    client.send("still here\r\n");
    expect((await client.readThrough("\r\n")).toString()).toBe("still here\r\n");
  });
});

describe("an address", () => {
  it("is relayed to where the client does not speak TLS or HTTP", async () => {
    const client = await open(`127.0.0.1:${portOf(echoer)}`);
    client.send(sshBanner);
    expect((await client.readThrough("\r\n")).toString()).toBe(sshBanner);
    client.close();
    expect(await ended("tunnel")).toMatchObject([{ reason: "not-http", authority: `127.0.0.1:${portOf(echoer)}` }]);
  });

  it("is dialled after a while for a client that says nothing", async () => {
    const client = await open(`127.0.0.1:${portOf(greeter)}`);
    expect((await client.readThrough("\r\n")).toString()).toBe("220 ready\r\n");
    client.send("QUIT\r\n");
    expect((await client.readThrough("\r\n")).toString()).toBe("QUIT\r\n");
  });

  it("still leads to interception when a client was merely slow", async () => {
    const client = await open(`127.0.0.1:${secure443.port}`);
    await pause(afterPatience);
    const inside = await secure(client, { ca: keyswap.caPem, serverName: host });
    inside.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await inside.read()).status).toBe(200);
    expect(secure443.last().headers["x-key"]).toBe("the real value");
    // What was dialled ahead is let go of: of the way's connections only the exchange's own stays.
    expect(keyswap.audit.filter((event) => event.type === "tunnel" && event.sandbox === sandbox.id)).toEqual([]);
  });

  it("takes one word after the silence, too", async () => {
    const client = await open(`127.0.0.1:${portOf(echoer)}`);
    await pause(afterPatience);
    client.send("hello\n");
    expect((await client.readThrough("\n")).toString()).toBe("hello\n");
  });

  it("is judged by the egress policy, by its port", async () => {
    const client = await open(`127.0.0.1:${portOf(deniedPort)}`);
    client.send(sshBanner);
    expect(await client.closed()).toBe("");
    expect(await ended("refusal")).toMatchObject([{ error: "egress-denied" }]);
    expect(accepted).toEqual([]);
  });

  it("is refused where it is internal", async () => {
    const client = await open("10.0.0.1:22");
    client.send(sshBanner);
    expect(await client.closed()).toBe("");
    expect(await ended("refusal")).toMatchObject([{ error: "address-private" }]);
  });

  it("is closed where its TLS cannot be read", async () => {
    const client = await open(`127.0.0.1:${portOf(echoer)}`);
    client.send(Buffer.from("1603010000", "hex"));
    expect(await client.closed()).toBe("");
    expect(await ended("refusal")).toMatchObject([{ error: "not-http" }]);
  });
});

describe("where every host is intercepted", () => {
  let all: TestKeyswap;
  let caller: MadeSandbox;
  beforeAll(async () => {
    all = await startKeyswap({ options: { intercept: "all" } });
    caller = await all.sandbox([]);
    await all.heard();
  });
  afterAll(() => all.close());

  it("a server that speaks first is heard, and a slow client's TLS is intercepted all the same", async () => {
    const client = await open(`evil.test:${portOf(greeter)}`, all, caller);
    expect((await client.readThrough("\r\n")).toString()).toBe("220 ready\r\n");
    const slow = await open(`evil.test:${portOf(echoer)}`, all, caller);
    await pause(afterPatience);
    const inside = await secure(slow, { ca: all.caPem, serverName: "evil.test" });
    inside.close();
    expect(all.leaves.minted).toBe(1);
  });
});
