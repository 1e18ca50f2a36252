import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Host, parseHost } from "../../src/core/authority/host.ts";
import { formatIp, type IpAddress } from "../../src/core/authority/ip.ts";
import { KeyswapError } from "../../src/core/errors.ts";
import { NameResolver, type NameResolverOptions } from "../../src/proxy/dns.ts";
import { parseHosts } from "../../src/proxy/hosts-file.ts";
import { type DnsServer, startDnsServer } from "../support/dns-server.ts";

let dir: string;
let hostsPath: string;
let server: DnsServer;
let now: number;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "keyswap-dns-"));
  hostsPath = join(dir, "hosts");
  server = await startDnsServer();
  now = 1_000_000;
});
afterEach(async () => {
  await server.close();
  await rm(dir, { recursive: true, force: true });
});

function makeResolver(options: Partial<NameResolverOptions> = {}): NameResolver {
  return new NameResolver({ clock: () => now, servers: [server.address], hostsPath, useSystem: false, ...options });
}

function host(text: string): Host {
  const result = parseHost(text);
  if (result.kind === "invalid") throw new Error(result.detail);
  return result.host;
}

async function addresses(resolver: NameResolver, name: string): Promise<string[]> {
  return (await resolver.resolve(host(name))).map(formatIp).sort();
}

async function fault(promise: Promise<unknown>): Promise<KeyswapError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof KeyswapError)) throw new Error(`expected a KeyswapError, got ${String(error)}`);
  return error;
}

/** Until the server was asked this often; bounded by the test's own time. */
async function asked(count: number): Promise<void> {
  while (server.questions.length < count) await new Promise((resolve) => setImmediate(resolve));
}

describe("what needs no DNS", () => {
  test.each(["192.0.2.1", "2001:db8::1"])("an address is itself: %s", async (text) => {
    expect(await addresses(makeResolver(), text)).toEqual([text]);
    expect(server.questions).toEqual([]);
  });

  test("the hosts file wins over DNS and is followed", async () => {
    server.set("A", "db.example", { addresses: ["198.51.100.9"], ttl: 300 });
    await writeFile(hostsPath, "10.0.0.1 db.example\n");
    const resolver = makeResolver();
    expect(resolver.resolve(host("DB.example."))).not.toBeInstanceOf(Promise);
    expect(await addresses(resolver, "db.example")).toEqual(["10.0.0.1"]);
    expect(server.questions).toEqual([]);
    await writeFile(hostsPath, "\n");
    now += 1000;
    expect(await addresses(resolver, "db.example")).toEqual(["198.51.100.9"]);
  });

  test("localhost and names below it are loopback, whatever DNS says", async () => {
    server.set("A", "evil.localhost", { addresses: ["198.51.100.9"], ttl: 300 });
    const resolver = makeResolver();
    expect(await addresses(resolver, "localhost")).toEqual(["127.0.0.1", "::1"]);
    expect(await addresses(resolver, "evil.localhost")).toEqual(["127.0.0.1", "::1"]);
    expect(server.questions).toEqual([]);
  });
});

describe("DNS", () => {
  test("both families are asked and joined, aliases followed", async () => {
    server.set("A", "www.example", {
      addresses: ["198.51.100.1", "198.51.100.2"],
      ttl: 60,
      via: { name: "edge.example.net", ttl: 60 },
    });
    server.set("AAAA", "www.example", { addresses: ["2001:db8::1"], ttl: 60 });
    expect(await addresses(makeResolver(), "www.example")).toEqual(["198.51.100.1", "198.51.100.2", "2001:db8::1"]);
    expect(server.questions.toSorted()).toEqual(["A www.example", "AAAA www.example"]);
  });

  test.each(["A", "AAAA"] as const)("a name with %s records alone resolves", async (type) => {
    const address = type === "A" ? "198.51.100.1" : "2001:db8::1";
    server.set(type, "one.example", { addresses: [address], ttl: 60 });
    expect(await addresses(makeResolver(), "one.example")).toEqual([address]);
  });

  test("an IPv4-mapped answer is judged as the IPv4 address that a socket would take it for", async () => {
    server.set("AAAA", "mapped.example", { addresses: ["::ffff:127.0.0.1"], ttl: 60 });
    expect(await addresses(makeResolver(), "mapped.example")).toEqual(["127.0.0.1"]);
  });

  test("one family's silence does not hold up the other's answer", async () => {
    server.set("A", "half.example", { addresses: ["198.51.100.1"], ttl: 60 });
    server.set("AAAA", "half.example", { fail: "silence" });
    expect(await addresses(makeResolver({ timeoutMs: 1900 }), "half.example")).toEqual(["198.51.100.1"]);
  });
});

