import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Authority, parseAuthority } from "../../src/core/authority/authority.ts";
import { CidrSet, parseCidr } from "../../src/core/authority/ip.ts";
import { KeyswapError } from "../../src/core/errors.ts";
import { Dialler, type DiallerOptions } from "../../src/proxy/dial.ts";
import { NameResolver } from "../../src/proxy/dns.ts";
import { type DnsServer, startDnsServer } from "../support/dns-server.ts";
import { makePki } from "../support/pki.ts";

const run = promisify(execFile);
const dayMs = 24 * 60 * 60 * 1000;
const pki = makePki();
const loopback = new CidrSet(["127.0.0.0/8", "::1"].flatMap((text) => parseCidr(text) ?? []));

let dir: string;
let hostsPath: string;
let dns: DnsServer;
const servers: Server[] = [];
const accepted = new Set<Socket>();

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "keyswap-dial-"));
  hostsPath = join(dir, "hosts");
  await writeFile(hostsPath, "127.0.0.1 api.test other.test\n10.0.0.1 inside.test\n");
  dns = await startDnsServer();
});
afterEach(async () => {
  for (const socket of accepted) socket.destroy();
  for (const server of servers.splice(0)) {
    server.close();
    await once(server, "close");
  }
});
afterAll(async () => {
  await dns.close();
  await rm(dir, { recursive: true, force: true });
});

async function listen(server: Server, host = "127.0.0.1", port = 0): Promise<number> {
  server.on("connection", (socket: Socket) => {
    accepted.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => accepted.delete(socket));
  });
  server.on("tlsClientError", () => undefined);
  servers.push(server);
  server.listen(port, host);
  await once(server, "listening");
  const address = server.address() as AddressInfo; // listening on TCP
  return address.port;
}

/** A TCP server that reads and never answers. */
function silent(): Server {
  return createTcpServer((socket) => socket.resume());
}

/** A TLS server that says for each connection what it saw. */
function greeter(names: string[], options: TlsOptions = {}): Server {
  const { certPem, keyPem } = pki.issue(names);
  return createTlsServer({ cert: certPem, key: keyPem, ALPNProtocols: ["h2", "http/1.1"], ...options }, (socket) => {
    socket.on("error", () => undefined);
    socket.write(
      JSON.stringify({ sni: socket.servername, reused: socket.isSessionReused(), alpn: socket.alpnProtocol }),
    );
  });
}

function makeDialler(options: Partial<DiallerOptions> = {}): Dialler {
  return new Dialler({
    resolver: new NameResolver({ clock: Date.now, hostsPath, servers: [dns.address], useSystem: false }),
    allowPrivate: loopback,
    ownListeners: () => [],
    extraRoots: [pki.caPem],
    ...options,
  });
}

function authority(text: string): Authority {
  const result = parseAuthority(text, "https");
  if (result.kind === "invalid") throw new Error(result.detail);
  return result.authority;
}

async function greeting(socket: TLSSocket): Promise<{ sni: string | false; reused: boolean; alpn: string | false }> {
  const [bytes] = await once(socket, "data");
  return JSON.parse(String(bytes));
}

async function fault(promise: Promise<unknown>): Promise<KeyswapError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof KeyswapError)) throw new Error(`expected a KeyswapError, got ${String(error)}`);
  return error;
}

/** Until neither side has a connection any more; bounded by the test's own time. */
async function quiet(): Promise<void> {
  const isOpen = () => process.getActiveResourcesInfo().some((name) => name === "TCPSocketWrap" || name === "TLSWrap");
  while (accepted.size > 0 || isOpen()) await new Promise((resolve) => setImmediate(resolve));
}

