// What goes on during a soak: each kind of traffic is a loop of its own, each turn of which is checked.

import { randomBytes } from "node:crypto";
import { connect as connectHttp2 } from "node:http2";
import { WebSocket } from "ws";
import { exchange, intercepted } from "../attack/ways.ts";
import { evilHost, goodHost, type Sandbox, type Secret, type World } from "../attack/world.ts";
import { askSocks, socksName } from "../support/socks-client.ts";
import { secure, type WireClient } from "../support/wire-client.ts";
import type { SoakOrigin } from "./origin.ts";

export interface Soak {
  readonly world: World;
  readonly origin: SoakOrigin;
  /** Every value that there ever was: none may come back. */
  readonly values: Set<string>;
  readonly counts: Map<string, number>;
  readonly wrong: string[];
  /** By performance.now(), both. */
  readonly endsAt: number;
  /** Until then grants may not be there: the Secret API is away, or was until a moment ago. */
  awayUntil: number;
}

interface Caller {
  readonly sandbox: Sandbox;
  readonly secret: Secret;
}

const workersEach = 2;
/** The Secret API is killed so often in a run. */
const kills = 2;

/** Runs until the soak's end. */
export async function traffic(soak: Soak): Promise<void> {
  const callers: Caller[] = [];
  for (let count = 0; count < 4; count++) {
    const value = `soak-${count}-${randomBytes(12).toString("hex")}`;
    soak.values.add(value);
    const secret = await soak.world.secret(value, [goodHost]);
    callers.push({ secret, sandbox: await soak.world.sandbox([secret]) });
  }
  const kinds: Readonly<Record<string, (soak: Soak, caller: Caller) => Promise<void>>> = {
    "HTTP/1.1": http1,
    "HTTP/2": http2,
    tunnel,
    SOCKS5: socks,
    upload,
    events,
    WebSocket: webSocket,
    "broken answer": broken,
    "broken upload": aborted,
  };
  const loops = Object.entries(kinds).flatMap(([kind, turn]) =>
    Array.from({ length: workersEach }, async (_, at) => {
      while (performance.now() < soak.endsAt) {
        for (const caller of [callers[at % callers.length], callers[(at + 2) % callers.length]]) {
          if (caller === undefined) continue;
          await turn(soak, caller).then(
            () => count(soak, kind),
            (error: unknown) => fail(soak, kind, error),
          );
        }
      }
    }),
  );
  await Promise.all([...loops, changes(soak, callers), apiFaults(soak)]);
}

/**
 * After a change was heard, grants that may have changed are given out no more before they were fetched anew: while the
 * Secret API is away that is a refusal, and right.
 */
function fail(soak: Soak, kind: string, error: unknown): void {
  const message = error instanceof Error ? error.message : "unknown";
  const isRefusal = /grants-unavailable|^reply 1$|^closed$|^not its own answer: $|response: 503$/.test(message);
  if (isRefusal && performance.now() < soak.awayUntil) count(soak, "refused while the Secret API was away");
  else soak.wrong.push(`${kind}: ${message}`);
}

