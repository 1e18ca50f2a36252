// What two parsers could read differently is refused: 400, the connection closed, nothing of it at the origin.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { connectThrough, dial, errorOf } from "../support/wire-client.ts";

const host = "api.good.test";
const line = "POST / HTTP/1.1\r\n";
const named = `Host: ${host}\r\n`;

/** Heads that are refused before anything of them goes on. */
const badHeads: Readonly<Record<string, string>> = {
  "length and chunked coding": `${line}${named}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "chunked coding and length": `${line}${named}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`,
  "two lengths": `${line}${named}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
  "two equal lengths": `${line}${named}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`,
  "a list of lengths": `${line}${named}Content-Length: 3, 3\r\n\r\nabc`,
  "a signed length": `${line}${named}Content-Length: +3\r\n\r\nabc`,
  "a negative length": `${line}${named}Content-Length: -3\r\n\r\nabc`,
  "a length in hex": `${line}${named}Content-Length: 0x3\r\n\r\nabc`,
  "an empty length": `${line}${named}Content-Length: \r\n\r\n`,
  "a length beyond all bounds": `${line}${named}Content-Length: 99999999999999999999\r\n\r\n`,
  "a coding that is not chunked": `${line}${named}Transfer-Encoding: gzip\r\n\r\n`,
  "chunked and another coding": `${line}${named}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  "chunked twice": `${line}${named}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "chunked misspelt": `${line}${named}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
  "chunked with a vertical tab": `${line}${named}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`,
  "chunked in HTTP/1.0": `POST / HTTP/1.0\r\n${named}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "a blank before the colon": `${line}${named}Content-Length : 3\r\n\r\nabc`,
  "a folded field": `${line}${named}X-A: 1\r\n 2\r\n\r\n`,
  "a first field that is indented": `${line} X-A: 1\r\n${named}\r\n`,
  "a bare LF between fields": `${line}${named}X-A: 1\nX-B: 2\r\n\r\n`,
  "a bare CR in a field": `${line}${named}X-A: 1\rX-B: 2\r\n\r\n`,
  "bare LFs at the end": `${line}${named}\n\n`,
  "a NUL in a field": `${line}${named}X-A: 1\x002\r\n\r\n`,
  "a control byte in a field": `${line}${named}X-A: 1\x012\r\n\r\n`,
  "a field without a name": `${line}${named}: 1\r\n\r\n`,
  "a field without a colon": `${line}${named}X-A\r\n\r\n`,
  "a name with a blank": `${line}${named}X A: 1\r\n\r\n`,
  "a name with a high byte": `${line}${named}X-\xe9: 1\r\n\r\n`,
  "no version": `GET /\r\n${named}\r\n`,
  "another version": `GET / HTTP/2.0\r\n${named}\r\n`,
  "a version in lower case": `GET / http/1.1\r\n${named}\r\n`,
  "a version with two digits": `GET / HTTP/1.10\r\n${named}\r\n`,
  "two blanks in the request line": `GET  / HTTP/1.1\r\n${named}\r\n`,
  "a tab in the request line": `GET\t/ HTTP/1.1\r\n${named}\r\n`,
  "a blank behind the request line": `GET / HTTP/1.1 \r\n${named}\r\n`,
  "a high byte in the target": `GET /\xe9 HTTP/1.1\r\n${named}\r\n`,
  "a fragment in the target": `GET /#a HTTP/1.1\r\n${named}\r\n`,
  "a relative target": `GET a HTTP/1.1\r\n${named}\r\n`,
};

/** Bodies that turn out to be malformed while they are on their way. */
const badBodies: Readonly<Record<string, string>> = {
  "a chunk size that is no number": "xyz\r\n",
  "a signed chunk size": "+3\r\nabc\r\n0\r\n\r\n",
  "a chunk size with a prefix": "0x3\r\nabc\r\n0\r\n\r\n",
  "an empty chunk size": "\r\nabc\r\n0\r\n\r\n",
  "a chunk size beyond all bounds": "fffffffffffffffff\r\nabc",
  "a chunk that is longer than its size": "3\r\nabcd\r\n0\r\n\r\n",
  "a bare LF behind a chunk size": "3\nabc\r\n0\r\n\r\n",
  "a bare LF behind a chunk": "3\r\nabc\n0\r\n\r\n",
  "a bare CR in an extension": "3;a\rb\r\nabc\r\n0\r\n\r\n",
  "a folded trailer": "0\r\nX-A: 1\r\n 2\r\n\r\n",
  "a trailer that frames": "0\r\nContent-Length: 5\r\n\r\n",
  "a trailer without a colon": "0\r\nX-A\r\n\r\n",
};

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
  for (const [name, bytes] of Object.entries(badHeads)) {
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
  for (const [name, bytes] of Object.entries(badHeads)) {
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
  const bad: Readonly<Record<string, string>> = {
    "no HTTP": "hello\r\n\r\n",
    "length and chunked coding": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a folded field": "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "a blank before the colon": "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "a bare LF": "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a status of two digits": "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "1xx with a length": "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nabcde",
    "a head that never ends": `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(100_000)}`,
    nothing: "",
    "half a head": "HTTP/1.1 200 OK\r\nContent-Le",
  };
  for (const [name, bytes] of Object.entries(bad)) {
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
