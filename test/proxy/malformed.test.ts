// What two parsers could read differently is refused: 400, the connection closed, nothing of it at the origin.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { badAnswers, badBodies, badHeads } from "../support/bad-messages.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { connectThrough, dial, errorOf } from "../support/wire-client.ts";

const host = "api.good.test";
const line = "POST / HTTP/1.1\r\n";
const named = `Host: ${host}\r\n`;

let keyswap: TestKeyswap;
let origin: RawOrigin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
/** Requests that were whole as the origin sees it. */
let whole: string[];

beforeAll(async () => {
  keyswap = await startKeyswap({ limits: { message: { maxHeadBytes: 16 * 1024, maxFields: 100 } } });
  origin = await startRawOrigin({ pki: keyswap.pki, names: [host] }, serve);
  secret = await keyswap.secret("the real value", [host]);
  sandbox = await keyswap.sandbox([secret]);
});

beforeEach(() => {
  whole = [];
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

async function serve({ wire, readRequest }: RawConnection): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    const { text } = await readRequest();
    if (/transfer-encoding/i.test(text)) {
      for (let chunk = await wire.readChunk(); chunk !== undefined; ) chunk = await wire.readChunk();
      await wire.readTrailers();
    }
    whole.push(text);
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  }
}

const smuggled = `GET /smuggled HTTP/1.1\r\n${named}\r\n`;

describe("a malformed head inside of an intercepted connection is refused", () => {
  for (const [name, bytes] of Object.entries(badHeads(host))) {
    it(name, async () => {
      const client = await connectThrough(keyswap, sandbox, host, origin.port);
      client.send(bytes + smuggled);
      const answer = await client.read();
      expect([answer.status, errorOf(answer)]).toEqual([400, "bad-request"]);
      expect(await client.closed()).toBe("");
      expect(whole).toEqual([]);
      client.close();
    });
  }
});

describe("and so it is on the proxy port", () => {
  for (const [name, bytes] of Object.entries(badHeads(host))) {
    it(name, async () => {
      const client = await dial(keyswap.port);
      client.send(`${bytes.replace(" / ", ` http://${host}/ `)}${smuggled}`);
      const answer = await client.read();
      // A target that is no absolute URL is well-formed all the same.
      expect(answer.status).toBe(400);
      expect(await client.closed()).toBe("");
      client.close();
    });
  }
});

describe("a malformed body never reaches the origin as a whole", () => {
  for (const [name, bytes] of Object.entries(badBodies)) {
    for (const type of ["image/png", "application/json"]) {
      it(`${name} (${type})`, async () => {
        const client = await connectThrough(keyswap, sandbox, host, origin.port);
        client.send(`${line}${named}Content-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n${bytes}${smuggled}`);
        const answer = await client.read();
        expect([answer.status, errorOf(answer)]).toEqual([400, "bad-request"]);
        expect(await client.closed()).toBe("");
        expect(whole).toEqual([]);
        client.close();
      });
    }
  }
});

describe("bounds on a head", () => {
  it("too many bytes and too many fields get 431", async () => {
    for (const fields of [`X-A: ${"a".repeat(20_000)}\r\n`, "X-A: 1\r\n".repeat(150)]) {
      const client = await connectThrough(keyswap, sandbox, host, origin.port);
      client.send(`GET / HTTP/1.1\r\n${named}${fields}\r\n`);
      const answer = await client.read();
      expect([answer.status, errorOf(answer)]).toEqual([431, "head-too-large"]);
      expect(await client.closed()).toBe("");
      client.close();
    }
    expect(whole).toEqual([]);
  });

  it("bytes without end get it too, long before they end", async () => {
    const client = await connectThrough(keyswap, sandbox, host, origin.port);
    client.send(`GET /${"a".repeat(100_000)}`);
    expect((await client.read()).status).toBe(431);
    client.close();
  });
});

describe("unusual but well-formed requests pass as they are", () => {
  it("any method, empty lines before, odd targets and fields", async () => {
    const client = await connectThrough(keyswap, sandbox, host, origin.port);
    const heads = [
      `LIST /v1/secret HTTP/1.1\r\n${named}\r\n`,
      `M-SEARCH * HTTP/1.1\r\n${named}\r\n`,
      `OPTIONS * HTTP/1.1\r\n${named}\r\n`,
      `GET /a%2fb%2F/../c//d;x=1?a=b&a=%20&&= HTTP/1.1\r\n${named}X-Empty: \r\nx-lower: 1\r\nX-UPPER: caf\xe9\xff\r\nX-Lower: 2\r\n\r\n`,
      `GET / HTTP/1.1\r\nX-First: 1\r\nhOST: ${host}:443\r\n\r\n`.replace(":443", `:${origin.port}`),
    ];
    for (const head of heads) {
      client.send(`\r\n${head}`);
      expect((await client.read()).status).toBe(200);
    }
    expect(whole).toEqual(heads);
    client.close();
  });
});

describe("malformed answers", () => {
  for (const [name, bytes] of Object.entries(badAnswers)) {
    it(`${name}: 502`, async () => {
      const server = await startRawOrigin(
        { pki: keyswap.pki, names: [host] },
        async ({ wire, readRequest, socket }) => {
          await readRequest();
          wire.send(bytes);
          socket.end();
        },
      );
      const client = await connectThrough(keyswap, sandbox, host, server.port);
      client.send(`GET / HTTP/1.1\r\n${named}\r\n`);
      const answer = await client.read();
      expect(answer.status).toBe(502);
      expect(errorOf(answer)).toMatch(/^upstream-(malformed|closed)$/);
      client.close();
      await server.close();
    });
  }
});
