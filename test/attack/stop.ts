// Promise: SIGTERM ends what runs in order; SIGKILL costs nothing but what was under way.

import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { exchange, intercepted } from "./ways.ts";
import { type AttackCase, evilHost, goodHost, holds, inOwnWorld, same, until } from "./world.ts";

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });
}

const head = `GET /slow HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`;

export const cases: readonly AttackCase[] = [
  {
    name: "SIGTERM: no new connection, the running exchange ends whole, its audit event is written, exit 0",
    run: () =>
      inOwnWorld(async (world) => {
        const sandbox = await world.sandbox([await world.secret("a value at the end", [goodHost])]);
        const begun = Promise.withResolvers<void>();
        const go = Promise.withResolvers<void>();
        world.good.serve = async ({ wire, readRequest }) => {
          await readRequest();
          wire.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
          begun.resolve();
          await go.promise;
          wire.send("half");
          await wire.closed();
        };
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        const answer = exchange(client, head);
        await begun.promise;
        const stopped = world.keyswap.stop("SIGTERM");
        await until(async () => holds(await refuses(world.port), "it still listens"));
        go.resolve();
        same((await answer).body, "halfhalf", "the running exchange");
        same((await stopped).code, 0, "exit code");
        const audit = readFileSync(join(world.bench.dataDir, "audit.jsonl"), "utf8");
        holds(audit.includes('"/slow"'), "no audit event of the last exchange");
      }),
  },
  {
    name: "SIGTERM: an exchange and a tunnel that never end are cut at the bound, exit 0",
    run: () =>
      inOwnWorld(
        async (world) => {
          const sandbox = await world.sandbox([await world.secret("a value without end", [goodHost])]);
          world.good.serve = async ({ wire, readRequest }) => {
            await readRequest();
            await wire.closed();
          };
          const tunnel = await intercepted(world, sandbox, evilHost, world.evil.port);
          const client = await intercepted(world, sandbox, goodHost, world.good.port);
          client.send(head);
          const from = performance.now();
          same((await world.keyswap.stop("SIGTERM")).code, 0, "exit code");
          // The world's bound is a second; the rest is a busy machine's.
          holds(performance.now() - from < 20_000, "it hung");
          await Promise.all([tunnel.closed(), client.closed()]);
          const audit = readFileSync(join(world.bench.dataDir, "audit.jsonl"), "utf8");
          holds(audit.includes('"type":"tunnel"'), "no audit event of the tunnel");
        },
        { KEYSWAP_DRAIN_MS: "1000" },
      ),
  },
  {
    name: "SIGKILL and a new start: the same sandbox, token and placeholder work",
    run: () =>
      inOwnWorld(async (world) => {
        const secret = await world.secret("a value that survives", [goodHost]);
        const sandbox = await world.sandbox([secret]);
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        const { proxy, api } = world.keyswap.ready;
        await world.keyswap.stop("SIGKILL");
        await client.closed();
        await world.restart({ KEYSWAP_PROXY_LISTEN: proxy, KEYSWAP_API_LISTEN: new URL(api).host });
        const again = await intercepted(world, sandbox, goodHost, world.good.port);
        const text = `GET /again HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${secret.placeholder}\r\n\r\n`;
        same((await exchange(again, text)).status, 200, "status");
        holds(world.good.requests.at(-1)?.includes(secret.value) === true, "no value arrived");
        again.close();
      }),
  },
];