describe("a verified connection", () => {
  test("is made with the host's name in SNI and the protocol agreed on", async () => {
    const port = await listen(greeter(["api.test"]));
    const socket = await makeDialler().connectTls(authority(`api.test:${port}`), "s1", ["h2", "http/1.1"]);
    expect(socket.authorized).toBe(true);
    expect(socket.alpnProtocol).toBe("h2");
    expect(socket.getProtocol()).toBe("TLSv1.3");
    expect(socket.readableHighWaterMark).toBe(256 * 1024);
    expect(socket.listenerCount("error")).toBeGreaterThan(0);
    expect(await greeting(socket)).toEqual({ sni: "api.test", reused: false, alpn: "h2" });
    socket.destroy();
    await quiet();
  });

  test("needs no protocol to be named", async () => {
    const port = await listen(greeter(["api.test"]));
    const socket = await makeDialler().connectTls(authority(`api.test:${port}`), "s1", []);
    expect((await greeting(socket)).alpn).toBe(false);
    socket.destroy();
  });

  test("to an address has no SNI and wants that address in the certificate", async () => {
    const port = await listen(greeter(["127.0.0.1", "api.test"]));
    const dialler = makeDialler();
    const socket = await dialler.connectTls(authority(`127.0.0.1:${port}`), "s1", ["http/1.1"]);
    expect((await greeting(socket)).sni).toBe(false);
    socket.destroy();
    const other = await listen(greeter(["api.test"]));
    expect((await fault(dialler.connectTls(authority(`127.0.0.1:${other}`), "s1", []))).code).toBe(
      "upstream-certificate",
    );
  });

  test("is refused when the certificate is for another host, though the address is the same", async () => {
    const port = await listen(greeter(["api.test"]));
    const error = await fault(makeDialler().connectTls(authority(`other.test:${port}`), "s1", []));
    expect(error.code).toBe("upstream-certificate");
    expect(error.detail).toBe(`other.test:${port}: ERR_TLS_CERT_ALTNAME_INVALID`);
    await quiet();
  });

  test("is refused when nobody that we trust has signed", async () => {
    const port = await listen(greeter(["api.test"]));
    const error = await fault(makeDialler({ extraRoots: [] }).connectTls(authority(`api.test:${port}`), "s1", []));
    expect(error.code).toBe("upstream-certificate");
    expect(error.detail).toMatch(/: [A-Z_]+$/);
    await quiet();
  });

  test.each([
    ["has expired", { notBefore: Date.now() - 3 * dayMs, notAfter: Date.now() - dayMs }, "CERT_HAS_EXPIRED"],
    ["is not valid yet", { notBefore: Date.now() + dayMs, notAfter: Date.now() + 3 * dayMs }, "CERT_NOT_YET_VALID"],
  ])("is refused when the certificate %s", async (_what, validity, reason) => {
    const { certPem, keyPem } = pki.issue(["api.test"], validity);
    const port = await listen(greeter(["api.test"], { cert: certPem, key: keyPem }));
    const error = await fault(makeDialler().connectTls(authority(`api.test:${port}`), "s1", []));
    expect(error.code).toBe("upstream-certificate");
    expect(error.detail).toContain(reason);
  });
});

describe("trusted roots", () => {
  test("given by the operator extend the usual ones and NODE_EXTRA_CA_CERTS, and replace neither", async () => {
    const usual = makePki();
    await writeFile(join(dir, "usual.pem"), usual.caPem);
    const port = await listen(greeter(["api.test"]));
    const leaf = usual.issue(["other.test"]);
    const usualPort = await listen(greeter(["other.test"], { cert: leaf.certPem, key: leaf.keyPem }));
    const source = new URL("../../src/proxy/dial.ts", import.meta.url).href;
    const core = new URL("../../src/core/authority/", import.meta.url).href;
    const script = `
      const { Dialler } = await import(${JSON.stringify(source)});
      const { CidrSet, parseCidr, parseIp } = await import(${JSON.stringify(`${core}ip.ts`)});
      const dialler = new Dialler({
        resolver: { resolve: () => [parseIp("127.0.0.1")] },
        allowPrivate: new CidrSet([parseCidr("127.0.0.0/8")]),
        ownListeners: () => [],
        extraRoots: JSON.parse(process.env.ROOTS),
      });
      for (const [host, port] of [["api.test", ${port}], ["other.test", ${usualPort}]]) {
        await dialler.connectTls({ scheme: "https", host, port }, "s1", []).then(
          (socket) => { console.log(host, socket.authorized); socket.destroy(); },
          (error) => console.log(host, error.code),
        );
      }`;
    const child = (roots: string[]) =>
      run(process.execPath, ["--input-type=module", "--eval", script], {
        env: { ...process.env, NODE_EXTRA_CA_CERTS: join(dir, "usual.pem"), ROOTS: JSON.stringify(roots) },
      });
    expect((await child([pki.caPem])).stdout).toBe("api.test true\nother.test true\n");
    expect((await child([])).stdout).toBe("api.test upstream-certificate\nother.test true\n");
  });

  test("may be several in one text, and must be certificates", async () => {
    const port = await listen(greeter(["api.test"]));
    const dialler = makeDialler({ extraRoots: [`# ours\n${makePki().caPem}\n${pki.caPem}`] });
    const socket = await dialler.connectTls(authority(`api.test:${port}`), "s1", []);
    expect(socket.authorized).toBe(true);
    socket.destroy();
    expect(() => makeDialler({ extraRoots: ["nonsense"] })).toThrow(/no certificate/);
    expect(() =>
      makeDialler({ extraRoots: ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] }),
    ).toThrow();
  });
});

