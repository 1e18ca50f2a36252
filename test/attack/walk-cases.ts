// A sandbox that walks through destinations: what it leaves behind, and what it keeps waiting, is its own.

import { readdirSync } from "node:fs";
import { startRawOrigin } from "../support/raw-origin.ts";
import { askConnect, dial } from "../support/wire-client.ts";
import { attemptOf, exchange, intercepted } from "./ways.ts";
import { type AttackCase, goodHost, holds, inOwnWorld, same, until, type World } from "./world.ts";

/** The world's bound on one sandbox's connections. */
const bound = 200;

function descriptors(world: World): number {
  return readdirSync(`/proc/${world.keyswap.pid}/fd`).length;
}

export const walkCases: readonly AttackCase[] = [
  {
    name: "a sandbox that walks through 600 destinations leaves no more connections behind than it may have",
    run: async (world) => {
      const sandbox = await world.sandbox([]);
      const origin = await startRawOrigin({}, async ({ wire, readRequest }) => {
        for (let count = 0; count < 1_000; count++) {
          await readRequest();
          wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
      });
      try {
        const before = descriptors(world);
        const client = await dial(world.port);
        for (let at = 0; at < 600; at++) {
          const name = `walk-${at}.test`;
          world.dns.set("A", name, { addresses: ["127.0.0.1"], ttl: 300 });
          const url = `http://${name}:${origin.port}/`;
          const head = `Host: ${name}:${origin.port}\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`;
          same((await exchange(client, `GET ${url} HTTP/1.1\r\n${head}`)).status, 200, name);
        }
        await until(() => holds(descriptors(world) <= before + bound + 8, `${descriptors(world)}, ${before} before`));
        client.close();
        return `${descriptors(world) - before} descriptors more`;
      } finally {
        await origin.close();
      }
    },
  },
  {
    name: "a sandbox whose name servers never answer keeps no neighbour from resolving names",
    run: () =>
      inOwnWorld(
        async (world) => {
          const secret = await world.secret("a value behind a name", [goodHost]);
          const [walker, victim] = [await world.sandbox([]), await world.sandbox([secret])];
          // More than are resolved at a time, in all.
          const held = Array.from({ length: 1_100 }, async (_, at) => {
            const name = `silent-${at}.test`;
            world.dns.set("A", name, { fail: "silence" });
            world.dns.set("AAAA", name, { fail: "silence" });
            const { answer, client } = await askConnect(world, `${name}:443`, walker.credentials);
            client.close();
            return attemptOf(answer).status;
          });
          // The first that is refused shows that the walker is at its bound.
          same(await Promise.race(held), 429, "the first answer");
          const client = await intercepted(world, victim, goodHost, world.good.port);
          const text = `GET / HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${secret.placeholder}\r\n\r\n`;
          // Its name was not asked for before.
          same((await exchange(client, text)).status, 200, "the neighbour's status");
          client.close();
          same([...new Set(await Promise.all(held))].sort(), [429, 504], "statuses");
        },
        { KEYSWAP_MAX_SANDBOX_CONNECTIONS: "2000", KEYSWAP_MAX_NEWCOMERS: "2000" },
      ),
  },
];
