// What every attack runs against: one `keyswap start` as a process of its own, a DNS server that answers what it is told,
// an origin that a secret is meant for, one that belongs to the attacker, and a trap on an address that must not be reached.

import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { type DnsServer, startDnsServer } from "../support/dns-server.ts";
import { makePki, type Pki } from "../support/pki.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { type Answer, call } from "../support/secret-api.ts";
import { waitUntil } from "../support/wait.ts";
import { makeWorkbench, type RunningKeyswap, type Workbench } from "../support/workbench.ts";

/** One way to break a promise. `run` throws where it succeeds. */
export interface AttackCase {
  /** What holds: the line that is printed. */
  readonly name: string;
  /** Why it cannot be tried here. */
  readonly skip?: string | undefined;
  /** Milliseconds until it is taken for hanging, where it needs more than the others. */
  readonly caseMs?: number;
  /** A text that it answers is printed with its line. */
  readonly run: (world: World) => Promise<unknown>;
}

export interface Sandbox {
  readonly id: string;
  readonly token: string;
  /** For Proxy-Authorization. */
  readonly credentials: string;
}

export interface Secret {
  readonly id: string;
  readonly name: string;
  readonly placeholder: string;
  readonly value: string;
}

/** A real TLS server that keeps what it is sent and answers with it. */
export interface Recorder {
  readonly port: number;
  readonly origin: RawOrigin;
  /** Whole requests, head and body, Latin-1. */
  readonly requests: string[];
  /** Takes the place of the answer. */
  serve: ((connection: RawConnection) => Promise<void>) | undefined;
}

export const goodHost = "api.good.test";
export const evilHost = "evil.test";
/** Loopback, but not the one address that the operator allows. */
export const trapAddress = "127.0.0.2";
/** From here transparent connections are alice's. */
export const aliceAddress = "127.0.0.3";

const names = [goodHost, "sub.wild.test", "wild.test", "denied.test", "plain.test", "other.test"];
const evilNames = [evilHost, "evilwild.test", "wild.test.evil.test", "api.good.test.evil.test", "xn--pi-5ja.good.test"];

export class World {
  readonly bench: Workbench;
  keyswap: RunningKeyswap & {
    readonly ready: { readonly tls: string; readonly http: string };
  };
  readonly dns: DnsServer;
  readonly pki: Pki;
  readonly good: Recorder;
  readonly evil: Recorder;
  readonly trap: { readonly port: number; connections: number };
  readonly #servers: { close(): unknown }[];
  readonly #env: Readonly<Record<string, string>>;
  #api: RunningKeyswap | undefined;
  #made = 0;

  constructor(
    parts: Pick<World, "bench" | "keyswap" | "dns" | "pki" | "good" | "evil" | "trap">,
    servers: { close(): unknown }[],
    env: Readonly<Record<string, string>>,
    api?: RunningKeyswap,
  ) {
    this.bench = parts.bench;
    this.keyswap = parts.keyswap;
    this.dns = parts.dns;
    this.pki = parts.pki;
    this.good = parts.good;
    this.evil = parts.evil;
    this.trap = parts.trap;
    this.#servers = servers;
    this.#env = env;
    this.#api = api;
  }

  /** Of the proxy. */
  get port(): number {
    return portOf(this.keyswap.ready.proxy);
  }

  get caPem(): string {
    return readFileSync(this.keyswap.ready.ca, "utf8");
  }

  get apiKey(): string {
    return readFileSync(join(this.bench.dataDir, "api-key"), "utf8").trim();
  }

  api(method: string, path: string, body?: unknown, key: string | null = this.apiKey): Promise<Answer> {
    return call(this.keyswap.ready.api, this.apiKey, method, path, body, { key });
  }

  async secret(value: string, hosts: readonly string[], more: Record<string, unknown> = {}): Promise<Secret> {
    this.#made += 1;
    const name = `SECRET_${this.#made}`;
    const { body } = await this.#made201("/secret", { name, value, hosts, ...more });
    return { id: body.id, name, placeholder: body.placeholder, value };
  }

  async sandbox(secrets: readonly Secret[], more: Record<string, unknown> = {}): Promise<Sandbox> {
    const mounts = secrets.map(({ name }) => ({ [name]: name }));
    const { body } = await this.#made201("/sandbox", { secrets: mounts, ...more });
    const token = decodeURIComponent(new URL(body.egress.proxyUrl).password);
    return { id: body.id, token, credentials: basic(body.id, token) };
  }

