// Every way in × every protocol × what may happen to a placeholder, with the real clients that speak them. Those that know
// nothing of a way are taken along it by a forwarder.

import { execFile, execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { credentials, Metadata, makeGenericClientConstructor } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { isInstalled } from "../support/client-hello.ts";
import { curl } from "../support/curl.ts";
import { type EchoOrigin, startEchoOrigin } from "../support/echo-origin.ts";
import { grpcService } from "../support/grpc-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { makePki } from "../support/pki.ts";
import { openBy, startForwarder, type WayName, wayNames } from "../support/ways.ts";
import { WebSocketPeer } from "../support/websocket-peers.ts";

const run = promisify(execFile);
const [granted, plain, stranger] = ["api.good.test", "plain.test", "evil.test"];
let keyswap: TestKeyswap;
let secureOrigin: EchoOrigin;
let plainOrigin: EchoOrigin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
/** keyswap's CA and the origin's: a host that is not granted shows its own certificate. */
let roots: string;
let rootsPath: string;

beforeAll(async () => {
  const pki = makePki();
  secureOrigin = await startEchoOrigin({ pki, names: [granted, stranger] });
  plainOrigin = await startEchoOrigin();
  keyswap = await startKeyswap({
    pki,
    upstreamPorts: { 443: secureOrigin.port, 80: plainOrigin.port },
    plainHttpHosts: [plain],
    options: { tlsListen: { host: "127.0.0.1", port: 0 }, httpListen: { host: "127.0.0.1", port: 0 } },
  });
  // As long as its placeholder, for binary messages and gRPC.
  secret = await keyswap.secret("v".repeat(36), [granted, plain]);
  expect(secret.placeholder).toHaveLength(36);
  secureOrigin.expected = secret.value;
  plainOrigin.expected = secret.value;
  sandbox = await keyswap.sandbox([secret], { sources: ["127.0.0.1/32"] });
  await keyswap.heard();
  roots = `${keyswap.caPem}\n${pki.caPem}`;
  rootsPath = `${keyswap.caPath}.roots`;
  writeFileSync(rootsPath, roots);
});

afterAll(async () => {
  await keyswap.close();
  await secureOrigin.close();
  await plainOrigin.close();
  expect(keyswap.errors).toEqual([]);
});

const proxyAt = (scheme: string): string => `${scheme}://${sandbox.id}:${sandbox.token}@127.0.0.1:${keyswap.port}`;
const portOf = (address: string | undefined): number => Number(address?.split(":").at(-1));

/** The value went out on the granted host alone, and never came back. */
function expectSwap(protocol: string, ask: (host: string) => Promise<string>, allowed = granted): void {
  it("substitutes, and scrubs the echo", async () => {
    expect(await ask(allowed)).toBe(`${protocol} true ${secret.placeholder}`);
  });

  it("leaves the placeholder alone on another host", async () => {
    expect(await ask(stranger)).toBe(`${protocol} false ${secret.placeholder}`);
  });
}

/** Runs a client that connects to a port of this machine, whose connections go along a way. */
async function along<T>(way: WayName, host: string, client: (port: number) => Promise<T>): Promise<T> {
  const forwarder = await startForwarder(() => openBy(way, keyswap, sandbox, host));
  try {
    return await client(forwarder.port);
  } finally {
    await forwarder.close();
  }
}

const noCurl = !isInstalled("curl");
/** How curl speaks them by itself. */
const curlWays: Readonly<Record<WayName, (host: string) => readonly string[]>> = {
  CONNECT: () => ["--proxy", proxyAt("http")],
  "CONNECT over TLS": () => ["--proxy", proxyAt("https"), "--proxy-cacert", keyswap.caPath],
  "SOCKS5 by name": () => ["--proxy", proxyAt("socks5h")],
  "SOCKS5 by address": (host) => ["--proxy", proxyAt("socks5"), "--resolve", `${host}:443:127.66.66.66`],
  transparent: (host) => ["--connect-to", `${host}:443:127.0.0.1:${portOf(keyswap.addresses.tls)}`],
};

async function askCurl(...args: readonly string[]): Promise<string> {
  const answer = await curl([...args, "--cacert", rootsPath, "-H", `X-Key: ${secret.placeholder}`]);
  expect(answer).toMatchObject({ code: 0, stderr: "" });
  return answer.body;
}

describe.each(wayNames)("%s", (way) => {
  describe.skipIf(noCurl)(`HTTP/1.1 by curl${noCurl ? " (skipped: not installed)" : ""}`, () => {
    expectSwap("http/1.1", (host) => askCurl("--http1.1", ...curlWays[way](host), `https://${host}/`));
  });

  describe.skipIf(noCurl)(`HTTP/2 by curl${noCurl ? " (skipped: not installed)" : ""}`, () => {
    // A body, so that it goes on as HTTP/2 to the destination too.
    expectSwap("h2", (host) => askCurl("--http2", ...curlWays[way](host), "-d", "body", `https://${host}/`));
  });

  const noH2load = !isInstalled("h2load");
  describe.skipIf(noH2load)(`HTTP/2 by h2load${noH2load ? " (skipped: nghttp2-client is not installed)" : ""}`, () => {
    it("carries forty requests on two connections, ten at a time", async () => {
      const before = keyswap.audit.length;
      const { stdout } = await along(way, granted, (port) => {
        const asked = ["-n", "40", "-c", "2", "-m", "10", "-H", `x-key: ${secret.placeholder}`];
        return run("h2load", [...asked, `--connect-to=127.0.0.1:${port}`, `https://${granted}/`], { timeout: 20_000 });
      });
      expect(stdout).toContain("40 succeeded, 0 failed, 0 errored");
      expect(stdout).toContain("Application protocol: h2");
      const events = keyswap.audit.slice(before).filter(({ type }) => type === "exchange");
      expect(events).toHaveLength(40);
      for (const event of events) {
        expect(event).toMatchObject({ protocol: "h2", status: 200, scrubbed: [secret.name] });
      }
    });
  });

  describe("WebSocket by ws", () => {
    async function ask(host: string, message: string | Buffer): Promise<string> {
      const way443 = await openBy(way, keyswap, sandbox, host);
      const socket = new WebSocket(`wss://${host}/`, {
        createConnection: () => connectTls({ socket: way443, servername: host, ca: roots }),
      });
      const peer = new WebSocketPeer(socket);
      await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
      await peer.send(message);
      const echo = await peer.nextText();
      socket.close();
      await peer.closed;
      return echo;
    }

    describe("text", () => expectSwap("text", (host) => ask(host, secret.placeholder)));
    describe("binary", () => expectSwap("binary", (host) => ask(host, Buffer.from(secret.placeholder))));
  });

  describe("gRPC by grpc-js", () => {
    expectSwap("grpc", (host) =>
      along(way, host, async (port) => {
        const Client = makeGenericClientConstructor(grpcService, "T");
        const client = new Client(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(roots)), {
          "grpc.ssl_target_name_override": host,
          "grpc.default_authority": host,
          "grpc.use_local_subchannel_pool": 1,
        });
        const raw = (bytes: Buffer): Buffer => bytes;
        const { promise, resolve, reject } = Promise.withResolvers<string>();
        const deadline = Date.now() + 20_000;
        const sent = Buffer.from(secret.placeholder);
        client.makeUnaryRequest(
          grpcService.unary.path,
          raw,
          raw,
          sent,
          new Metadata(),
          { deadline },
          (error, answer) => (error === null ? resolve(String(answer)) : reject(error)),
        );
        try {
          return await promise;
        } finally {
          client.close();
        }
      }),
    );
  });
});