describe("session resumption", () => {
  async function reused(dialler: Dialler, port: number, sandbox: string, alpn: string[], host = "api.test") {
    const socket = await dialler.connectTls(authority(`${host}:${port}`), sandbox, alpn);
    const seen = await greeting(socket);
    expect(socket.authorized).toBe(true);
    expect(socket.isSessionReused()).toBe(seen.reused);
    socket.destroy();
    return seen.reused;
  }

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "is used within a sandbox, authority and protocol (%s)",
    async (version) => {
      const port = await listen(greeter(["api.test", "other.test"], { minVersion: version, maxVersion: version }));
      const dialler = makeDialler();
      expect(await reused(dialler, port, "s1", ["http/1.1"])).toBe(false);
      expect(await reused(dialler, port, "s1", ["http/1.1"])).toBe(true);
      expect(await reused(dialler, port, "s1", ["http/1.1"])).toBe(true);
      expect(await reused(dialler, port, "s2", ["http/1.1"])).toBe(false);
      expect(await reused(dialler, port, "s1", ["h2"])).toBe(false);
      expect(await reused(dialler, port, "s1", ["http/1.1"], "other.test")).toBe(false);
    },
  );

  test("is bounded", async () => {
    const port = await listen(greeter(["api.test"]));
    const dialler = makeDialler({ maxSessions: 2 });
    for (const sandbox of ["s1", "s2", "s3"]) expect(await reused(dialler, port, sandbox, [])).toBe(false);
    expect(await reused(dialler, port, "s3", [])).toBe(true);
    expect(await reused(dialler, port, "s1", [])).toBe(false);
  });

  test("does not come from a server whose certificate was refused", async () => {
    const port = await listen(greeter(["api.test"], { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }));
    const dialler = makeDialler();
    for (let round = 0; round < 3; round++) {
      const error = await fault(dialler.connectTls(authority(`other.test:${port}`), "s1", []));
      expect(error.code).toBe("upstream-certificate");
    }
  });
});

describe("addresses", () => {
  test("inside are refused, with nothing dialled, for TLS and TCP", async () => {
    let connections = 0;
    const port = await listen(
      createTcpServer(() => {
        connections += 1;
      }),
    );
    const dialler = makeDialler({ allowPrivate: new CidrSet([]) });
    for (const target of [`api.test:${port}`, `127.0.0.1:${port}`, `inside.test:${port}`]) {
      expect((await fault(dialler.connectTls(authority(target), "s1", []))).code).toBe("address-private");
      expect((await fault(dialler.connectTcp(authority(target), "s1"))).code).toBe("address-private");
    }
    expect(connections).toBe(0);
  });

  test("are the checked ones: a name whose answer changes is checked again", async () => {
    const port = await listen(greeter(["rebind.test"]));
    let now = Date.now();
    const resolver = new NameResolver({ clock: () => now, hostsPath, servers: [dns.address], useSystem: false });
    const dialler = makeDialler({ resolver });
    dns.set("A", "rebind.test", { addresses: ["127.0.0.1"], ttl: 1 });
    const socket = await dialler.connectTls(authority(`rebind.test:${port}`), "s1", []);
    socket.destroy();
    dns.set("A", "rebind.test", { addresses: ["169.254.169.254"], ttl: 1 });
    now += 1000;
    const error = await fault(dialler.connectTls(authority(`rebind.test:${port}`), "s1", []));
    expect(error.code).toBe("address-private");
    expect(error.detail).toBe("rebind.test: metadata");
  });

  test("of a mixed answer, only those allowed are dialled", async () => {
    const port = await listen(greeter(["mixed.test"]));
    dns.set("A", "mixed.test", { addresses: ["169.254.169.254", "10.0.0.1", "127.0.0.1"], ttl: 60 });
    const socket = await makeDialler().connectTls(authority(`mixed.test:${port}`), "s1", []);
    expect(socket.remoteAddress).toBe("127.0.0.1");
    socket.destroy();
  });

  test("of keyswap itself are refused though allowed", async () => {
    let connections = 0;
    const port = await listen(
      createTcpServer(() => {
        connections += 1;
      }),
    );
    const dialler = makeDialler({ ownListeners: () => [{ address: "0.0.0.0", port }] });
    for (const target of [`api.test:${port}`, `127.0.0.1:${port}`, `localhost:${port}`]) {
      expect((await fault(dialler.connectTcp(authority(target), "s1"))).code).toBe("address-own");
    }
    expect(connections).toBe(0);
  });
});

