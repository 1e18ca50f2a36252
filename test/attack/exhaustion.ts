// Promise: one sandbox, or a crowd of strangers, cannot stop the proxy for the others. Each case fills something up while a
// neighbour goes on getting right answers, and looks at what is left of it afterwards.

import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { hello, serverName } from "../support/client-hello.ts";
import { askConnect, type WireClient } from "../support/wire-client.ts";
import { nameCases } from "./name-cases.ts";
import { neighbourCases } from "./neighbour-cases.ts";
import { stallCases } from "./stall-cases.ts";
import { walkCases } from "./walk-cases.ts";
import { attemptOf, exchange, intercepted } from "./ways.ts";
import {
  type AttackCase,
  goodHost,
  holds,
  rssMib,
  type Sandbox,
  type Secret,
  same,
  until,
  type World,
} from "./world.ts";

interface Neighbour {
  readonly sandbox: Sandbox;
  readonly secret: Secret;
  readonly client: WireClient;
}

async function neighbour(world: World): Promise<Neighbour> {
  const secret = await world.secret("the neighbour's real value", [goodHost, "*.flood.test"]);
  const sandbox = await world.sandbox([secret]);
  const client = await intercepted(world, sandbox, goodHost, world.good.port);
  const neighbour = { sandbox, secret, client };
  await assertServed(world, neighbour);
  return neighbour;
}

/** The neighbour's requests are answered right, over the connection it has and over a new one. */
async function assertServed(world: World, { sandbox, secret, client }: Neighbour): Promise<void> {
  const text = `GET /neighbour HTTP/1.1\r\nHost: ${goodHost}\r\nAuthorization: Bearer ${secret.placeholder}\r\n\r\n`;
  const fresh = await intercepted(world, sandbox, goodHost, world.good.port);
  for (const each of [client, fresh]) {
    same((await exchange(each, text)).status, 200, "the neighbour's status");
    holds(world.good.requests.at(-1)?.includes(secret.value) === true, "the neighbour's value did not arrive");
  }
  fresh.close();
}

function descriptors(world: World): number {
  return readdirSync(`/proc/${world.keyswap.pid}/fd`).length;
}

/** Opens so many TCP connections; a refused one is left out. */
async function crowd(port: number, count: number, first?: string | Buffer): Promise<Socket[]> {
  const made = Array.from({ length: count }, () => {
    return new Promise<Socket | undefined>((resolve) => {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.on("error", () => resolve(undefined));
      socket.once("connect", () => {
        if (first !== undefined) socket.write(first);
        resolve(socket);
      });
    });
  });
  return (await Promise.all(made)).flatMap((socket) => socket ?? []);
}

async function gone(world: World, sockets: readonly Socket[], before: number): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await until(() => {
    const now = descriptors(world);
    // Kept upstream connections of the neighbour, and a file that is being rotated.
    holds(now <= before + 12, `${now} descriptors, ${before} before`);
  });
}

const slow: Readonly<Record<string, string | Buffer | undefined>> = {
  "silent connections": undefined,
  "half request heads (slowloris)": "CONNECT api.good.test:443 HTTP/1.1\r\nHost: x\r\n",
  "half SOCKS5 greetings": Buffer.of(5, 200, 2),
  "half TLS handshakes with the proxy": hello(serverName("proxy.test")),
  "half ClientHellos": hello(serverName("proxy.test")).subarray(0, 20),
};