  /** What the audit log holds by now, parsed. */
  audit(): readonly Record<string, unknown>[] {
    const text = readFileSync(this.bench.env.KEYSWAP_AUDIT ?? join(this.bench.dataDir, "audit.jsonl"), "utf8");
    // The last line may be half written.
    return text
      .slice(0, text.lastIndexOf("\n") + 1)
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** The value may have reached no one but its host. */
  assertUnseenByEvil(value: string): void {
    const seen = this.evil.requests.find((request) => request.includes(value));
    if (seen !== undefined) throw new Error(`the value reached the attacker: ${JSON.stringify(seen.slice(0, 300))}`);
  }

  /** Where the two run apart: kills the Secret API, and starts it anew on the same address `pauseMs` later. */
  async replaceApi(pauseMs: number): Promise<void> {
    if (this.#api === undefined) throw new Error("the API has no process of its own");
    const { host } = new URL(this.#api.ready.api);
    await this.#api.stop("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    this.#api = await this.bench.start(["api"], { env: { KEYSWAP_API_LISTEN: host } });
  }

  /** Starts keyswap anew on the same data, once it has ended. */
  async restart(env: Readonly<Record<string, string>>): Promise<void> {
    this.keyswap = (await this.bench.start(["start"], { env: { ...this.#env, ...env } })) as World["keyswap"];
  }

  async close(): Promise<void> {
    await this.bench[Symbol.asyncDispose]();
    for (const server of this.#servers) await server.close();
  }

  async #made201(path: string, body: unknown): Promise<Answer> {
    const answer = await this.api("POST", path, body);
    if (answer.status >= 300) throw new Error(`POST ${path}: ${answer.status} ${answer.text}`);
    return answer;
  }
}

export interface WorldOptions {
  /** The proxy and the Secret API are two processes. */
  readonly isApart?: boolean;
  /** A descriptor for keyswap's stderr; without it the world reads it. */
  readonly stderr?: number;
}

export async function makeWorld(
  extra: Readonly<Record<string, string>> = {},
  { isApart = false, stderr }: WorldOptions = {},
): Promise<World> {
  const pki = makePki();
  const dns = await startDnsServer();
  for (const name of [...names, ...evilNames]) dns.set("A", name, { addresses: ["127.0.0.1"], ttl: 300 });
  const good = await startRecorder(pki, names);
  const evil = await startRecorder(pki, evilNames);
  const trap = { port: 0, connections: 0 };
  const trapServer = await listenTrap(trap);
  const bench = makeWorkbench({
    KEYSWAP_DNS_SERVERS: dns.address,
    KEYSWAP_ALLOW_PRIVATE: "127.0.0.1/32",
    KEYSWAP_EGRESS_DENY: "denied.test,*.denied-zone.test,evil.test:25",
    KEYSWAP_TLS_LISTEN: "127.0.0.1:0",
    KEYSWAP_HTTP_LISTEN: "127.0.0.1:0",
    KEYSWAP_LOG_LEVEL: "trace",
    KEYSWAP_NOTE: "on",
    // Small enough to be reached.
    KEYSWAP_MAX_NEWCOMERS: "100",
    KEYSWAP_MAX_SANDBOX_CONNECTIONS: "200",
    KEYSWAP_MAX_MINTS: "100",
    ...extra,
  });
  const caFile = join(bench.dataDir, "..", "upstream-ca.pem");
  writeFileSync(caFile, pki.caPem);
  const env = { KEYSWAP_UPSTREAM_CA: caFile };
  const api = isApart ? await bench.start(["api"]) : undefined;
  const away = api === undefined ? {} : { KEYSWAP_SECRET_API_URL: api.ready.api };
  const running = await bench.start([isApart ? "proxy" : "start"], {
    env: { ...env, ...away },
    ...(stderr === undefined ? {} : { stderr }),
  });
  const ready = { ...running.ready, ...(api === undefined ? {} : { api: api.ready.api }) };
  // The ready line has two fields more, because the transparent ports are on.
  const keyswap = { ...running, ready } as World["keyswap"];
  const servers = [good.origin, evil.origin, dns, trapServer];
  return new World({ bench, keyswap, dns, pki, good, evil, trap }, servers, env, api);
}

/** For a case that ends its process or needs another one. */
export async function inOwnWorld<T>(
  run: (world: World) => Promise<T>,
  env: Readonly<Record<string, string>> = {},
  options: WorldOptions = {},
): Promise<T> {
  const world = await makeWorld(env, options);
  try {
    return await run(world);
  } finally {
    await world.close();
  }
}

async function startRecorder(pki: Pki, hosts: string[]): Promise<Recorder> {
  const requests: string[] = [];
  const recorder: Partial<{ -readonly [K in keyof Recorder]: Recorder[K] }> = { requests, serve: undefined };
  const origin = await startRawOrigin({ pki, names: hosts }, async (connection) => {
    if (recorder.serve !== undefined) {
      await recorder.serve(connection);
      return;
    }
    const { wire, readRequest } = connection;
    for (let count = 0; count < 10_000; count++) {
      const { text, fields } = await readRequest();
      const length = Number(fields.find(([name]) => name.toLowerCase() === "content-length")?.[1] ?? 0);
      const isChunked = fields.some(([name]) => name.toLowerCase() === "transfer-encoding");
      const body = isChunked ? await readChunks(wire) : await wire.readExactly(length);
      const whole = text + body.toString("latin1");
      requests.push(whole);
      wire.send(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${whole.length}\r\n\r\n${whole}`);
    }
  });
  return Object.assign(recorder, { port: origin.port, origin }) as Recorder; // Every field is there by now.
}

async function readChunks(wire: RawConnection["wire"]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let chunk = await wire.readChunk(); chunk !== undefined; chunk = await wire.readChunk()) parts.push(chunk);
  await wire.readTrailers();
  return Buffer.concat(parts);
}

async function listenTrap(trap: { port: number; connections: number }): Promise<{ close(): unknown }> {
  const server: Server = createServer((socket) => {
    trap.connections += 1;
    socket.on("error", () => {});
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntrapped");
  });
  await new Promise<void>((resolve) => server.listen(0, trapAddress, resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  trap.port = address.port;
  return server;
}

/** What keyswap's process has of the machine's memory, in MiB. */
export function rssMib({ keyswap: { pid } }: World): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

export function basic(id: string, token: string): string {
  return `Basic ${Buffer.from(`${id}:${token}`).toString("base64")}`;
}

export function portOf(address: string): number {
  return Number(new URL(`http://${address}`).port);
}

/** Throws with both values where they differ. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a}, not ${b}`);
}

export function holds(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

/** Waits until the check passes; after ten seconds it fails as the check does. */
export function until(check: () => void | Promise<void>): Promise<void> {
  return waitUntil(check, 10_000, 20);
}
