// Promise: what is inside is not reached, whatever it is called and whatever its name resolves to.

import { type Attempt, reach, type WayIn, waysIn } from "./ways.ts";
import { type AttackCase, aliceAddress, holds, portOf, same, trapAddress, until, type World } from "./world.ts";

/** Addresses inside, by kind; those of 127.0.0.2 would reach the trap. */
const inside: Readonly<Record<string, string>> = {
  "10/8": "10.0.0.1",
  "172.16/12": "172.16.0.1",
  "192.168/16": "192.168.0.1",
  CGNAT: "100.64.0.1",
  "link-local": "169.254.1.1",
  metadata: "169.254.169.254",
  "metadata in IPv6": "[fd00:ec2::254]",
  "metadata in hex": "0xa9fea9fe",
  "metadata as one number": "2852039166",
  "metadata in octal": "0251.0376.0251.0376",
  "metadata, mapped": "[::ffff:169.254.169.254]",
  "metadata through NAT64": "[64:ff9b::a9fe:a9fe]",
  "metadata through 6to4": "[2002:a9fe:a9fe::1]",
  "unique local": "[fd12:3456::1]",
  "link-local in IPv6": "[fe80::1]",
  "loopback in IPv6": "[::1]",
  "unspecified in IPv6": "[::]",
  multicast: "224.0.0.1",
  "multicast in IPv6": "[ff02::1]",
  broadcast: "255.255.255.255",
  reserved: "240.0.0.1",
  "this network": "0.0.0.0",
  loopback: trapAddress,
  "loopback as one number": "2130706434",
  "loopback in hex": "0x7f000002",
  "loopback in hex, dotted": "0x7f.0.0.0x2",
  "loopback in octal": "017700000002",
  "loopback in short": "127.2",
  "loopback in three parts": "127.0.2",
  "loopback with a trailing dot": "127.0.0.2.",
  "loopback, mapped": "[::ffff:127.0.0.2]",
  "loopback, mapped, in hex": "[::ffff:7f00:2]",
  "loopback, long form": "[0:0:0:0:0:ffff:7f00:2]",
  "loopback through NAT64": "[64:ff9b::127.0.0.2]",
  "loopback through 6to4": "[2002:7f00:2::1]",
  "loopback, compatible": "[::127.0.0.2]",
};

async function refusedByAll(world: World, host: string, port: number, error: string): Promise<void> {
  const sandbox = await world.sandbox([], { sources: [`${aliceAddress}/32`] });
  try {
    for (const way of waysIn) assertRefused(way, await reach(world, sandbox, way, host, port), error);
    same(world.trap.connections, 0, "connections to the trap");
  } finally {
    await world.api("DELETE", `/sandbox/${sandbox.id}`);
  }
}

function assertRefused(way: WayIn, { status, error: actual, body }: Attempt, error: string): void {
  // SOCKS5 has a reply code of its own for it: "not allowed by ruleset". Over SOCKS a spelling in brackets is no name.
  if (way === "socks5" && (actual === "socks 2" || actual === "socks 1" || actual === "socks 8")) return;
  holds(status === 403 && actual === error, `${way}: ${status} ${actual ?? body}, not 403 ${error}`);
}

let named = 0;

/** A fresh name with these addresses. */
function nameFor(world: World, addresses: readonly string[], type: "A" | "AAAA" = "A", ttl = 300): string {
  named += 1;
  const name = `inside-${named}.test`;
  world.dns.set(type, name, { addresses, ttl });
  return name;
}

/** Names without an entry in the DNS server that are loopback by themselves. */
const ownNames: readonly string[] = [
  "127.0.0.1",
  "localhost",
  "any.localhost",
  "LOCALHOST.",
  "2130706433",
  "[::ffff:127.0.0.1]",
];