export const cases: readonly AttackCase[] = [
  ...Object.entries(slow).map(([what, first]) => ({
    name: `400 ${what} leave room for a neighbour, and are gone when they close`,
    run: async (world: World) => {
      const victim = await neighbour(world);
      const before = descriptors(world);
      const sockets = await crowd(world.port, 400, first);
      await assertServed(world, victim);
      // The world's bound on connections that have not said whose they are.
      await until(() => holds(descriptors(world) <= before + 110, `${descriptors(world)} descriptors`));
      await gone(world, sockets, before);
      victim.client.close();
    },
  })),
  {
    name: "a sandbox that opens connections without end gets 429; its neighbour is served",
    run: async (world) => {
      const victim = await neighbour(world);
      const greedy = await world.sandbox([victim.secret]);
      const open: WireClient[] = [];
      const statuses = new Map<number, number>();
      for (let count = 0; count < 250; count++) {
        const { answer, client } = await askConnect(world, `${goodHost}:${world.good.port}`, greedy.credentials);
        const { status = 0 } = attemptOf(answer);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        open.push(client);
      }
      same([statuses.get(200), statuses.get(429)], [200, 50], "answers of 200 and 429");
      await assertServed(world, victim);
      for (const client of open) client.close();
      await until(async () => {
        const { answer, client } = await askConnect(world, `${goodHost}:${world.good.port}`, greedy.credentials);
        client.close();
        same(answer.status, 200, "once they are closed");
      });
      victim.client.close();
    },
  },
  {
    name: "a sandbox that walks through names is held to its certificates; its neighbour is served",
    run: async (world) => {
      const victim = await neighbour(world);
      const greedy = await world.sandbox([victim.secret]);
      let refused = 0;
      for (let count = 0; count < 150; count++) {
        const name = `n${count}.flood.test`;
        await intercepted(world, greedy, name, world.good.port).then(
          (client) => client.close(),
          () => {
            refused += 1;
          },
        );
      }
      // The world allows 100 a minute.
      holds(refused >= 40, `only ${refused} of 150 were refused`);
      await assertServed(world, victim);
      victim.client.close();
    },
  },
  {
    name: "heads beyond the bounds get 431: too long, too many fields, no end",
    run: async (world) => {
      const { sandbox, client: other } = await neighbour(world);
      for (const head of [`X: ${"a".repeat(100_000)}\r\n`, "X: 1\r\n".repeat(300), "a".repeat(200_000)]) {
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        same((await exchange(client, `GET / HTTP/1.1\r\nHost: ${goodHost}\r\n${head}\r\n`)).status, 431, "status");
        client.close();
      }
      other.close();
    },
  },
  {
    name: "a body of placeholder beginnings goes through, and costs no more than its bytes",
    run: async (world) => {
      const { sandbox, client } = await neighbour(world);
      const [plain, hostile] = ["x".repeat(64), "dtn_secret_".repeat(6).slice(0, 64)];
      const spent = async (part: string): Promise<number> => {
        const body = part.repeat(131_072);
        const from = cpuTicks(world);
        const head = `POST / HTTP/1.1\r\nHost: ${goodHost}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n`;
        same((await exchange(client, head + body)).status, 200, "status");
        return cpuTicks(world) - from;
      };
      await spent(plain);
      const [usual, worst] = [await spent(plain), await spent(hostile)];
      // 8 MiB each; ticks are 10 ms. Quadratic work would cost thousands of times as much.
      holds(worst <= 20 * usual + 200, `${worst} ticks of CPU, ${usual} for plain text`);
      void sandbox;
      client.close();
    },
  },
  {
    name: "a small body that decodes to gigabytes is cut off",
    run: async (world) => {
      const { gzipSync } = await import("node:zlib");
      const victim = await neighbour(world);
      const bomb = gzipSync(gzipSync(Buffer.alloc(512 * 1024 * 1024)));
      const head = `POST / HTTP/1.1\r\nHost: ${goodHost}\r\nContent-Type: text/plain\r\nContent-Encoding: gzip, gzip\r\nContent-Length: ${bomb.length}\r\n\r\n`;
      const before = rssMib(world);
      const client = await intercepted(world, victim.sandbox, goodHost, world.good.port);
      const { status } = await exchange(client, head + bomb.toString("latin1"));
      client.close();
      holds(status !== undefined, "no answer");
      holds(rssMib(world) - before < 300, `${Math.round(rssMib(world) - before)} MiB more`);
      await assertServed(world, victim);
      victim.client.close();
    },
  },
  ...neighbourCases,
  ...nameCases,
  ...stallCases,
  ...walkCases,
];

function cpuTicks(world: World): number {
  const stat = readFileSync(`/proc/${world.keyswap.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  // Fields 14 and 15 of proc(5), counted behind the command's name.
  return Number(stat[11]) + Number(stat[12]);
}
