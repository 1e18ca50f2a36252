// Promise: hosts and ports that deployment or sandbox deny are not reached, by any way in, in any spelling.

import { intercepted, reach, reachTransparentTls, waysIn } from "./ways.ts";
import { type AttackCase, aliceAddress, evilHost, goodHost, holds, type Sandbox, same, type World } from "./world.ts";

/** Runs with alice: known by her token, and by her address on transparent ports. */
async function asAlice(
  world: World,
  egressPolicy: { readonly allow?: string[]; readonly deny?: string[] } | undefined,
  then: (alice: Sandbox) => Promise<void>,
): Promise<void> {
  const secret = await world.secret("a value of alice", [goodHost]);
  const policy = egressPolicy === undefined ? {} : { egressPolicy };
  const alice = await world.sandbox([secret], { sources: [`${aliceAddress}/32`], ...policy });
  try {
    await then(alice);
  } finally {
    await world.api("DELETE", `/sandbox/${alice.id}`);
  }
}

async function deniedByAll(world: World, alice: Sandbox, host: string, port: number): Promise<void> {
  for (const way of waysIn) {
    const { status, error } = await reach(world, alice, way, host, port);
    // SOCKS5's own word for it is 2, "not allowed by ruleset".
    holds(error === (way === "socks5" ? "socks 2" : "egress-denied"), `${way}: ${status} ${error}`);
  }
}

const denied: readonly string[] = [
  "denied.test",
  "DENIED.test",
  "denied.test.",
  "denied-zone.test",
  "a.b.denied-zone.test",
];

export const cases: readonly AttackCase[] = [
  ...denied.map((host) => ({
    name: `${host}, denied by the deployment, is refused by every way in`,
    run: (world: World) => asAlice(world, undefined, (alice) => deniedByAll(world, alice, host, world.good.port)),
  })),
  {
    name: "a denied host is refused on the transparent TLS port, with an alert",
    run: (world) =>
      asAlice(world, undefined, async () => {
        same(await reachTransparentTls(world, "denied.test"), "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED", "alert");
      }),
  },
  {
    name: "a denied port is refused, others of the host are not",
    run: (world) =>
      asAlice(world, undefined, async (alice) => {
        await deniedByAll(world, alice, evilHost, 25);
        (await intercepted(world, alice, evilHost, world.evil.port)).close();
      }),
  },
  {
    name: "a sandbox's own list narrows it, and deny goes before allow",
    run: (world) =>
      asAlice(world, { allow: ["*.good.test", "denied.test"], deny: ["other.good.test"] }, async (alice) => {
        (await intercepted(world, alice, goodHost, world.good.port)).close();
        await deniedByAll(world, alice, evilHost, world.evil.port);
        await deniedByAll(world, alice, "other.good.test", world.good.port);
        // The deployment's denial stands whatever the sandbox's list says.
        await deniedByAll(world, alice, "denied.test", world.good.port);
      }),
  },
  {
    name: "a host that is denied although a secret is for it gets no value",
    run: async (world) => {
      const secret = await world.secret("a value for a denied host", ["denied.test"]);
      const sandbox = await world.sandbox([secret]);
      const { error } = await reach(world, sandbox, "connect", "denied.test", world.good.port);
      same(error, "egress-denied", "error");
    },
  },
  {
    name: "an address in place of a name does not get past a list of names",
    run: (world) =>
      asAlice(world, { allow: ["*.good.test"] }, async (alice) => {
        const { status, error } = await reach(world, alice, "connect", "127.0.0.1", world.evil.port);
        same([status, error], [403, "egress-denied"], "answer");
      }),
  },
];