function count({ counts }: Soak, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

/** No value, and the placeholder in its place: the destination was sent a value and it was taken out again. */
function check({ values }: Soak, { secret }: Caller, body: string, marker: string): void {
  for (const value of values) if (body.includes(value)) throw new Error("a value came back");
  if (!body.includes(marker)) throw new Error(`not its own answer: ${body.slice(0, 200)}`);
  if (!body.includes(secret.placeholder)) throw new Error(`no placeholder: ${body.slice(0, 200)}`);
}

let turns = 0;
const marked = (what: string): string => `/${what}-${++turns}`;

function open({ world, origin }: Soak, { sandbox }: Caller, alpn?: string[]): Promise<WireClient> {
  return intercepted(world, sandbox, goodHost, origin.port, alpn === undefined ? {} : { alpn });
}

async function http1(soak: Soak, caller: Caller): Promise<void> {
  const client = await open(soak, caller);
  try {
    for (let request = 0; request < 20; request++) await ask(soak, caller, client, marked("h1"));
  } finally {
    client.close();
  }
}

async function ask(soak: Soak, caller: Caller, client: WireClient, path: string): Promise<void> {
  const body = JSON.stringify({ key: caller.secret.placeholder, filler: "x".repeat(turns % 60_000) });
  const head = `POST ${path} HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${caller.secret.placeholder}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const { status, body: said } = await exchange(client, head + body, "POST");
  if (status !== 200) throw new Error(`status ${status}: ${said.slice(0, 200)}`);
  check(soak, caller, said, `"${path}"`);
}

async function http2(soak: Soak, caller: Caller): Promise<void> {
  const tls = await open(soak, caller, ["h2"]);
  tls.socket.removeAllListeners("data");
  const session = connectHttp2(`https://${goodHost}`, { createConnection: () => tls.socket });
  session.on("error", () => {});
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const path = marked("h2");
      const stream = session.request({ ":path": path, ":authority": goodHost, "x-key": caller.secret.placeholder });
      let body = "";
      stream.setEncoding("utf8");
      stream.on("data", (part: string) => {
        body += part;
      });
      stream.on("error", reject);
      stream.on("end", () => {
        try {
          check(soak, caller, body, `"${path}"`);
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
  try {
    await Promise.all(Array.from({ length: 10 }, one));
  } finally {
    session.destroy();
  }
}

async function tunnel({ world }: Soak, { sandbox, secret }: Caller): Promise<void> {
  world.evil.requests.length = 0;
  const client = await intercepted(world, sandbox, evilHost, world.evil.port);
  const path = marked("tunnel");
  const text = `GET ${path} HTTP/1.1\r\nHost: ${evilHost}\r\nX-Key: ${secret.placeholder}\r\n\r\n`;
  const { body } = await exchange(client, text);
  client.close();
  if (body !== text) throw new Error(`not what was sent: ${body.slice(0, 200)}`);
}

async function socks(soak: Soak, caller: Caller): Promise<void> {
  const { code, client } = await askSocks(soak.world, caller.sandbox, socksName(goodHost, soak.origin.port));
  if (code !== 0) throw new Error(`reply ${code}`);
  const tls = await secure(client, { ca: soak.world.caPem, serverName: goodHost });
  try {
    await ask(soak, caller, tls, marked("socks"));
  } finally {
    tls.close();
  }
}

async function upload(soak: Soak, caller: Caller): Promise<void> {
  const client = await open(soak, caller);
  const path = marked("upload");
  const chunk = `10000\r\n${"b".repeat(65_536)}\r\n`;
  client.send(
    `PUT ${path} HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${caller.secret.placeholder}\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  for (let part = 0; part < 32; part++) await client.sendAll(chunk);
  const { body } = await exchange(client, "0\r\n\r\n", "PUT");
  client.close();
  check(soak, caller, body, `"${path}"`);
  if (!body.includes('"length":2097152')) throw new Error(`the upload was not whole: ${body.slice(0, 200)}`);
}

async function events(soak: Soak, caller: Caller): Promise<void> {
  const client = await open(soak, caller);
  const head = `GET ${marked("events")} HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${caller.secret.placeholder}\r\n\r\n`;
  const { body } = await exchange(client, head);
  client.close();
  check(soak, caller, body, "data: 9 ");
}

async function webSocket(soak: Soak, caller: Caller): Promise<void> {
  const tls = await open(soak, caller);
  tls.socket.removeAllListeners("data");
  const socket = new WebSocket(`wss://${goodHost}/`, { createConnection: () => tls.socket });
  const path = marked("ws");
  try {
    const said = await new Promise<string>((resolve, reject) => {
      socket.on("open", () => socket.send(JSON.stringify({ path, key: caller.secret.placeholder })));
      socket.on("message", (data) => resolve(String(data)));
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("closed")));
    });
    check(soak, caller, said, `"${path}"`);
  } finally {
    socket.terminate();
  }
}

/** The destination breaks off: no answer may pass for whole. */
async function broken(soak: Soak, caller: Caller): Promise<void> {
  const client = await open(soak, caller);
  const head = `GET ${marked("break")} HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${caller.secret.placeholder}\r\n\r\n`;
  const { status } = await exchange(client, head);
  client.close();
  if (status === 200) throw new Error("half an answer passed for whole");
}

async function aborted(soak: Soak, caller: Caller): Promise<void> {
  const client = await open(soak, caller);
  const head = `POST ${marked("abort")} HTTP/1.1\r\nHost: ${goodHost}\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n`;
  await client.sendAll(`${head}{"key": "${caller.secret.placeholder}`);
  client.close();
}

/** Values are rotated, sandboxes come and go. */
async function changes(soak: Soak, callers: readonly Caller[]): Promise<void> {
  for (let round = 0; performance.now() < soak.endsAt; round++) {
    await pause(soak, 700);
    const secret = callers[round % callers.length]?.secret;
    if (secret === undefined) continue;
    const value = `soak-${round}-${randomBytes(12).toString("hex")}`;
    soak.values.add(value);
    try {
      await soak.world.api("PATCH", `/secret/${secret.id}`, { value });
      const sandbox = await soak.world.sandbox([secret]);
      await soak.world.api("DELETE", `/sandbox/${sandbox.id}`);
      count(soak, "change");
    } catch {
      // The Secret API is being replaced.
      count(soak, "change that met no API");
    }
  }
}

async function apiFaults(soak: Soak): Promise<void> {
  const every = (soak.endsAt - performance.now()) / (kills + 1);
  for (let round = 0; round < kills; round++) {
    await pause(soak, every);
    if (performance.now() >= soak.endsAt) return;
    soak.awayUntil = Number.POSITIVE_INFINITY;
    await soak.world.replaceApi(2_000);
    // The proxy asks again with growing pauses.
    soak.awayUntil = performance.now() + 20_000;
    count(soak, "API killed");
  }
}

function pause({ endsAt }: Soak, ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, Math.min(ms, endsAt - performance.now()))));
}
