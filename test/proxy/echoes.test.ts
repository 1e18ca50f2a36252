// A server that shows what it was sent, in every spelling and every coding: no value comes back.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { codecs } from "../support/codecs.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, type OriginHandler, startOrigin } from "../support/origin.ts";
import { spellings } from "../support/spellings.ts";
import { connectThrough, fieldValue, type WireAnswer } from "../support/wire-client.ts";

const host = "api.good.test";
const value = `pass/word+"<&'> é=4f9A0bC2\\dE7`;
const bufferBytes = 64 * 1024;

const codings = ["identity", "gzip", "deflate", "br", "zstd", "gzip, br"] as const;

let keyswap: TestKeyswap;
let origin: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let handler: OriginHandler;

beforeAll(async () => {
  keyswap = await startKeyswap({ options: { bufferBytes } });
  origin = await startOrigin({
    pki: keyswap.pki,
    names: [host],
    handler: (request, response, seen) => handler(request, response, seen),
  });
  secret = await keyswap.secret(value, [host]);
  sandbox = await keyswap.sandbox([secret]);
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

/** Posts the placeholder as text; what the server received is the value. */
async function post(answer: OriginHandler): Promise<WireAnswer> {
  handler = answer;
  const client = await connectThrough(keyswap, sandbox, host, origin.port);
  const body = secret.placeholder;
  client.send(
    `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const given = await client.read("POST");
  client.close();
  expect(origin.last().body.toString()).toBe(value);
  return given;
}

function expectNoEcho(shown: Buffer): void {
  const left = spellings.filter(({ write }) => shown.includes(write(Buffer.from(value)) ?? "no such spelling"));
  expect(left.map(({ name }) => name)).toEqual([]);
}

/** The value in every spelling, each on a line of its own, in the midst of `fill` bytes. */
function echoOf(received: Buffer, fill: number): Buffer {
  const lines = spellings.flatMap(({ write }) => [write(received) ?? Buffer.alloc(0), Buffer.from("\n")]);
  const filler = Buffer.alloc(fill / 2, "nothing to see here, 0123456789;\n");
  return Buffer.concat([filler, ...lines, filler]);
}

describe.each(codings)("an echo in the coding %s", (coding) => {
  const applied = coding === "identity" ? "" : coding;
  const encode = (bytes: Buffer): Buffer => codecs.encode(applied, bytes);
  const decode = (bytes: Buffer): Buffer => codecs.decode(applied, bytes);
  it.each([
    ["with a length", 200, "length"],
    ["in chunks", 200, "chunked"],
    ["with a length beyond the buffer", 4 * bufferBytes, "length"],
    ["in chunks beyond the buffer", 4 * bufferBytes, "chunked"],
  ] as const)("%s", async (_, fill, framing) => {
    const answer = await post((_request, response, seen) => {
      const coded = encode(echoOf(seen.body, fill));
      response.setHeader("Content-Type", "text/plain");
      if (coding !== "identity") response.setHeader("Content-Encoding", coding);
      if (framing === "length") response.setHeader("Content-Length", coded.length);
      // In pieces, the last spellings' among them cut anywhere.
      for (let at = 0; at < coded.length; at += 1 + coded.length / 7)
        response.write(coded.subarray(at, at + 1 + coded.length / 7));
      response.end();
    });
    expect(answer.status).toBe(200);
    const shown = decode(answer.body);
    expectNoEcho(shown);
    expect(shown.includes(secret.placeholder.slice(0, 20))).toBe(true);
    expect(shown.subarray(0, fill / 2).equals(echoOf(Buffer.alloc(0), fill).subarray(0, fill / 2))).toBe(true);
    expect(fieldValue(answer, "content-encoding")).toBe(coding === "identity" ? undefined : coding);
  });
});

it("in header fields and in an event stream, one spelling after the other", async () => {
  for (const { write } of spellings) {
    const echo = write(Buffer.from(value))?.toString("latin1") ?? "";
    const answer = await post((_request, response) => {
      response.setHeader("Content-Type", "text/event-stream");
      if (!echo.includes("\n")) response.setHeader("X-Echo", echo);
      response.write("data: ");
      response.write(echo, "latin1");
      response.end("\n\n");
    });
    expectNoEcho(Buffer.from(fieldValue(answer, "x-echo") ?? "", "latin1"));
    expectNoEcho(answer.body);
    expect(answer.body.toString()).toMatch(/^data: .+\n\n$/);
  }
});
