// Promise: every party reads the same messages. What two parsers could read differently is refused, and a connection in
// doubt is closed, never used again.

import { badAnswers, badBodies, badHeads } from "../support/bad-messages.ts";
import { dial } from "../support/wire-client.ts";
import { downgradeCases } from "./downgrade-cases.ts";
import { exchange, intercepted } from "./ways.ts";
import { type AttackCase, goodHost, holds, type Sandbox, same, type World } from "./world.ts";

const smuggled = `GET /smuggled HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`;

async function armed(world: World): Promise<Sandbox> {
  return world.sandbox([await world.secret("a value behind the framing", [goodHost])]);
}

function assertNothingSmuggled(world: World): void {
  holds(!world.good.requests.some((request) => request.includes("/smuggled")), "a smuggled request arrived");
}

/** What an origin says to the first request of a connection; `then` is said to every later one. */
function answering(world: World, first: string, end = false): void {
  world.good.serve = async ({ wire, readRequest, socket }) => {
    const { text } = await readRequest();
    world.good.requests.push(text);
    wire.send(first);
    if (end) socket.end();
    for (let count = 0; count < 100; count++) {
      world.good.requests.push((await readRequest()).text);
      wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlater");
    }
  };
}

async function served(world: World, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } finally {
    world.good.serve = undefined;
  }
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`;
}

/** Answers that carry more than they say: what is behind them belongs to no request. */
const poisoned: Readonly<Record<string, string>> = {
  "more bytes than its length": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
  "a 204 with a body": "HTTP/1.1 204 No Content\r\n\r\n",
  "a 304 with a body": "HTTP/1.1 304 Not Modified\r\nContent-Length: 40\r\n\r\n",
  "more behind its last chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
};
const poison = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";

export const cases: readonly AttackCase[] = [
  ...Object.entries(badHeads(goodHost)).flatMap(([what, bytes]) => [
    {
      name: `${what}: 400 on an intercepted connection`,
      run: async (world: World) => {
        const client = await intercepted(world, await armed(world), goodHost, world.good.port);
        same((await exchange(client, bytes + smuggled)).status, 400, "status");
        same(await client.closed(), "", "what came after it");
        assertNothingSmuggled(world);
      },
    },
    {
      name: `${what}: 400 on the proxy port`,
      run: async (world: World) => {
        const client = await dial(world.port);
        same((await exchange(client, bytes.replace(" / ", ` http://${goodHost}/ `) + smuggled)).status, 400, "status");
        same(await client.closed(), "", "what came after it");
      },
    },
  ]),
  ...Object.entries(badBodies).map(([what, bytes]) => ({
    name: `a body with ${what} never arrives whole`,
    run: async (world: World) => {
      const client = await intercepted(world, await armed(world), goodHost, world.good.port);
      const head = `POST / HTTP/1.1\r\nHost: ${goodHost}\r\nTransfer-Encoding: chunked\r\n\r\n`;
      same((await exchange(client, head + bytes + smuggled)).status, 400, "status");
      same(await client.closed(), "", "what came after it");
      assertNothingSmuggled(world);
    },
  })),
  ...Object.entries(badAnswers).map(([what, bytes]) => ({
    name: `an answer with ${what}: 502, and its connection is not used again`,
    run: (world: World) =>
      served(world, async () => {
        answering(world, bytes, true);
        const sandbox = await armed(world);
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        same((await exchange(client, get("/first"))).status, 502, "status");
        client.close();
      }),
  })),
  ...Object.entries(poisoned).map(([what, bytes]) => ({
    name: `an answer with ${what} does not become the next request's answer`,
    run: (world: World) =>
      served(world, async () => {
        answering(world, bytes + poison);
        const sandbox = await armed(world);
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        const first = await exchange(client, get("/first"));
        holds(first.status !== undefined && !first.body.includes("poisoned"), "the first answer is poisoned");
        world.good.serve = undefined;
        const second = await exchange(await intercepted(world, sandbox, goodHost, world.good.port), get("/second"));
        holds(second.body.includes("/second") && !second.body.includes("poisoned"), `second: ${second.body}`);
        client.close();
      }),
  })),
  {
    name: "bytes that an idle upstream connection sends are nobody's answer",
    run: (world) =>
      served(world, async () => {
        const sandbox = await armed(world);
        let say = (_text: string): void => {};
        world.good.serve = async ({ wire, readRequest }) => {
          await readRequest();
          wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
          say = (text) => wire.send(text);
          await wire.closed();
        };
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        same((await exchange(client, get("/a"))).body, "first", "first answer");
        say(poison);
        world.good.serve = undefined;
        const { body } = await exchange(client, get("/second"));
        holds(!body.includes("poisoned"), "poisoned");
        client.close();
      }),
  },
  {
    name: "a flood of 1xx answers is cut off",
    run: (world) =>
      served(world, async () => {
        world.good.serve = async ({ wire, readRequest }) => {
          await readRequest();
          for (let count = 0; count < 10_000 && !wire.isEnded; count++) {
            await wire.sendAll("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
          }
          wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        };
        const client = await intercepted(world, await armed(world), goodHost, world.good.port);
        client.send(get("/flood"));
        let interim = 0;
        let status = 0;
        for (; interim <= 200 && status < 200; interim++) status = (await client.readHead()).status;
        same([status, interim <= 100], [502, true], "status, and no more than a hundred before it");
        client.close();
      }),
  },
  {
    name: "after an early answer neither connection is used again: what the upload holds is no request",
    run: (world) =>
      served(world, async () => {
        const sandbox = await armed(world);
        answering(world, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        const head = `POST / HTTP/1.1\r\nHost: ${goodHost}\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n`;
        same((await exchange(client, head + smuggled)).status, 413, "status");
        same(await client.closed(), "", "what came after it");
        // This origin takes the upload for a request and answers it: to nobody.
        world.good.serve = undefined;
        const next = await intercepted(world, sandbox, goodHost, world.good.port);
        holds((await exchange(next, get("/next"))).body.includes("/next"), "the next answer is another's");
        next.close();
      }),
  },
  {
    name: "pipelined requests get their own answers, in order",
    run: async (world) => {
      const client = await intercepted(world, await armed(world), goodHost, world.good.port);
      client.send(Array.from({ length: 50 }, (_, at) => get(`/pipelined-${at}`)).join(""));
      for (let at = 0; at < 50; at++) {
        const answer = await client.read();
        holds(answer.body.includes(`/pipelined-${at} HTTP`), `answer ${at}`);
      }
      client.close();
    },
  },
  ...downgradeCases,
];
