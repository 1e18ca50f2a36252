// The ways in, as an attacker uses them: each tries to reach a host and says what came of it.

import { connect } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { askSocks, socksName } from "../support/socks-client.ts";
import { askConnect, dial, fieldValue, secure, type WireAnswer, WireClient } from "../support/wire-client.ts";
import { aliceAddress, goodHost, portOf, type Sandbox, type Secret, type World } from "./world.ts";

/** `error`: the proxy's own code, where it answered itself; `body` is what came back else. */
export interface Attempt {
  readonly status: number | undefined;
  readonly error: string | undefined;
  readonly body: string;
}

const closed: Attempt = { status: undefined, error: undefined, body: "" };

export type WayIn = "connect" | "absolute" | "socks5" | "http";

/** Those that name host and port themselves; the transparent TLS port knows only 443. */
export const waysIn: readonly WayIn[] = ["connect", "absolute", "socks5", "http"];

/** Tries to get an answer to a plain GET from `host:port`. */
export async function reach(world: World, sandbox: Sandbox, way: WayIn, host: string, port: number): Promise<Attempt> {
  const named = `${host}:${port}`;
  switch (way) {
    case "connect": {
      const { answer, client } = await askConnect(world, named, sandbox.credentials);
      if (answer.status !== 200) return ended(client, attemptOf(answer));
      return get(client, "/", named);
    }
    case "absolute":
      return get(await dial(world.port), `http://${named}/`, named, sandbox.credentials);
    case "socks5": {
      const { code, client } = await askSocks(world, sandbox, socksName(host, port));
      if (code !== 0) return ended(client, { status: undefined, error: `socks ${code}`, body: "" });
      return get(client, "/", named);
    }
    case "http":
      return get(await fromAlice(portOf(world.keyswap.ready.http)), "/", named);
    default:
      return way satisfies never;
  }
}

/** Tries to speak TLS to a host by its name on the transparent port. The alert, or what was answered. */
export async function reachTransparentTls(world: World, serverName: string): Promise<string> {
  // Its types leave out what net.connect takes besides.
  const options: ConnectionOptions & { localAddress: string } = {
    port: portOf(world.keyswap.ready.tls),
    host: "127.0.0.1",
    localAddress: aliceAddress,
    servername: serverName,
    ca: world.caPem,
  };
  const socket = connectTls(options);
  return new Promise((resolve) => {
    socket.once("secureConnect", () => {
      resolve("secured");
      socket.destroy();
    });
    socket.once("error", (error) => resolve("code" in error ? String(error.code) : error.message));
    socket.once("close", () => resolve("closed"));
  });
}

/** A connection on a transparent port, from the address that is alice's. */
export function fromAlice(port: number): Promise<WireClient> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress: aliceAddress });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(new WireClient(socket));
    });
  });
}

/** An intercepted TLS connection to `host:port`; rejects where the way is refused. */
export async function intercepted(
  world: World,
  sandbox: Sandbox,
  host: string,
  port: number,
  tls: { readonly serverName?: string; readonly alpn?: string[] } = {},
): Promise<WireClient> {
  const { answer, client } = await askConnect(world, `${host}:${port}`, sandbox.credentials);
  if (answer.status !== 200) {
    client.close();
    throw new Error(`CONNECT: ${answer.status} ${answer.body}`);
  }
  const { serverName = host, alpn } = tls;
  return secure(client, {
    ca: `${world.caPem}\n${world.pki.caPem}`,
    serverName,
    ...(alpn === undefined ? {} : { alpn }),
  });
}

/** A request over a new connection is answered, and its value arrives. */
export async function assertSubstitutes(world: World, sandbox: Sandbox, secret: Secret, path: string): Promise<void> {
  const client = await intercepted(world, sandbox, goodHost, world.good.port);
  const text = `GET ${path} HTTP/1.1\r\nHost: ${goodHost}\r\nX-Key: ${secret.placeholder}\r\n\r\n`;
  const { status } = await exchange(client, text);
  client.close();
  if (status !== 200) throw new Error(`${path}: status ${status}`);
  const arrived = world.good.requests.findLast((request) => request.startsWith(`GET ${path} `));
  if (arrived?.includes(secret.value) !== true) throw new Error(`${path}: no value arrived`);
}

/** Sends a text and reads one answer; a closed connection is one with no status. */
export async function exchange(client: WireClient, text: string, method = "GET"): Promise<Attempt> {
  try {
    client.send(text);
    return attemptOf(await client.read(method));
  } catch {
    return closed;
  }
}

async function get(client: WireClient, target: string, host: string, credentials?: string): Promise<Attempt> {
  const proof = credentials === undefined ? "" : `Proxy-Authorization: ${credentials}\r\n`;
  const attempt = await exchange(client, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${proof}\r\n`);
  return ended(client, attempt);
}

export function attemptOf(answer: WireAnswer): Attempt {
  return {
    status: answer.status,
    error: fieldValue(answer, "keyswap-error"),
    body: answer.body.toString("latin1"),
  };
}

function ended(client: WireClient, attempt: Attempt): Attempt {
  client.close();
  return attempt;
}

/** The good destination answers `halfhalf` from now on: its first half at once, the other one when told to `go`. */
export function answerInHalves(world: World): { readonly begun: Promise<void>; readonly go: () => void } {
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
  return { begun: begun.promise, go: () => go.resolve() };
}
