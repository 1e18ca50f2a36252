// Exhaustion: what a sandbox at its bounds costs the one beside it.

import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { WireClient } from "../support/wire-client.ts";
import { exchange, intercepted } from "./ways.ts";
import {
  type AttackCase,
  goodHost,
  holds,
  inOwnWorld,
  type Sandbox,
  type Secret,
  same,
  until,
  type World,
} from "./world.ts";

/** All that the world allows one sandbox. */
const connections = 200;
const rounds = 200;

function request(path: string, secret: Secret): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${secret.placeholder}\r\n\r\n`;
}

/** Milliseconds from request to answer, over one connection, the middle of many. */
async function latency(world: World, sandbox: Sandbox, secret: Secret): Promise<number> {
  const client = await intercepted(world, sandbox, goodHost, world.good.port);
  const spent: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const from = performance.now();
    same((await exchange(client, request("/neighbour", secret))).status, 200, "the neighbour's status");
    spent.push(performance.now() - from);
  }
  client.close();
  return spent.sort((a, b) => a - b)[rounds / 2] ?? Number.NaN;
}

/** Holds every connection that it may have and asks for more, each refusal at once followed by the next try. */
async function besiege(world: World, greedy: Sandbox): Promise<Siege> {
  const held: WireClient[] = [];
  for (let at = 0; at < connections; at++) held.push(await intercepted(world, greedy, goodHost, world.good.port));
  const target = `${goodHost}:${world.good.port}`;
  const child = fork(join(import.meta.dirname, "siege.ts"), [`${world.port}`, target, greedy.credentials]);
  const refused = async (): Promise<number> => {
    child.send("how many?");
    const [count] = await once(child, "message");
    return count;
  };
  const end = (): void => {
    child.disconnect();
    for (const client of held) client.close();
  };
  return { refused, [Symbol.dispose]: end };
}

interface Siege extends Disposable {
  /** So far. */
  refused(): Promise<number>;
}

/** That keyswap's main thread has used, in milliseconds; whatever else the machine does. */
function cpuMs({ keyswap: { pid } }: World): number {
  // Nanoseconds on a processor come first (Linux, sched-stats).
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
}

async function siegeOf(world: World): Promise<string> {
  const secret = await world.secret("the neighbour's real value", [goodHost]);
  const [sandbox, greedy] = [await world.sandbox([secret]), await world.sandbox([secret])];
  await latency(world, sandbox, secret);
  const [cpuFrom, alone] = [cpuMs(world), await latency(world, sandbox, secret)];
  const perRequest = (cpuMs(world) - cpuFrom) / rounds;
  using siege = await besiege(world, greedy);
  await until(async () => holds((await siege.refused()) > 0, "nothing is refused"));
  const [from, cpuBefore] = [await siege.refused(), cpuMs(world)];
  const beside = await latency(world, sandbox, secret);
  const meanwhile = (await siege.refused()) - from;
  const perRefusal = (cpuMs(world) - cpuBefore - rounds * perRequest) / meanwhile;
  // By order, not by time: whoever asked between two of the neighbour's answers was refused without work.
  holds(meanwhile > 0, "the siege was over");
  holds(meanwhile < 20 * rounds, `${meanwhile} refusals came before ${rounds} answers of the neighbour`);
  const ratio = (beside / alone).toFixed(1);
  return `${alone.toFixed(1)} ms alone, ${beside.toFixed(1)} ms beside it: ${ratio} times; ${meanwhile} refusals meanwhile, ${perRefusal.toFixed(2)} ms of CPU each, where a request is ${perRequest.toFixed(2)} ms`;
}

export const neighbourCases: readonly AttackCase[] = [
  {
    name: "a sandbox at its bound that asks for more without a pause: its neighbour is served in its turn",
    // At the level of a service: at the others' most of the work is the log.
    run: () => inOwnWorld(siegeOf, { KEYSWAP_LOG_LEVEL: "info" }),
  },
  {
    name: "a sandbox with a thousand requests waiting on all its connections does not go before its neighbour",
    run: async (world) => {
      const secret = await world.secret("the neighbour's real value", [goodHost]);
      const [sandbox, greedy] = [await world.sandbox([secret]), await world.sandbox([secret])];
      const pipelined = 20;
      const clients = await Promise.all(
        Array.from({ length: 50 }, () => intercepted(world, greedy, goodHost, world.good.port)),
      );
      const own = await intercepted(world, sandbox, goodHost, world.good.port);
      same((await exchange(own, request("/first", secret))).status, 200, "before");
      let answered = 0;
      const backlog = clients.map(async (client) => {
        client.send(request("/greedy", secret).repeat(pipelined));
        for (let at = 0; at < pipelined; at++) {
          same((await client.read("GET")).status, 200, "a greedy status");
          answered += 1;
        }
        client.close();
      });
      same((await exchange(own, request("/between", secret))).status, 200, "beside");
      const before = answered;
      await Promise.all(backlog);
      own.close();
      const all = clients.length * pipelined;
      // A fair share is one answer a connection, and what was in the pipes already.
      holds(before < all / 2, `${before} of ${all} waiting requests were answered before the neighbour's`);
      return `${before} of ${all} waiting requests were answered before the neighbour's one`;
    },
  },
];