describe("remembering", () => {
  test.each([
    ["its TTL", 60, 60_000],
    ["a second at least", 0, 1000],
    ["five minutes at most", 86_400, 300_000],
  ])("an answer holds for %s", async (_what, ttl, heldMs) => {
    server.set("A", "a.example", { addresses: ["198.51.100.1"], ttl });
    const resolver = makeResolver();
    await addresses(resolver, "a.example");
    server.set("A", "a.example", { addresses: ["198.51.100.2"], ttl });
    now += heldMs - 1;
    expect(resolver.resolve(host("a.example"))).not.toBeInstanceOf(Promise);
    expect(await addresses(resolver, "a.example")).toEqual(["198.51.100.1"]);
    now += 1;
    expect(await addresses(resolver, "a.example")).toEqual(["198.51.100.2"]);
  });

  test("the shortest TTL of records, families and aliases counts", async () => {
    server.set("A", "a.example", { addresses: ["198.51.100.1"], ttl: 200, via: { name: "b.example", ttl: 20 } });
    server.set("AAAA", "a.example", { addresses: ["2001:db8::1"], ttl: 90 });
    const resolver = makeResolver();
    await addresses(resolver, "a.example");
    now += 19_999;
    expect(resolver.resolve(host("a.example"))).not.toBeInstanceOf(Promise);
    now += 1;
    expect(resolver.resolve(host("a.example"))).toBeInstanceOf(Promise);
    await resolver.resolve(host("a.example"));
  });

  test("a clock that was set back does not make an answer last", async () => {
    server.set("A", "a.example", { addresses: ["198.51.100.1"], ttl: 60 });
    const resolver = makeResolver();
    await addresses(resolver, "a.example");
    server.set("A", "a.example", { addresses: ["198.51.100.2"], ttl: 60 });
    now -= 500_000;
    expect(await addresses(resolver, "a.example")).toEqual(["198.51.100.2"]);
  });

  test("a failure holds for a second", async () => {
    const resolver = makeResolver();
    expect((await fault(addresses(resolver, "gone.example"))).code).toBe("dns-failed");
    server.set("A", "gone.example", { addresses: ["198.51.100.1"], ttl: 60 });
    now += 999;
    expect((await fault(addresses(resolver, "gone.example"))).code).toBe("dns-failed");
    expect(server.questions.length).toBe(2);
    now += 1;
    expect(await addresses(resolver, "gone.example")).toEqual(["198.51.100.1"]);
  });

  test("the number of names is bounded", async () => {
    const resolver = makeResolver({ maxNames: 2 });
    for (const name of ["a", "b", "c"]) {
      server.set("A", `${name}.example`, { addresses: ["198.51.100.1"], ttl: 60 });
      await addresses(resolver, `${name}.example`);
    }
    expect(resolver.resolve(host("c.example"))).not.toBeInstanceOf(Promise);
    const again = resolver.resolve(host("a.example"));
    expect(again).toBeInstanceOf(Promise);
    await again;
  });
});

