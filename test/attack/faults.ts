// Promise: whatever fails around it, keyswap neither crashes nor hangs past its deadlines, pairs no answer with another
// request, and leaves no socket behind.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { FakeApi } from "../secrets/fake-api.ts";
import { askConnect } from "../support/wire-client.ts";
import { clockCases } from "./clock-cases.ts";
import { diskCases } from "./disk-cases.ts";
import { http2FaultCases } from "./http2-fault-cases.ts";
import { sinkCases } from "./sink-cases.ts";
import { exchange, intercepted, reach } from "./ways.ts";
import {
  type AttackCase,
  basic,
  evilHost,
  goodHost,
  holds,
  portOf,
  type Sandbox,
  type Secret,
  same,
  until,
  type World,
} from "./world.ts";

async function armed(world: World): Promise<{ sandbox: Sandbox; secret: Secret }> {
  const secret = await world.secret("a real value amid the faults", [goodHost]);
  return { sandbox: await world.sandbox([secret]), secret };
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`;
}

async function assertServes(world: World, sandbox: Sandbox): Promise<void> {
  world.good.serve = undefined;
  const client = await intercepted(world, sandbox, goodHost, world.good.port);
  holds((await exchange(client, get("/after"))).body.startsWith("GET /after "), "the next answer is not its own");
  client.close();
}

function sockets(world: World): number {
  return readdirSync(`/proc/${world.keyswap.pid}/fd`).length;
}

interface ApiFault {
  readonly answer: (request: IncomingMessage, response: ServerResponse) => void;
  /** What a sandbox gets whose grants the proxy has. */
  readonly known: 200 | 503;
}

function says(status: number, body: string, type = "application/json"): ApiFault["answer"] {
  return (_request, response) => void response.writeHead(status, { "content-type": type }).end(body);
}

const apiFaults: Readonly<Record<string, ApiFault>> = {
  "answers 500": { answer: says(500, "{}"), known: 200 },
  "answers 503 in HTML": { answer: says(503, "<html>", "text/html"), known: 200 },
  "refuses the proxy's key": { answer: says(401, "{}"), known: 503 },
  "answers garbage": { answer: says(200, "\0\u0001garbage"), known: 503 },
  "answers half a JSON text": { answer: says(200, '{"version": "9", "gra'), known: 503 },
  "answers with wrong types": { answer: says(200, '{"version": 9, "grants": "all", "sources": 1}'), known: 503 },
  "breaks off": {
    answer: (_request, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "1000" }).write("{");
      setTimeout(() => response.destroy(), 20);
    },
    known: 200,
  },
  "never answers": { answer: () => {}, known: 200 },
};

const answer =
  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n";

export const cases: readonly AttackCase[] = [
  {
    name: `an upstream that breaks off at each of the ${answer.length} bytes of an answer: no half answer passes for whole`,
    run: async (world) => {
      const { sandbox } = await armed(world);
      const before = sockets(world);
      for (let length = 0; length <= answer.length; length++) {
        world.good.serve = async ({ wire, readRequest, socket }) => {
          await readRequest();
          await wire.sendAll(answer.slice(0, length));
          // With and without TLS's own farewell (close_notify).
          if (length % 2 === 0) socket.destroy();
          else socket.end();
        };
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        const { status, body } = await exchange(client, get(`/cut-${length}`));
        client.close();
        if (status === 200) holds(length === answer.length && body === "whole", `byte ${length}: ${status} ${body}`);
        else holds(status === undefined || status === 502, `byte ${length}: ${status}`);
      }
      await assertServes(world, sandbox);
      await until(() => holds(sockets(world) <= before + 8, `${sockets(world)} descriptors, ${before} before`));
    },
  },
  {
    name: "a client that aborts at each byte of an upload: none arrives whole, none mixes with the next",
    run: async (world) => {
      const { sandbox, secret } = await armed(world);
      const before = sockets(world);
      const body = JSON.stringify({ key: secret.placeholder });
      const upload = `POST /upload HTTP/1.1\r\nHost: ${goodHost}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      const arrived = (): number => world.good.requests.filter((text) => text.startsWith("POST /upload")).length;
      const from = arrived();
      for (let length = 0; length < upload.length; length += 3) {
        const client = await intercepted(world, sandbox, goodHost, world.good.port);
        await client.sendAll(upload.slice(0, length));
        if (length % 2 === 0) client.close();
        else client.socket.end();
      }
      same(arrived(), from, "whole uploads");
      await assertServes(world, sandbox);
      await until(() => holds(sockets(world) <= before + 8, `${sockets(world)} descriptors, ${before} before`));
    },
  },
  ...(["servfail", "silence", "garbage"] as const).map((fail) => ({
    name: `DNS that answers with ${fail}: 502 or 504 in time`,
    run: async (world: World) => {
      const { sandbox } = await armed(world);
      const name = `${fail}.dns.test`;
      world.dns.set("A", name, { fail });
      world.dns.set("AAAA", name, { fail });
      const { status } = await reach(world, sandbox, "connect", name, 443);
      holds(status === 502 || status === 504, `status ${status}`);
      await assertServes(world, sandbox);
    },
  })),
  {
    name: "no file descriptors left: connections are refused, and taken again afterwards",
    run: async (world) => {
      const { sandbox } = await armed(world);
      const inUse = sockets(world);
      const limit = (count: number): void => {
        execFileSync("prlimit", ["--pid", String(world.keyswap.pid), `--nofile=${count}:`]);
      };
      limit(inUse + 6);
      try {
        const { connect } = await import("node:net");
        const held = Array.from({ length: 40 }, () => connect(world.port, "127.0.0.1").on("error", () => {}));
        await new Promise((resolve) => setTimeout(resolve, 500));
        for (const socket of held) socket.destroy();
      } finally {
        limit(4096);
      }
      await until(() => assertServes(world, sandbox));
    },
  },
  ...Object.entries(apiFaults).map(([what, fault]) => ({
    name: `a Secret API that ${what}: strangers get 503 in time, ${fault.known === 200 ? "known sandboxes go on" : "nobody goes on"}`,
    run: (world: World) => onFakeApi(world, fault),
  })),
  ...http2FaultCases,
  ...diskCases,
  ...sinkCases,
  ...clockCases,
];

