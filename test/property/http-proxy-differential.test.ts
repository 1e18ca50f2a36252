// http-proxy as the independent reference: the same exchange through it and through keyswap reaches the origin with the
// same method, target, end-to-end fields and body, where there is nothing to substitute.

import { createServer, type Server } from "node:http";
import { Agent } from "node:https";
import { type AddressInfo, connect } from "node:net";
import fc from "fast-check";
import httpProxy from "http-proxy";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type MadeSandbox, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, type Seen, startOrigin } from "../support/origin.ts";
import { connectThrough, WireClient } from "../support/wire-client.ts";

let keyswap: TestKeyswap;
let origin: Origin;
let sandbox: MadeSandbox;
let reference: Server;
let agent: Agent;

beforeAll(async () => {
  keyswap = await startKeyswap();
  origin = await startOrigin({ pki: keyswap.pki, names: ["api.good.test"] });
  sandbox = await keyswap.sandbox([await keyswap.secret("value-that-nobody-may-see", ["api.good.test"])]);
  agent = new Agent({ keepAlive: true, ca: keyswap.pki.caPem, servername: "api.good.test" });
  const proxy = httpProxy.createProxyServer({ target: `https://127.0.0.1:${origin.port}`, agent, secure: true });
  reference = createServer((request, response) => proxy.web(request, response));
  await new Promise<void>((resolve) => reference.listen(0, "127.0.0.1", resolve));
});

afterAll(async () => {
  reference.closeAllConnections();
  await new Promise((resolve) => reference.close(resolve));
  agent.destroy();
  await keyswap.close();
  await origin.close();
});

/** What has to be the same. Connection fields belong to each hop; framing fields are compared by the body they frame. */
function endToEnd({ method, url, rawHeaders, body }: Seen): object {
  const fields: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (/^(connection|keep-alive|transfer-encoding|content-length)$/i.test(name)) continue;
    // The reference lower-cases names; that keyswap keeps their case is tested elsewhere.
    fields.push(`${name.toLowerCase()}: ${rawHeaders[at + 1]}`);
  }
  // The reference moves Host; the order of fields of different names means nothing (RFC 9110 section 5.3).
  return { method, url, fields: fields.sort(), body: body.toString("latin1") };
}

async function sendThrough(client: WireClient, message: string, method: string): Promise<object> {
  const before = origin.seen.length;
  client.send(message);
  expect((await client.read(method)).status).toBe(200);
  expect(origin.seen).toHaveLength(before + 1);
  return endToEnd(origin.last());
}

const tokenChar = fc.constantFrom(..."abcXYZ019-_.");
const name = fc.string({ unit: tokenChar, minLength: 1, maxLength: 12 }).map((text) => `x-${text}`);
const value = fc
  .string({ unit: fc.constantFrom(..."abc XYZ019-_.,;=\"'/%"), maxLength: 30 })
  .map((text) => text.trim());
// The reference collapses `//` and reads only the first `?` as one.
const path = fc
  .string({ unit: fc.constantFrom(..."abc/%20?&=.~-2F"), maxLength: 30 })
  .map((text) => `/${text}`)
  .filter((text) => !text.includes("//") && text.split("?").length < 3);
const message = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"),
  path,
  fields: fc.uniqueArray(fc.tuple(name, value), { maxLength: 6, selector: ([key]) => key.toLowerCase() }),
  body: fc.option(fc.string({ unit: fc.constantFrom(...'{}":abc \n'), minLength: 1, maxLength: 200 }), {
    nil: undefined,
  }),
  chunked: fc.boolean(),
});

test("the same exchange reaches the origin alike through http-proxy and through keyswap", async () => {
  const ours = await connectThrough(keyswap, sandbox, "api.good.test", origin.port);
  const theirs = new WireClient(connect((reference.address() as AddressInfo).port, "127.0.0.1"));
  await fc.assert(
    fc.asyncProperty(message, async ({ method, path: target, fields, body, chunked }) => {
      const hasBody = body !== undefined && method !== "GET" && method !== "DELETE" && method !== "OPTIONS";
      const framing = !hasBody
        ? ""
        : chunked
          ? "Transfer-Encoding: chunked\r\n"
          : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
      const content = !hasBody ? "" : chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
      const lines = fields.map(([key, text]) => `${key}: ${text}\r\n`).join("");
      const text = `${method} ${target} HTTP/1.1\r\nHost: api.good.test:${origin.port}\r\n${lines}${framing}\r\n${content}`;
      expect(await sendThrough(ours, text, method)).toEqual(await sendThrough(theirs, text, method));
    }),
    { numRuns: 150 },
  );
  ours.socket.destroy();
  theirs.socket.destroy();
});