describe("under load and in trouble", () => {
  test("a name is asked once for all who want it", async () => {
    server.set("A", "a.example", { addresses: ["198.51.100.1"], ttl: 60 });
    const release = server.hold();
    const resolver = makeResolver();
    const all = Array.from({ length: 50 }, () => addresses(resolver, "a.example"));
    await asked(2);
    release();
    expect(new Set((await Promise.all(all)).flat())).toEqual(new Set(["198.51.100.1"]));
    expect(server.questions.length).toBe(2);
  });

  test("resolutions under way are bounded; names that are known still resolve", async () => {
    server.set("A", "a.example", { addresses: ["198.51.100.1"], ttl: 60 });
    const resolver = makeResolver({ maxPending: 2 });
    await addresses(resolver, "a.example");
    const release = server.hold();
    const waiting = [fault(addresses(resolver, "b.example")), fault(addresses(resolver, "c.example"))];
    expect((await fault(addresses(resolver, "d.example"))).code).toBe("overloaded");
    expect(await addresses(resolver, "a.example")).toEqual(["198.51.100.1"]);
    await asked(6);
    release();
    expect((await Promise.all(waiting)).map(({ code }) => code)).toEqual(["dns-failed", "dns-failed"]);
    expect((await fault(addresses(resolver, "d.example"))).code).toBe("dns-failed");
  });

  test("one sandbox may have so many under way, others go on, and what ended makes room", async () => {
    server.set("A", "mine.example", { addresses: ["198.51.100.1"], ttl: 60 });
    const resolver = makeResolver({ maxPending: 10, maxPendingPerSandbox: 2 });
    const by = (sandbox: string, name: string): Promise<readonly IpAddress[]> =>
      Promise.resolve(resolver.resolve(host(name), sandbox));
    const release = server.hold();
    const waiting = [fault(by("walker", "b.example")), fault(by("walker", "c.example"))];
    const refused = await fault(by("walker", "d.example"));
    expect([refused.code, refused.detail]).toEqual(["sandbox-overloaded", "names to resolve"]);
    // What somebody asks for already costs nothing more.
    waiting.push(fault(by("walker", "c.example")));
    const neighbour = by("neighbour", "mine.example");
    await asked(6);
    release();
    expect((await neighbour).map(formatIp)).toEqual(["198.51.100.1"]);
    expect((await Promise.all(waiting)).map(({ code }) => code)).toEqual(["dns-failed", "dns-failed", "dns-failed"]);
    expect((await fault(by("walker", "d.example"))).code).toBe("dns-failed");
  });

  test("a name that does not exist says so", async () => {
    const error = await fault(addresses(makeResolver(), "gone.example"));
    expect(error.code).toBe("dns-failed");
    expect(error.detail).toBe("gone.example: ENOTFOUND");
  });

  test("a server's failure says so", async () => {
    server.set("A", "bad.example", { fail: "servfail" });
    server.set("AAAA", "bad.example", { fail: "servfail" });
    const error = await fault(addresses(makeResolver(), "bad.example"));
    expect(error.code).toBe("dns-failed");
    expect(error.detail).toBe("bad.example: ESERVFAIL");
  });

  test("silence ends at the deadline, not later", async () => {
    server.set("A", "slow.example", { fail: "silence" });
    server.set("AAAA", "slow.example", { fail: "silence" });
    const error = await fault(addresses(makeResolver({ timeoutMs: 100 }), "slow.example"));
    expect(error.code).toBe("dns-timeout");
    expect(error.detail).toBe("slow.example");
  });

  test("garbage is a failure", async () => {
    server.set("A", "odd.example", { fail: "garbage" });
    server.set("AAAA", "odd.example", { fail: "garbage" });
    const error = await fault(addresses(makeResolver(), "odd.example"));
    expect(error.code).toBe("dns-failed");
    expect(error.detail).toMatch(/^odd\.example: E[A-Z]+$/);
  });

  test("an answer that comes after the deadline is remembered", async () => {
    server.set("A", "late.example", { addresses: ["198.51.100.1"], ttl: 60 });
    const release = server.hold();
    const resolver = makeResolver({ timeoutMs: 20 });
    expect((await fault(addresses(resolver, "late.example"))).code).toBe("dns-timeout");
    release();
    while (resolver.resolve(host("late.example")) instanceof Promise) {
      await addresses(resolver, "late.example").catch(() => undefined);
    }
    expect(await addresses(resolver, "late.example")).toEqual(["198.51.100.1"]);
    expect(server.questions.length).toBe(2);
  });
});

// A name that this machine's own hosts file has; the resolver under test looks at another hosts file.
const ownName = [...parseHosts(await readFile("/etc/hosts", "latin1").catch(() => "")).keys()].find(
  (name) => !name.endsWith("localhost") && parseHost(name).kind === "host",
);
const withOwnName = ownName === undefined ? test.skip : test;

withOwnName("the system's resolver is asked last (needs a name in /etc/hosts besides localhost)", async () => {
  const name = ownName ?? "";
  expect((await fault(addresses(makeResolver(), name))).code).toBe("dns-failed");
  const resolver = makeResolver({ useSystem: true });
  expect((await addresses(resolver, name)).length).toBeGreaterThan(0);
  expect(server.questions.length).toBe(4);
  now += 4999;
  expect(resolver.resolve(host(name))).not.toBeInstanceOf(Promise);
  now += 1;
  const again = resolver.resolve(host(name));
  expect(again).toBeInstanceOf(Promise);
  await again;
});
