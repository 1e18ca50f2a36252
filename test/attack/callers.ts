// Promise: only an authenticated sandbox gets anything, only what is its own, and nothing once it is revoked.

import type { TLSSocket } from "node:tls";
import { askConnect } from "../support/wire-client.ts";
import { loginCases } from "./login-cases.ts";
import { attemptOf, exchange, intercepted } from "./ways.ts";
import {
  type AttackCase,
  basic,
  evilHost,
  goodHost,
  holds,
  type Sandbox,
  type Secret,
  same,
  until,
  type World,
} from "./world.ts";

interface Pair {
  readonly alice: Sandbox;
  readonly bob: Sandbox;
  readonly hers: Secret;
  readonly his: Secret;
}

/** Two sandboxes with a secret each for the same host. */
async function pair(world: World): Promise<Pair> {
  const hers = await world.secret("alice's-own-real-value", [goodHost]);
  const his = await world.secret("bob's-own-real-value!", [goodHost]);
  return { alice: await world.sandbox([hers]), bob: await world.sandbox([his]), hers, his };
}

function bearing(placeholder: string, path = "/"): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${goodHost}\r\nAuthorization: Bearer ${placeholder}\r\n\r\n`;
}

async function ask(world: World, credentials: string | undefined) {
  const { answer, client } = await askConnect(world, `${goodHost}:${world.good.port}`, credentials);
  client.close();
  return attemptOf(answer);
}

export const cases: readonly AttackCase[] = [
  ...Object.entries({
    "no credentials": () => undefined,
    "a wrong token": ({ alice }: Pair) => basic(alice.id, "wrong"),
    "an empty token": ({ alice }: Pair) => basic(alice.id, ""),
    "another sandbox's token": ({ alice, bob }: Pair) => basic(alice.id, bob.token),
    "a token with a byte more": ({ alice }: Pair) => basic(alice.id, `${alice.token}x`),
    "a token with a byte less": ({ alice }: Pair) => basic(alice.id, alice.token.slice(0, -1)),
    "the token's hash": ({ alice }: Pair) => basic(alice.id, `sha256:${alice.token}`),
    "an id with a path in it": ({ alice }: Pair) => basic(`../sandbox/${alice.id}`, alice.token),
    "another scheme": ({ alice }: Pair) => `Bearer ${alice.token}`,
    "base64 that is none": () => "Basic !!!!",
  }).map(([what, make]) => ({
    name: `with ${what}: 407`,
    run: async (world: World) => {
      const { status, error } = await ask(world, make(await pair(world)));
      same([status, error], [407, "proxy-auth-required"], "answer");
    },
  })),
  {
    name: "an unknown sandbox and a wrong token look alike, to the byte",
    run: async (world) => {
      const { alice } = await pair(world);
      const wrong = await ask(world, basic(alice.id, "wrong"));
      same(await ask(world, basic("00000000-0000-4000-8000-000000000000", "wrong")), wrong, "answer");
    },
  },
  {
    name: "a deleted sandbox's token is refused at once, on open connections too",
    run: async (world) => {
      const { alice, hers } = await pair(world);
      const client = await intercepted(world, alice, goodHost, world.good.port);
      same((await exchange(client, bearing(hers.placeholder))).status, 200, "before");
      await world.api("DELETE", `/sandbox/${alice.id}`);
      await until(async () => same((await ask(world, alice.credentials)).status, 407, "a new connection"));
      const seen = world.good.requests.length;
      holds((await exchange(client, bearing(hers.placeholder))).status !== 200, "the open connection goes on");
      same(world.good.requests.length, seen, "requests at the origin");
      client.close();
    },
  },
  {
    name: "a deleted sandbox's blind tunnels are cut",
    run: async (world) => {
      const { alice } = await pair(world);
      const tunnel = await intercepted(world, alice, evilHost, world.evil.port);
      await world.api("DELETE", `/sandbox/${alice.id}`);
      await tunnel.closed();
    },
  },
  {
    name: "a detached secret is not sent any more",
    run: async (world) => {
      const { alice, hers } = await pair(world);
      await world.api("PUT", `/sandbox/${alice.id}/secrets`, { secrets: [] });
      const client = await intercepted(world, alice, goodHost, world.good.port);
      await exchange(client, bearing(hers.placeholder, "/detached"));
      client.close();
      const request = world.good.requests.findLast((text) => text.includes("/detached"));
      holds(request?.includes(hers.value) !== true, "it was sent");
    },
  },
  {
    name: "a rotated value replaces the old one, and the old one stays scrubbed",
    run: async (world) => {
      const { alice, hers } = await pair(world);
      const client = await intercepted(world, alice, goodHost, world.good.port);
      same((await exchange(client, bearing(hers.placeholder))).status, 200, "before");
      await world.api("PATCH", `/secret/${hers.id}`, { value: "alice's-new-real-value" });
      await until(async () => {
        await exchange(client, bearing(hers.placeholder, "/rotated"));
        holds(world.good.requests.at(-1)?.includes("alice's-new-real-value") === true, "not the new one");
      });
      const body = `GET /echo-old HTTP/1.1\r\nHost: ${goodHost}\r\nX-Old: ${hers.value}\r\n\r\n`;
      holds(!(await exchange(client, body)).body.includes(hers.value), "the old one came back");
      client.close();
    },
  },
  {
    name: "another sandbox's placeholder is not substituted",
    run: async (world) => {
      const { bob, hers } = await pair(world);
      const client = await intercepted(world, bob, goodHost, world.good.port);
      const { body } = await exchange(client, bearing(hers.placeholder, "/stolen"));
      client.close();
      const request = world.good.requests.findLast((text) => text.includes("/stolen"));
      holds(request?.includes(hers.placeholder) === true && !request.includes(hers.value), "it was substituted");
      holds(!body.includes(hers.value), "it came back");
    },
  },
  {
    name: "sandboxes share neither upstream connections nor TLS sessions",
    run: async (world) => {
      const { alice, bob, hers, his } = await pair(world);
      const first = await intercepted(world, alice, goodHost, world.good.port);
      same((await exchange(first, bearing(hers.placeholder))).status, 200, "alice");
      const { connections } = world.good.origin;
      const before = connections.length;
      const second = await intercepted(world, bob, goodHost, world.good.port);
      same((await exchange(second, bearing(his.placeholder))).status, 200, "bob");
      same(connections.length, before + 1, "connections");
      // The origin is a TLS server.
      const socket = connections.at(-1)?.socket as TLSSocket;
      holds(!socket.isSessionReused(), "bob's connection resumed alice's session");
      first.close();
      second.close();
    },
  },
  {
    name: "a sandbox's token opens nothing at the Secret API",
    run: async (world) => {
      const { alice } = await pair(world);
      for (const path of [
        "/secret",
        "/sandbox",
        "/audit",
        `/sandbox/${alice.id}/egress`,
        "/egress/sources",
        "/changes",
      ]) {
        same((await world.api("GET", path, undefined, alice.token)).status, 401, path);
        same((await world.api("GET", path, undefined, null)).status, 401, `${path} without a credential`);
      }
    },
  },
  {
    name: "the key that manages secrets cannot read them",
    run: async (world) => {
      const { alice, hers } = await pair(world);
      same((await world.api("GET", `/sandbox/${alice.id}/egress`)).status, 403, "resolving");
      const { text } = await world.api("GET", `/secret/${hers.id}`);
      holds(!text.includes(hers.value), "an answer holds the value");
    },
  },
  {
    name: "500 guesses from one address are cut off by 429, and the right token passes all the while",
    run: async (world) => {
      const { alice } = await pair(world);
      same((await ask(world, alice.credentials)).status, 200, "before");
      const statuses = new Set<number | undefined>();
      for (let round = 0; round < 20; round++) {
        const guesses = Array.from({ length: 25 }, (_, at) => ask(world, basic(alice.id, `guess-${round}-${at}`)));
        for (const { status } of await Promise.all(guesses)) statuses.add(status);
      }
      same([...statuses].sort(), [407, 429], "statuses");
      same((await ask(world, alice.credentials)).status, 200, "the right one");
    },
  },
  ...loginCases,
];
