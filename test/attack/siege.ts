// A process of its own for neighbour-cases.ts: asks for one connection after the other, so that its own work does not slow
// down whoever measures. Arguments: port, target, credentials. Told anything, it answers how many were refused with 429.

import { askConnect } from "../support/wire-client.ts";

const [port, target = "", credentials] = process.argv.slice(2);
let refused = 0;

async function ask(): Promise<void> {
  for (;;) {
    const { answer, client } = await askConnect({ port: Number(port) }, target, credentials);
    if (answer.status === 429) refused += 1;
    client.close();
  }
}

process.on("message", () => process.send?.(refused));
process.on("disconnect", () => process.exit(0));
await Promise.all([ask(), ask()]);