/** Plain HTTP to port 80. */
const plainWays: readonly (readonly [string, (host: string) => readonly string[]])[] = [
  ["absolute-form", () => ["--proxy", proxyAt("http")]],
  ["absolute-form over TLS", () => ["--proxy", proxyAt("https"), "--proxy-cacert", keyswap.caPath]],
  ["CONNECT", () => ["--proxytunnel", "--proxy", proxyAt("http")]],
  ["SOCKS5 by name", () => ["--proxy", proxyAt("socks5h")]],
  ["SOCKS5 by address", (host) => ["--proxy", proxyAt("socks5"), "--resolve", `${host}:80:127.66.66.66`]],
  ["transparent", (host) => ["--connect-to", `${host}:80:127.0.0.1:${portOf(keyswap.addresses.http)}`]],
];

describe.skipIf(noCurl)(`plain HTTP by curl${noCurl ? " (skipped: not installed)" : ""}`, () => {
  describe.each(plainWays)("%s", (_name, argumentsFor) => {
    expectSwap("http/1.1", (host) => askCurl(...argumentsFor(host), `http://${host}/`), plain);
  });
});

/** What programs do by themselves with the variables that sandboxes have. */
describe("a program with proxy variables", () => {
  const fetchOnce = `const headers = { "x-key": process.env.KEY };
    const answer = await fetch(process.env.ASKED, { method: "POST", headers, body: "body" });
    process.stdout.write(await answer.text());`;
  const requestsOnce = `import os, requests
print(requests.get(os.environ["ASKED"], headers={"x-key": os.environ["KEY"]}).text, end="")`;
  const python = "/usr/bin/python3";

  async function ask(command: string, args: readonly string[], host: string, scheme: string): Promise<string> {
    const env = {
      PATH: process.env.PATH ?? "",
      HOME: "/nonexistent",
      ASKED: `https://${host}/`,
      KEY: secret.placeholder,
      HTTPS_PROXY: proxyAt(scheme),
      NODE_USE_ENV_PROXY: "1",
      NODE_EXTRA_CA_CERTS: rootsPath,
      REQUESTS_CA_BUNDLE: rootsPath,
    };
    return (await run(command, args, { env, timeout: 20_000 })).stdout;
  }

  describe("Node's fetch", () => {
    expectSwap("h2", (host) => ask(process.execPath, ["--input-type=module", "-e", fetchOnce], host, "http"));
  });

  const noRequests = !hasRequests(python);
  describe.skipIf(noRequests)(
    `Python's requests${noRequests ? " (skipped: python3-requests is not installed)" : ""}`,
    () => {
      describe.each(["http", "https"])("by a proxy URL of %s", (scheme) => {
        expectSwap("http/1.1", (host) => ask(python, ["-c", requestsOnce], host, scheme));
      });
    },
  );
});

function hasRequests(python: string): boolean {
  try {
    execFileSync(python, ["-c", "import requests"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
