// Promise: SIGTERM ends what runs in order; SIGKILL costs nothing but what was under way.

import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { WebSocket } from "ws";
import { serveSoak } from "../soak/origin.ts";
import { answerInHalves, exchange, intercepted } from "./ways.ts";
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

/** A drain that waited for its bound would not end within a case's time. */
const patient = { KEYSWAP_DRAIN_MS: "600000" };

const head = `GET /slow HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`;

export const cases: readonly AttackCase[] = [
  {
    name: "SIGTERM: no new connection, the running exchange ends whole, its audit event is written, exit 0",
    run: () =>
      inOwnWorld(async (world) => {
        const sandbox = await world.sandbox([await world.secret("a value at the end", [goodHost])]);
        const { begun, go } = answerInHalves(world);
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        const answer = exchange(client, head);
        await begun;
        const stopped = world.keyswap.stop("SIGTERM");
        await until(async () => holds(await refuses(world.port), "it still listens"));
        go();
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
    name: "SIGTERM: both ends of a WebSocket are told (1001) and closed, its audit event is written, exit 0",
    run: () =>
      inOwnWorld(async (world) => {
        const origin = await serveSoak(world);
        const secret = await world.secret("a value said over a WebSocket", [goodHost]);
        const tls = await intercepted(world, await world.sandbox([secret]), goodHost, origin.port);
        tls.socket.removeAllListeners("data");
        const socket = new WebSocket(`wss://${goodHost}/spoken`, { createConnection: () => tls.socket });
        const closed = new Promise((resolve) => socket.on("close", (code, reason) => resolve([code, String(reason)])));
        await new Promise((resolve, reject) => {
          socket.on("open", () => socket.send(secret.placeholder));
          socket.on("message", (data) => resolve(same(String(data), secret.placeholder, "the echo")));
          socket.on("error", reject);
        });
        const stopped = world.keyswap.stop("SIGTERM");
        same(await closed, [1001, "keyswap: shutting-down"], "what the client was told");
        same((await stopped).code, 0, "exit code");
        await until(() => same(origin.closes, [1001], "what the destination was told"));
        const event = world.audit().find(({ path }) => path === "/spoken");
        same(event?.error, "shutting-down", "the audit event's error");
        await origin.close();
      }, patient),
  },
  {
    name: "SIGTERM: a tunnel in use goes on while keyswap drains, and keyswap ends with it, exit 0",
    run: () =>
      inOwnWorld(async (world) => {
        const sandbox = await world.sandbox([]);
        const tunnel = await intercepted(world, sandbox, evilHost, world.evil.port);
        const text = `GET /tunnelled HTTP/1.1\r\nHost: ${evilHost}\r\n\r\n`;
        same((await exchange(tunnel, text)).body, text, "before");
        const stopped = world.keyswap.stop("SIGTERM");
        await until(async () => holds(await refuses(world.port), "it still listens"));
        for (let at = 0; at < 5; at++) same((await exchange(tunnel, text)).body, text, "meanwhile");
        tunnel.close();
        same((await stopped).code, 0, "exit code");
        holds(
          world.audit().some(({ type }) => type === "tunnel"),
          "no audit event of the tunnel",
        );
      }, patient),
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
