// Guessing at the Secret API, while those with a right key go on. In a world of its own: guesses at the proxy leave the
// address at the proxy's bound, where sandboxes that it does not know get in no more.

import { exchange, intercepted } from "./ways.ts";
import { type AttackCase, goodHost, holds, inOwnWorld, same, type World } from "./world.ts";

export const loginCases: readonly AttackCase[] = [
  {
    name: "500 guesses at the Secret API are cut off by 429; the right key, and proxies with theirs, pass all the while",
    run: () => inOwnWorld(guess),
  },
];

async function guess(world: World): Promise<string> {
  const secret = await world.secret("a value amid the guessing", [goodHost]);
  const statuses = new Map<number, number>();
  for (let round = 0; round < 20; round++) {
    const guesses = Array.from({ length: 25 }, (_, at) => world.api("GET", "/secret", undefined, `g-${round}-${at}`));
    for (const { status } of await Promise.all(guesses)) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    // Known to the API from there, and never seen by the proxy: it has to ask with its own key.
    const sandbox = await world.sandbox([secret]);
    const client = await intercepted(world, sandbox, goodHost, world.good.port);
    const text = `GET /round-${round} HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${secret.placeholder}\r\n\r\n`;
    same((await exchange(client, text)).status, 200, "status");
    holds(world.good.requests.at(-1)?.includes(secret.value) === true, "no value arrived");
    client.close();
  }
  same([...statuses.keys()].sort(), [401, 429], "statuses");
  const looked = statuses.get(401) ?? 0;
  // 60 at once, and one a second.
  holds(looked < 200, `${looked} of 500 were looked up`);
  return `${looked} of 500 looked up`;
}