export const cases: readonly AttackCase[] = [
  ...Object.entries(inside).map(([kind, host]) => ({
    name: `${kind} (${host}) is refused by every way in`,
    run: (world: World) => refusedByAll(world, host, world.trap.port, "address-private"),
  })),
  ...["10.0.0.1", "169.254.169.254", "100.64.0.1", trapAddress, "0.0.0.0"].map((address) => ({
    name: `a name that resolves to ${address} is refused by every way in`,
    run: (world: World) => refusedByAll(world, nameFor(world, [address]), world.trap.port, "address-private"),
  })),
  ...["::1", "fd00:ec2::254", "fe80::1", "::ffff:127.0.0.2", "64:ff9b::7f00:2", "2002:7f00:2::"].map((address) => ({
    name: `a name that resolves to ${address} is refused by every way in`,
    run: (world: World) => refusedByAll(world, nameFor(world, [address], "AAAA"), world.trap.port, "address-private"),
  })),
  {
    name: "of a mixed answer only what is allowed is dialled",
    run: async (world) => {
      const sandbox = await world.sandbox([]);
      // Nothing listens on the trap's port at the allowed address.
      const name = nameFor(world, [trapAddress, "10.0.0.1", "127.0.0.1"]);
      const { error } = await reach(world, sandbox, "connect", name, world.trap.port);
      same(error, "connect-refused", "error");
      same(world.trap.connections, 0, "connections to the trap");
    },
  },
  {
    name: "a name whose answer changes after it was allowed is judged again (rebinding)",
    run: async (world) => {
      const sandbox = await world.sandbox([]);
      const name = nameFor(world, ["127.0.0.1"], "A", 0);
      same((await reach(world, sandbox, "connect", name, world.trap.port)).error, "connect-refused", "first");
      world.dns.set("A", name, { addresses: [trapAddress], ttl: 0 });
      await until(async () => {
        same((await reach(world, sandbox, "connect", name, world.trap.port)).error, "address-private", "then");
      });
      same(world.trap.connections, 0, "connections to the trap");
    },
  },
  {
    name: "a name whose answers alternate never gets to the address that is not allowed",
    run: async (world) => {
      const sandbox = await world.sandbox([]);
      for (let round = 0; round < 30; round++) {
        const name = nameFor(world, [round % 2 === 0 ? trapAddress : "127.0.0.1"], "A", 0);
        const first = reach(world, sandbox, "connect", name, world.trap.port);
        world.dns.set("A", name, { addresses: [round % 2 === 0 ? "127.0.0.1" : trapAddress], ttl: 0 });
        await Promise.all([first, reach(world, sandbox, "absolute", name, world.trap.port)]);
      }
      same(world.trap.connections, 0, "connections to the trap");
    },
  },
  ...(["proxy", "api", "admin", "tls", "http"] as const).map((listener) => ({
    name: `keyswap's own ${listener} port is refused by every way in and every name`,
    run: async (world: World) => {
      const { ready } = world.keyswap;
      const port = listener === "api" ? Number(new URL(ready.api).port) : portOf(ready[listener]);
      for (const host of ownNames) await refusedByAll(world, host, port, "address-own");
    },
  })),
  {
    name: "2,000 made-up placeholders cost the Secret API a bounded number of calls",
    run: async (world) => {
      const secret = await world.secret("a value for the flood of placeholders", ["api.good.test"]);
      const sandbox = await world.sandbox([secret]);
      const { intercepted, exchange } = await import("./ways.ts");
      const client = await intercepted(world, sandbox, "api.good.test", world.good.port);
      const calls = () => world.keyswap.stderr().split('"/api/sandbox/:sandboxId/egress"').length;
      const [before, from] = [calls(), performance.now()];
      for (let round = 0; round < 20; round++) {
        const fakes = Array.from(
          { length: 100 },
          (_, at) => `dtn_secret_${String(round * 100 + at).padStart(25, "z")}`,
        );
        const head = `GET / HTTP/1.1\r\nHost: api.good.test\r\nX-Fakes: ${fakes.join(" ")}\r\n\r\n`;
        same((await exchange(client, head)).status, 200, "status");
      }
      client.close();
      const seconds = (performance.now() - from) / 1000;
      // One forced refresh a second at most, and the first look-ups.
      holds(calls() - before <= Math.ceil(seconds) + 5, `${calls() - before} calls in ${seconds} s`);
    },
  },
];