describe("failures", () => {
  test("are told apart: no name, refused, no TLS", async () => {
    const dialler = makeDialler();
    expect((await fault(dialler.connectTls(authority("gone.test:443"), "s1", []))).code).toBe("dns-failed");

    const closed = createTcpServer();
    const port = await listen(closed);
    servers.splice(servers.indexOf(closed), 1);
    closed.close();
    await once(closed, "close");
    const refused = await fault(dialler.connectTls(authority(`api.test:${port}`), "s1", []));
    expect([refused.code, refused.detail]).toEqual(["connect-refused", `api.test:${port}: ECONNREFUSED`]);
    expect((await fault(dialler.connectTcp(authority(`api.test:${port}`), "s1"))).code).toBe("connect-refused");

    const plain = await listen(createTcpServer((socket) => socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n")));
    const noTls = await fault(dialler.connectTls(authority(`api.test:${plain}`), "s1", []));
    expect(noTls.code).toBe("upstream-tls");
    expect(noTls.message).not.toContain("Bad Request");

    const cut = await listen(createTcpServer((socket) => socket.destroy()));
    expect((await fault(dialler.connectTls(authority(`api.test:${cut}`), "s1", []))).code).toBe("upstream-tls");

    const h2 = await listen(greeter(["api.test"], { ALPNProtocols: ["h2"] }));
    const noProtocol = await fault(dialler.connectTls(authority(`api.test:${h2}`), "s1", ["http/1.1"]));
    expect(noProtocol.code).toBe("upstream-tls");
    expect(noProtocol.detail).toContain("NO_APPLICATION_PROTOCOL");
    await quiet();
  });

  test("a handshake that never ends is given up at the deadline, and closed", async () => {
    const port = await listen(silent());
    const error = await fault(makeDialler({ timeoutMs: 100 }).connectTls(authority(`api.test:${port}`), "s1", []));
    expect([error.code, error.detail]).toEqual(["connect-timeout", `api.test:${port}`]);
    await quiet();
  });

  test("a name that is never answered is given up at the deadline", async () => {
    dns.set("A", "silent.test", { fail: "silence" });
    dns.set("AAAA", "silent.test", { fail: "silence" });
    const error = await fault(makeDialler({ timeoutMs: 100 }).connectTcp(authority("silent.test:443"), "s1"));
    expect(error.code).toBe("connect-timeout");
  });
});

describe("the caller's signal", () => {
  test("ends a dial in every phase, with its reason, and leaves no socket", async () => {
    const dialler = makeDialler();
    const reason = new KeyswapError("shutting-down");
    const port = await listen(silent());

    // Before anything.
    expect(await fault(dialler.connectTls(authority(`api.test:${port}`), "s1", [], AbortSignal.abort(reason)))).toBe(
      reason,
    );

    // While the name is being resolved.
    dns.set("A", "quiet.test", { fail: "silence" });
    dns.set("AAAA", "quiet.test", { fail: "silence" });
    const resolving = new AbortController();
    const first = fault(dialler.connectTls(authority(`quiet.test:${port}`), "s1", [], resolving.signal));
    resolving.abort(reason);
    expect(await first).toBe(reason);

    // While connecting.
    const connecting = new AbortController();
    const second = fault(dialler.connectTls(authority(`api.test:${port}`), "s1", [], connecting.signal));
    connecting.abort(reason);
    expect(await second).toBe(reason);

    // In the handshake.
    const shaking = new AbortController();
    const third = fault(dialler.connectTls(authority(`api.test:${port}`), "s1", [], shaking.signal));
    const server = servers.at(-1);
    if (server) await once(server, "connection");
    shaking.abort(reason);
    expect(await third).toBe(reason);

    await quiet();
  });

  test("any other reason is told as an aborted connection", async () => {
    const error = await fault(
      makeDialler().connectTcp(authority("api.test:1"), "s1", AbortSignal.abort(new Error("x"))),
    );
    expect([error.code, error.detail]).toEqual(["connect-failed", "aborted"]);
  });

  test("has no hold on a connection once it is made", async () => {
    const port = await listen(greeter(["api.test"]));
    const stop = new AbortController();
    const socket = await makeDialler().connectTls(authority(`api.test:${port}`), "s1", [], stop.signal);
    stop.abort();
    expect((await greeting(socket)).sni).toBe("api.test");
    socket.destroy();
  });
});

test("a hundred connections come and go and leave nothing behind", async () => {
  const port = await listen(greeter(["api.test"]));
  const dialler = makeDialler();
  for (let round = 0; round < 10; round++) {
    const dials = Array.from({ length: 10 }, (_, index) =>
      dialler.connectTls(authority(`api.test:${port}`), `s${index}`, []),
    );
    for (const socket of await Promise.all(dials)) socket.destroy();
  }
  await quiet();
  expect(accepted.size).toBe(0);
});
