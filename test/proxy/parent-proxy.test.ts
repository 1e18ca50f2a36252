// Upstreams through a parent proxy: by CONNECT and by SOCKS5, and never past it.

import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { parseHost } from "../../src/core/authority/host.ts";
import { parseCidr } from "../../src/core/authority/ip.ts";
import { SecretValue } from "../../src/core/secret-value.ts";
import { parseSocksCredentials, parseSocksRequest, type SocksParsed } from "../../src/core/wire/socks5.ts";
import { isInternalName, ParentProxy } from "../../src/proxy/parent-proxy.ts";
import { egressPattern, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki, type Pki } from "../support/pki.ts";
import { askConnect, connectThrough, dial, errorOf, openWay } from "../support/wire-client.ts";

const host = "api.good.test";
let pki: Pki;
const closers: (() => void | Promise<void>)[] = [];
const sockets = new Set<Socket>();

beforeAll(() => {
  pki = makePki();
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const close of closers.splice(0).reverse()) await close();
});

/** What a parent was asked for: its authorization and its target. */
interface Asked {
  readonly target: string;
  readonly proof: string | undefined;
}

function track(socket: Socket): Socket {
  sockets.add(socket);
  socket.on("error", () => {});
  return socket;
}

async function listen(server: Server): Promise<number> {
  server.on("connection", track);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** An HTTP proxy by node:http; every name leads to 127.0.0.1. */
async function startHttpParent(options: { tls?: boolean; answer?: number } = {}) {
  const asked: Asked[] = [];
  const { certPem, keyPem } = pki.issue(["localhost", "127.0.0.1"]);
  const server = options.tls ? createHttpsServer({ cert: certPem, key: keyPem }) : createHttpServer();
  server.on("connect", (request, stream) => {
    const socket = track(stream as Socket); // node:http hands out the connection itself
    asked.push({ target: request.url ?? "", proof: request.headers["proxy-authorization"] });
    if (options.answer !== undefined) {
      socket.end(`HTTP/1.1 ${options.answer} No\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const upstream = track(connect(Number(request.url?.split(":").at(-1)), "127.0.0.1"));
    upstream.on("connect", () => {
      socket.write("HTTP/1.1 200 OK\r\nVia: parent\r\n\r\n");
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on("error", () => socket.destroy());
  });
  return { port: await listen(server), asked };
}

/** A SOCKS5 proxy. */
async function startSocksParent(options: { password?: boolean; reply?: number; accepts?: boolean } = {}) {
  const asked: Asked[] = [];
  const server = createServer((socket) => {
    let held: Buffer = Buffer.alloc(0);
    const more = async () => {
      const bytes = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
      held = Buffer.concat([held, bytes]);
    };
    const read = async <T>(parse: (bytes: Buffer) => SocksParsed<T>): Promise<T> => {
      for (let i = 0; i < 1000; i++) {
        const parsed = parse(held);
        if (parsed.kind === "message") {
          held = held.subarray(parsed.length);
          return parsed.message;
        }
        await more();
      }
      throw new Error("no message");
    };
    const serve = async () => {
      while (held.length < 2 || held.length < 2 + (held[1] ?? 0)) await more();
      held = held.subarray(2 + (held[1] ?? 0));
      let proof: string | undefined;
      socket.write(Buffer.of(5, options.password ? 2 : 0));
      if (options.password) {
        const { username, password } = await read(parseSocksCredentials);
        proof = `${username}:${password}`;
        socket.write(Buffer.of(1, options.accepts === false ? 1 : 0));
      }
      const { address, port } = await read(parseSocksRequest);
      asked.push({ target: `${address.kind}:${address.kind === "unknown" ? "" : address.text}:${port}`, proof });
      if (options.reply !== undefined) {
        socket.end(Buffer.of(5, options.reply, 0, 1, 0, 0, 0, 0, 0, 0));
        return;
      }
      const upstream = track(connect(port, "127.0.0.1"));
      upstream.on("connect", () => {
        socket.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
        socket.pipe(upstream).pipe(socket);
      });
      upstream.on("error", () => socket.destroy());
    };
    void serve().catch(() => socket.destroy());
  });
  return { port: await listen(server), asked };
}

function parentAt(url: string, noProxy: { hosts?: string[]; cidrs?: string[] } = {}): ParentProxy {
  return new ParentProxy(new SecretValue("upstream proxy", url), {
    hosts: (noProxy.hosts ?? []).map(egressPattern),
    cidrs: (noProxy.cidrs ?? []).flatMap((text) => parseCidr(text) ?? []),
  });
}

async function startBehind(parent: ParentProxy): Promise<{ keyswap: TestKeyswap; secret: MadeSecret; origin: Origin }> {
  const keyswap = await startKeyswap({ pki, parent, plainHttpHosts: ["plain.test"] });
  closers.push(() => keyswap.close());
  const origin = await startOrigin({ pki, names: [host, "elsewhere.example"] });
  closers.push(() => origin.close());
  return { keyswap, origin, secret: await keyswap.secret("the real value", [host, "elsewhere.example"]) };
}

async function exchange({ keyswap, secret, origin }: Awaited<ReturnType<typeof startBehind>>, name = host) {
  const sandbox = await keyswap.sandbox([secret]);
  const client = await connectThrough(keyswap, sandbox, name, origin.port);
  client.send(`GET / HTTP/1.1\r\nHost: ${name}:${origin.port}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
  const answer = await client.read();
  client.close();
  return answer;
}

describe("by CONNECT", () => {
  it.each([
    ["http", false],
    ["https", true],
  ])("over %s, with credentials", async (scheme, tls) => {
    const parent = await startHttpParent({ tls });
    const behind = await startBehind(parentAt(`${scheme}://me:p%40ss@localhost:${parent.port}`));
    expect((await exchange(behind)).status).toBe(200);
    expect(behind.origin.last().headers["x-key"]).toBe("the real value");
    const proof = `Basic ${Buffer.from("me:p@ss").toString("base64")}`;
    expect(parent.asked).toEqual([{ target: `${host}:${behind.origin.port}`, proof }]);
  });

  it("sends names that only the parent knows, and blind tunnels, too", async () => {
    const parent = await startHttpParent();
    const behind = await startBehind(parentAt(`http://127.0.0.1:${parent.port}`));
    expect((await exchange(behind, "elsewhere.example")).status).toBe(200);
    const sandbox = await behind.keyswap.sandbox([]);
    const greeter = createServer((socket) => socket.end("220 ready\r\n"));
    const port = await listen(greeter);
    const way = await openWay(behind.keyswap, sandbox, `unknown.example:${port}`);
    expect((await way.readToEnd()).toString()).toBe("220 ready\r\n");
    expect(parent.asked.map(({ target, proof }) => [target, proof])).toEqual([
      [`elsewhere.example:${behind.origin.port}`, undefined],
      [`unknown.example:${port}`, undefined],
    ]);
  });

  it.each([[407], [403], [502]])("fails closed where the parent answers %i", async (answer) => {
    const parent = await startHttpParent({ answer });
    const behind = await startBehind(parentAt(`http://127.0.0.1:${parent.port}`));
    const failed = await exchange(behind);
    expect([failed.status, errorOf(failed)]).toEqual([502, "parent-proxy-failed"]);
    expect(failed.body.toString()).toContain(`it answered ${answer}`);
    expect(behind.origin.seen).toEqual([]);
  });

  it("fails closed where the parent is not there, says garbage, or hangs up", async () => {
    const closed = await startBehind(parentAt("http://127.0.0.1:1"));
    expect(errorOf(await exchange(closed))).toBe("parent-proxy-failed");
    for (const words of ["hello\r\n\r\n", "HTTP/1.1 200", `HTTP/1.1 200 ${"x".repeat(40_000)}`]) {
      const port = await listen(createServer((socket) => socket.end(words)));
      const behind = await startBehind(parentAt(`http://127.0.0.1:${port}`));
      expect(errorOf(await exchange(behind))).toBe("parent-proxy-failed");
      expect(behind.origin.seen).toEqual([]);
    }
  });

  it("fails closed where the parent's certificate does not verify", async () => {
    const other = makePki();
    const { certPem, keyPem } = other.issue(["localhost"]);
    const port = await listen(createHttpsServer({ cert: certPem, key: keyPem }));
    const behind = await startBehind(parentAt(`https://localhost:${port}`));
    const failed = await exchange(behind);
    expect(errorOf(failed)).toBe("parent-proxy-failed");
    expect(failed.body.toString()).toContain("upstream-certificate");
  });
});

describe("by SOCKS5", () => {
  it.each([
    ["without credentials", "", undefined],
    ["with credentials", "me:p%40ss@", "me:p@ss"],
  ])("%s, by name", async (_name, userinfo, proof) => {
    const parent = await startSocksParent({ password: proof !== undefined });
    const behind = await startBehind(parentAt(`socks5://${userinfo}127.0.0.1:${parent.port}`));
    expect((await exchange(behind)).status).toBe(200);
    expect(behind.origin.last().headers["x-key"]).toBe("the real value");
    expect(parent.asked).toEqual([{ target: `name:${host}:${behind.origin.port}`, proof }]);
  });

  it.each([
    ["refuses the connection", { reply: 2 }, "it replied 2"],
    ["refuses the credentials", { password: true, accepts: false }, "it refuses our credentials"],
  ])("fails closed where the parent %s", async (_name, options, detail) => {
    const parent = await startSocksParent(options);
    const behind = await startBehind(parentAt(`socks5://me:you@127.0.0.1:${parent.port}`));
    const failed = await exchange(behind);
    expect(errorOf(failed)).toBe("parent-proxy-failed");
    expect(failed.body.toString()).toContain(detail);
    expect(behind.origin.seen).toEqual([]);
  });

  it("fails closed where the parent wants credentials and there are none", async () => {
    const parent = await startSocksParent({ password: true });
    const behind = await startBehind(parentAt(`socks5://127.0.0.1:${parent.port}`));
    expect(errorOf(await exchange(behind))).toBe("parent-proxy-failed");
  });
});

describe("what is judged here all the same", () => {
  it.each([
    ["an internal address", "10.0.0.1:443", "address-private"],
    ["the proxy itself", undefined, "address-own"],
    ["an internal name", "metadata.google.internal:443", "dns-failed"],
    ["a name without a dot", "intranet:443", "dns-failed"],
  ])("%s", async (_name, target, error) => {
    const parent = await startHttpParent();
    const { keyswap } = await startBehind(parentAt(`http://127.0.0.1:${parent.port}`));
    const sandbox = await keyswap.sandbox([]);
    const url = `http://${target ?? `127.0.0.1:${keyswap.port}`}/`;
    const client = await dial(keyswap.port);
    client.send(
      `GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`,
    );
    expect(errorOf(await client.read())).toBe(error);
    expect(parent.asked).toEqual([]);
  });

  it.each(["localhost", "a.localhost", "db", "x.internal", "printer.local", "nas.home.arpa", "wiki.corp", "a.lan"])(
    "%s is an internal name",
    (text) => {
      const parsed = parseHost(text);
      expect(parsed.kind === "host" && isInternalName(parsed.host)).toBe(true);
    },
  );

  it.each(["example.com", "internal.example.com", "notlocal", "mylan.example"])(
    "%s is one only without a dot",
    (text) => {
      const parsed = parseHost(text);
      expect(parsed.kind === "host" && isInternalName(parsed.host)).toBe(!text.includes("."));
    },
  );
});

describe("rules that leave the parent out", () => {
  it("go by host, by host and port, and by address", async () => {
    const parent = await startHttpParent({ answer: 403 });
    const rules = { hosts: ["*.good.test"], cidrs: ["127.0.0.0/8"] };
    const behind = await startBehind(parentAt(`http://127.0.0.1:${parent.port}`, rules));
    expect((await exchange(behind)).status).toBe(200);
    const sandbox = await behind.keyswap.sandbox([]);
    const echoer = await listen(createServer((socket) => socket.pipe(socket)));
    const way = await openWay(behind.keyswap, sandbox, `127.0.0.1:${echoer}`);
    way.send("SSH-2.0-x y\r\n");
    expect((await way.readThrough("\r\n")).toString()).toBe("SSH-2.0-x y\r\n");
    expect(parent.asked).toEqual([]);
    const { answer } = await askConnect(behind.keyswap, `evil.test:${echoer}`, sandbox.credentials);
    expect(errorOf(answer)).toBe("parent-proxy-failed");
    expect(parent.asked).toHaveLength(1);
  });

  it("are for that port alone where one is given", () => {
    const parent = parentAt("http://127.0.0.1:3128", { hosts: ["api.good.test:8443"] });
    const parsed = parseHost(host);
    if (parsed.kind !== "host") throw new Error("no host");
    const authority = { scheme: "https", host: parsed.host } as const;
    expect(parent.isLeftOutFor({ ...authority, port: 8443 })).toBe(true);
    expect(parent.isLeftOutFor({ ...authority, port: 443 })).toBe(false);
  });
});

describe("the URL", () => {
  it.each([
    ["http://proxy.example", 80],
    ["https://proxy.example", 443],
    ["socks5://proxy.example", 1080],
    ["http://[2001:db8::1]:3128", 3128],
  ])("%s has the port %i", (url, port) => {
    expect(parentAt(url).authority.port).toBe(port);
  });

  it.each(["ftp://proxy.example", "http://me:hidden%ZZ@proxy.example", "socks5://hidden host"])(
    "%s is refused without being quoted",
    (url) => {
      expect(() => parentAt(url)).toThrow(/^the parent proxy/);
      expect(() => parentAt(url)).not.toThrow(/hidden/);
    },
  );
});
