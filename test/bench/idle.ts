// What an open connection costs in memory while nothing happens on it: node test/bench/idle.ts [connections]. Linux.

import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { Connection, type Target, throughProxy } from "./load.ts";
import { startPeers } from "./peers.ts";
import { hostName } from "./scenario.ts";

const count = Number(process.argv[2] ?? 500);

/** In a keyswap of its own: memory that others have freed would be used again. */
async function measure(what: string, open: (target: Target) => Promise<{ close(): void }>): Promise<void> {
  await using peers = await startPeers();
  const keyswap = peers.contenders.find(({ name }) => name === "keyswap");
  if (keyswap?.pid === undefined) throw new Error("no keyswap to measure");
  const { pid, target } = keyswap;
  const residentKb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);
  const held: { close(): void }[] = [];
  const openMany = async (): Promise<void> => {
    for (let at = 0; at < count; at += 20) {
      held.push(...(await Promise.all(Array.from({ length: 20 }, () => open(target)))));
    }
  };
  // The first ones also warm what all of them use.
  await openMany();
  const before = residentKb();
  await openMany();
  process.stdout.write(`${what}: ${((residentKb() - before) / count).toFixed(0)} KB each\n`);
  for (const each of held) each.close();
}

await measure("blind tunnel", async (target) => {
  const socket: Socket = connect(target.port, "127.0.0.1");
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  await throughProxy(socket, target, "other.localhost");
  return { close: () => socket.destroy() };
});
await measure("intercepted connection, before its first request", (target) => Connection.open(target));
await measure("intercepted connection, after a request", async (target) => {
  const connection = await Connection.open(target);
  await connection.exchange(
    `GET /small HTTP/1.1\r\nHost: ${hostName}:${target.originPort}\r\nAuthorization: Bearer ${target.placeholder}\r\n\r\n`,
  );
  return connection;
});
