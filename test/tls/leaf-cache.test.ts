import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CertificateAuthority } from "../../src/tls/authority.ts";
import { LeafCache } from "../../src/tls/leaf-cache.ts";

const run = promisify(execFile);
const dayMs = 24 * 60 * 60 * 1000;

let dir: string;
let authority: CertificateAuthority;
let now: number;
const clock = () => now;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "keyswap-leaves-"));
  now = Date.now();
  authority = await CertificateAuthority.open(dir, clock);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function makeCache(maxLeaves = 10): LeafCache {
  now = Date.now();
  return new LeafCache(authority, { maxLeaves, clock });
}

describe("the cache", () => {
  test("mints once for a host and gives the same context again", () => {
    const cache = makeCache();
    const context = cache.contextFor("a.example");
    expect(cache.contextFor("a.example")).toBe(context);
    expect(cache.contextFor("b.example")).not.toBe(context);
    expect(cache.minted).toBe(2);
  });

  test("tells without minting whether a host is there", () => {
    const cache = makeCache();
    expect(cache.cached("a.example")).toBeUndefined();
    expect(cache.minted).toBe(0);
    expect(cache.contextFor("a.example")).toBe(cache.cached("a.example"));
  });

  test("stays within its bound and keeps what is used", () => {
    const cache = makeCache(3);
    const kept = cache.contextFor("kept.example");
    for (let index = 0; index < 20; index++) {
      cache.contextFor(`n${index}.example`);
      expect(cache.contextFor("kept.example")).toBe(kept);
    }
    expect(cache.size).toBe(3);
  });

  test("replaces a leaf a day before it ends", () => {
    const cache = makeCache();
    const start = now;
    const first = cache.contextFor("a.example");
    now = start + 29 * dayMs - 1;
    expect(cache.contextFor("a.example")).toBe(first);
    now = start + 29 * dayMs;
    expect(cache.contextFor("a.example")).not.toBe(first);
  });

  test("replaces a leaf that is not valid yet because the clock was set back", () => {
    const cache = makeCache();
    const start = now;
    now = start + 10 * dayMs;
    const first = cache.contextFor("a.example");
    now = start;
    expect(cache.contextFor("a.example")).not.toBe(first);
  });

  test("does not mint on every use near the CA's end, and refuses after it", () => {
    const cache = makeCache();
    const end = authority.notAfter.getTime();
    now = end - 60_000;
    const last = cache.contextFor("a.example");
    now = end - 40_000;
    expect(cache.contextFor("a.example")).toBe(last);
    now = end;
    expect(() => cache.contextFor("a.example")).toThrow(/expired/);
  });

  test("forgets all leaves when cleared", () => {
    const cache = makeCache();
    const first = cache.contextFor("a.example");
    cache.clear();
    expect(cache.size).toBe(0);
    expect(cache.contextFor("a.example")).not.toBe(first);
  });
});

describe("on the wire", () => {
  let cache: LeafCache;
  let server: Server;
  let port: number;
  const sockets = new Set<TLSSocket>();

  beforeAll(async () => {
    cache = makeCache();
    server = createServer((plain) => {
      const socket = new TLSSocket(plain, {
        isServer: true,
        // For a client that sends no SNI, as for an IP literal.
        secureContext: cache.contextFor("127.0.0.1"),
        SNICallback: (name, done) => done(null, cache.contextFor(name)),
      });
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.end("hello");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address() as AddressInfo; // listening on TCP
    port = address.port;
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });

  async function greet(host: string, ca: string): Promise<string> {
    const socket = connect({ host: "127.0.0.1", port, servername: host, ca });
    try {
      await once(socket, "secureConnect");
      const [chunk] = await once(socket, "data");
      return String(chunk);
    } finally {
      socket.destroy();
    }
  }

  test("Node takes the leaf of the host it asked for", async () => {
    expect(await greet("api.example.com", authority.certificatePem)).toBe("hello");
  });

  test("a client that trusts another CA refuses it, and after a change of CA only the new one is shown", async () => {
    const otherDir = await mkdtemp(join(tmpdir(), "keyswap-leaves-"));
    try {
      const other = await CertificateAuthority.open(otherDir, clock);
      await expect(greet("api.example.com", other.certificatePem)).rejects.toThrow(/certificate|issuer/);
      cache.replaceAuthority(other);
      expect(await greet("api.example.com", other.certificatePem)).toBe("hello");
      await expect(greet("api.example.com", authority.certificatePem)).rejects.toThrow(/certificate|issuer/);
      cache.replaceAuthority(authority);
      expect(await greet("api.example.com", authority.certificatePem)).toBe("hello");
    } finally {
      await rm(otherDir, { recursive: true, force: true });
    }
  });

  test("a connection lives on after its leaf was dropped and freed", async () => {
    const small = makeCache(1);
    const plain = createServer((socket) => {
      const secure = new TLSSocket(socket, { isServer: true, secureContext: small.contextFor("a.example") });
      secure.on("error", () => undefined);
      secure.pipe(secure);
    });
    plain.listen(0, "127.0.0.1");
    await once(plain, "listening");
    const address = plain.address() as AddressInfo; // listening on TCP
    const client = connect({
      host: "127.0.0.1",
      port: address.port,
      servername: "a.example",
      ca: authority.certificatePem,
    });
    try {
      await once(client, "secureConnect");
      for (let index = 0; index < 200; index++) small.contextFor(`n${index}.example`);
      client.write("still here");
      expect(String((await once(client, "data"))[0])).toBe("still here");
      expect(client.getProtocol()).toBe("TLSv1.3");
    } finally {
      client.destroy();
      plain.close();
      await once(plain, "close");
    }
  });

  const python = spawnSync("python3", ["-c", "import ssl; ssl.VERIFY_X509_STRICT"]);
  const withPython = python.status === 0 ? test : test.skip;
  const suffix = python.status === 0 ? "" : " (skipped: no python3 with ssl)";

  withPython.each(["api.example.com", "127.0.0.1"])(`Python's strict mode takes %s${suffix}`, async (host) => {
    const client = `
import socket, ssl, sys
port, ca, host = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=ca)
context.verify_flags |= ssl.VERIFY_X509_STRICT
with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=host) as s:
    print(s.recv(100).decode(), [value for _, value in s.getpeercert()["subjectAltName"]])
`;
    const { stdout } = await run("python3", ["-c", client, String(port), join(dir, "ca.pem"), host]);
    expect(stdout.trim()).toBe(`hello ['${host}']`);
  });
});
