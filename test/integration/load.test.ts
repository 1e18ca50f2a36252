// Many requests at once through one proxy: every answer is right, nothing stays open.

import { ProxyAgent, request } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";

const requests = 10_000;
const connections = 32;

let keyswap: TestKeyswap;
let origin: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;

beforeAll(async () => {
  keyswap = await startKeyswap();
  origin = await startOrigin({
    pki: keyswap.pki,
    names: ["api.good.test"],
    handler: (_request, response, seen) => response.end(`${seen.url} ${seen.headers.authorization}`),
  });
  secret = await keyswap.secret("value-that-nobody-may-see", ["api.good.test"]);
  sandbox = await keyswap.sandbox([secret]);
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
});

test(`${requests} requests at ${connections} connections: every answer is its own, no socket is left`, async () => {
  const url = new URL(sandbox.proxyUrl);
  const agent = new ProxyAgent({
    uri: `http://127.0.0.1:${keyswap.port}`,
    token: sandbox.credentials,
    requestTls: { ca: keyswap.caPem },
    connections,
    pipelining: 1,
  });
  expect(url.username).toBe(sandbox.id);
  let next = 0;
  let right = 0;
  const worker = async (): Promise<void> => {
    while (next < requests) {
      const path = `/${next++}`;
      const { statusCode, body } = await request(`https://api.good.test:${origin.port}${path}`, {
        dispatcher: agent,
        headers: { authorization: `Bearer ${secret.placeholder}` },
      });
      const text = await body.text();
      if (statusCode === 200 && text === `${path} Bearer ${secret.placeholder}`) right += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
  expect(right).toBe(requests);
  expect(origin.seen).toHaveLength(requests);
  const wrong = origin.seen.filter((seen) => seen.headers.authorization !== `Bearer ${secret.value}`);
  expect(wrong).toEqual([]);
  expect(origin.sockets.size).toBeLessThanOrEqual(connections);
  expect(keyswap.audit.filter((event) => event.type === "exchange")).toHaveLength(requests);

  await agent.close();
  await keyswap.settled();
  expect(keyswap.proxy.counts).toMatchObject({ sockets: 0, clients: 0, tunnels: 0 });
  expect(keyswap.errors).toEqual([]);
}, 120_000);
