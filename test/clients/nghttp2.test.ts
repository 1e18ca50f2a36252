// nghttp2's own client against a transparent port: many streams at a time, every answer right.

import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Http2Origin, startHttp2Origin } from "../support/http2-peers.ts";
import { type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { makePki } from "../support/pki.ts";

const host = "api.good.test";
const run = promisify(execFile);
const isMissing = spawnSync("h2load", ["--version"]).error !== undefined;
let keyswap: TestKeyswap;
let origin: Http2Origin;
let secret: MadeSecret;

beforeAll(async () => {
  const pki = makePki();
  origin = await startHttp2Origin({ pki, names: [host], speaks: "h2" });
  keyswap = await startKeyswap({
    pki,
    upstreamPorts: { 443: origin.port },
    options: { tlsListen: { host: "127.0.0.1", port: 0 } },
  });
  secret = await keyswap.secret("the real value", [host]);
  await keyswap.sandbox([secret], { sources: ["127.0.0.1/32"] });
  await keyswap.heard();
});

afterAll(async () => {
  await keyswap?.close();
  await origin?.close();
  expect(keyswap.errors).toEqual([]);
});

async function h2load(...args: string[]): Promise<string> {
  const to = `--connect-to=${keyswap.addresses.tls}`;
  const { stdout } = await run("h2load", [to, ...args, "-H", `x-key: ${secret.placeholder}`, `https://${host}/load`]);
  return stdout;
}

test.skipIf(isMissing).each([
  ["many streams", ["-n", "2000", "-c", "2", "-m", "100"]],
  ["small windows", ["-n", "200", "-c", "1", "-m", "50", "-w", "10", "-W", "12"]],
])(
  `h2load with %s${isMissing ? " (skipped: no h2load)" : ""}`,
  async (_name, args) => {
    const body = Buffer.alloc(20_000, "x");
    origin.seen.length = 0;
    origin.handler = (response, seen) => {
      const isRight = seen.fields.some(([name, value]) => name === "x-key" && value === secret.value);
      response.writeHead(isRight ? 200 : 403);
      response.end(body);
    };
    const report = await h2load(...args);
    const count = Number(args[1]);
    expect(report).toContain(`${count} succeeded, 0 failed, 0 errored, 0 timeout`);
    expect(report).toContain(`status codes: ${count} 2xx`);
    expect(origin.seen).toHaveLength(count);
  },
  60_000,
);
