// Real keyswap processes with a real origin behind them, and a steady load through them.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ProxyAgent, request } from "undici";
import { type Origin, startOrigin } from "./origin.ts";
import { makePki } from "./pki.ts";
import { makeWorkbench, type Ready, type Workbench } from "./workbench.ts";

export const fleetHost = "api.localhost";
export const fleetValue = "value-that-nobody-may-see";

export interface Fleet extends AsyncDisposable {
  readonly bench: Workbench;
  readonly origin: Origin;
  /** https, of the origin. */
  readonly url: string;
}

/** Every keyswap of the bench may dial loopback and trusts the origin, which echoes `X-Key` and `X-Number`. */
export async function makeFleet(extra: Readonly<Record<string, string>> = {}): Promise<Fleet> {
  const pki = makePki();
  const origin = await startOrigin({
    pki,
    names: [fleetHost, "other.localhost"],
    handler: ({ headers }, response) => response.end(`${headers["x-key"]} ${headers["x-number"]}`),
  });
  const bench = makeWorkbench({ KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8,::1", ...extra });
  const ca = join(bench.env.HOME ?? "", "upstream-ca.pem");
  writeFileSync(ca, pki.caPem);
  Object.assign(bench.env, { KEYSWAP_UPSTREAM_CA: ca });
  return {
    bench,
    origin,
    url: `https://${fleetHost}:${origin.port}`,
    [Symbol.asyncDispose]: async () => {
      await bench[Symbol.asyncDispose]();
      await origin.close();
    },
  };
}

export interface FleetSandbox {
  readonly id: string;
  readonly placeholder: string;
  /** What `Proxy-Authorization` has to say. */
  readonly credentials: string;
}

/** A secret for the fleet's host, mounted in a new sandbox. */
export async function makeFleetSandbox({ bench }: Fleet, { api }: Pick<Ready, "api">): Promise<FleetSandbox> {
  const key = readFileSync(join(bench.dataDir, "api-key"), "utf8").trim();
  const call = async (path: string, body: object) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const answer = await fetch(`${api}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as { id: string; placeholder: string; egress: { proxyUrl: string } };
  };
  const { placeholder } = await call("/secret", { name: "KEY", value: fleetValue, hosts: [fleetHost] });
  const { id, egress } = await call("/sandbox", { secrets: [{ KEY: "KEY" }] });
  const { username, password } = new URL(egress.proxyUrl);
  const credentials = `Basic ${Buffer.from(`${username}:${decodeURIComponent(password)}`).toString("base64")}`;
  return { id, placeholder, credentials };
}

export interface Load {
  /** Exchanges that were right so far. */
  right(): number;
  /** What went wrong, one line each. */
  readonly faults: readonly string[];
  /** Resolves when so many more exchanges were right, or any was wrong. */
  more(count: number): Promise<void>;
  stop(): Promise<void>;
}

export interface LoadOptions {
  readonly fleet: Fleet;
  readonly sandbox: FleetSandbox;
  /** `host:port` to which clients speak. */
  readonly proxy: string;
  readonly connections?: number;
  /** HTTP/1.1 otherwise. */
  readonly http2?: boolean;
  /** Beside those that every request has. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Keeps requests going over keep-alive connections through a proxy; every answer is checked. */
export function startLoad({ fleet, sandbox, proxy, connections = 8, http2 = false, headers: more }: LoadOptions): Load {
  const ca = readFileSync(join(fleet.bench.certsDir, "ca.pem"), "utf8");
  const agent = new ProxyAgent({
    uri: `http://${proxy}`,
    token: sandbox.credentials,
    requestTls: { ca },
    connections,
    allowH2: http2,
  });
  const faults: string[] = [];
  let [right, next, isStopped] = [0, 0, false];
  const one = async (): Promise<void> => {
    const number = String(next++);
    const headers = { "x-key": sandbox.placeholder, "x-number": number, ...more };
    const { statusCode, body } = await request(`${fleet.url}/`, { dispatcher: agent, headers });
    const text = await body.text();
    if (statusCode === 200 && text === `${sandbox.placeholder} ${number}`) right += 1;
    else faults.push(`${statusCode} ${text}`);
  };
  const work = async (): Promise<void> => {
    while (!isStopped && faults.length === 0) {
      await one().catch((error: unknown) => faults.push(describe(error)));
    }
  };
  const workers = Promise.all(Array.from({ length: connections }, work));
  return {
    right: () => right,
    faults,
    more: async (count) => {
      const goal = right + count;
      while (right < goal && faults.length === 0) await new Promise((done) => setTimeout(done, 5));
    },
    stop: async () => {
      isStopped = true;
      await workers;
      await agent.destroy();
    },
  };
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return "no Error";
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return `${error.name}: ${error.message}${cause}`;
}

/** The events of the bench's audit log. */
export function readAudit({ dataDir }: Workbench): readonly Readonly<Record<string, unknown>>[] {
  const path = join(dataDir, "audit.jsonl");
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Log lines of a process with this message. */
export function logged(stderr: string, message: string): readonly Readonly<Record<string, unknown>>[] {
  return stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === message);
}