/** A proxy of its own against a Secret API that works at first and then has the fault. */
async function onFakeApi(world: World, { answer: fault, known }: ApiFault): Promise<void> {
  const api = new FakeApi();
  await api.listen();
  const token = "the-token-of-the-sandbox";
  const tokenHash = `sha256:${createHash("sha256").update(token).digest("hex")}`;
  api.sandboxes.set("known", { version: "1", grants: [], sources: [], tokenHash });
  // Without a stream grants live for a moment only: the fault is met soon.
  api.hasChanges = false;
  const proxy = await world.bench.start(["proxy"], {
    env: { KEYSWAP_SECRET_API_URL: api.url, KEYSWAP_PROXY_KEY: api.key, KEYSWAP_CACHE_TTL_MS: "200" },
  });
  const ask = async (id: string): Promise<number> => {
    const { answer: said, client } = await askConnect({ port: portOf(proxy.ready.proxy) }, target, basic(id, token));
    client.close();
    return said.status;
  };
  const target = `${evilHost}:${world.evil.port}`;
  try {
    same(await ask("known"), 200, "before the fault");
    api.fault = fault;
    await until(async () => same(await ask("known"), known, "a known sandbox"));
    const from = performance.now();
    same(await ask("stranger"), 503, "a stranger");
    holds(performance.now() - from < 20_000, "it hung");
    api.fault = undefined;
    await until(async () => same(await ask("known"), 200, "after the fault"));
  } finally {
    await proxy.stop();
    await api.close();
  }
}
