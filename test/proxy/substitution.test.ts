// A placeholder on its way through the whole proxy: every surface, and what another host sees.

import { createHash } from "node:crypto";
import {
  brotliCompressSync,
  brotliDecompressSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { connectThrough, type WireAnswer, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let client: WireClient;

beforeAll(async () => {
  keyswap = await startKeyswap();
  origin = await startOrigin({ pki: keyswap.pki, names: [host, "evil.test"] });
  secret = await keyswap.secret('real "value"/100%', [host]);
  sandbox = await keyswap.sandbox([secret]);
  client = await connectThrough(keyswap, sandbox, host, origin.port);
});

beforeEach(() => {
  origin.seen.length = 0;
});

afterAll(async () => {
  client?.close();
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

async function send(head: string, body: string | Buffer = "", on = client): Promise<WireAnswer> {
  on.send(Buffer.concat([Buffer.from(head, "latin1"), Buffer.from(body)]));
  return on.read(head.slice(0, head.indexOf(" ")));
}

function post(type: string, body: string | Buffer, more = "", on = client): Promise<WireAnswer> {
  const length = Buffer.byteLength(body);
  return send(
    `POST /p HTTP/1.1\r\nHost: ${host}\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n${more}\r\n`,
    body,
    on,
  );
}

describe("the origin receives the value, written as its place needs it", () => {
  it("in a header", async () => {
    await send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: Bearer ${secret.placeholder}!\r\n\r\n`);
    expect(origin.last().headers["x-key"]).toBe(`Bearer ${secret.value}!`);
    const [event] = await keyswap.exchanges(sandbox);
    expect(event).toMatchObject({ substituted: [{ secret: secret.name, surface: "header" }], status: 200, path: "/" });
  });

  it("in Basic credentials", async () => {
    const sent = Buffer.from(`user:${secret.placeholder}`).toString("base64");
    await send(`GET / HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Basic ${sent}\r\n\r\n`);
    const expected = Buffer.from(`user:${secret.value}`).toString("base64");
    expect(origin.last().headers.authorization).toBe(`Basic ${expected}`);
  });

  it("in path and query, percent-encoded", async () => {
    const p = secret.placeholder;
    await send(`GET /a%2Fb/${p}/c?z=1&key=${p}&a=%20+ HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(origin.last().url).toMatch(
      /^\/a%2Fb\/real%20%22value%22%2F100%25\/c\?z=1&key=real(?:%20|\+)%22value%22%2F100%25&a=%20\+$/,
    );
  });

  it("in a cookie among others", async () => {
    const plain = await keyswap.secret("cookie-value-123", [host]);
    const other = await keyswap.sandbox([plain]);
    const own = await connectThrough(keyswap, other, host, origin.port);
    await send(`GET / HTTP/1.1\r\nHost: ${host}\r\nCookie: a=1; session=${plain.placeholder}; b=2\r\n\r\n`, "", own);
    expect(origin.last().headers.cookie).toBe("a=1; session=cookie-value-123; b=2");
    own.close();
  });

  it("in JSON, with its escapes and the new length", async () => {
    await post("application/json", JSON.stringify({ a: secret.placeholder, b: [1] }));
    const seen = origin.last();
    expect(JSON.parse(seen.body.toString())).toEqual({ a: secret.value, b: [1] });
    expect(seen.headers["content-length"]).toBe(String(seen.body.length));
    expect(seen.headers["transfer-encoding"]).toBeUndefined();
  });

  it("in a form", async () => {
    await post("application/x-www-form-urlencoded", `a=1&key=${secret.placeholder}`);
    expect(new URLSearchParams(origin.last().body.toString()).get("key")).toBe(secret.value);
  });

  it("in parts of a multipart body, and not in a binary one of another length", async () => {
    const part = (type: string, name: string) =>
      `--xyz\r\nContent-Disposition: form-data; name="${name}"\r\nContent-Type: ${type}\r\n\r\n${secret.placeholder}\r\n`;
    await post(
      "multipart/form-data; boundary=xyz",
      `${part("text/plain", "t")}${part("application/octet-stream", "b")}--xyz--\r\n`,
    );
    const body = origin.last().body.toString();
    expect(body).toContain(`name="t"\r\nContent-Type: text/plain\r\n\r\n${secret.value}\r\n`);
    expect(body).toContain(`name="b"\r\nContent-Type: application/octet-stream\r\n\r\n${secret.placeholder}\r\n`);
  });

  it("in plain text and in XML", async () => {
    await post("text/plain", `<${secret.placeholder}>`);
    expect(origin.last().body.toString()).toBe(`<${secret.value}>`);
    await post("application/xml", `<k>${secret.placeholder}</k>`);
    expect(origin.last().body.toString()).toMatch(/^<k>real (?:&quot;|&#34;|")value(?:&quot;|&#34;|")\/100%<\/k>$/);
  });

  it("in a trailer", async () => {
    await send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n3\r\nabc\r\n0\r\nX-End: ${secret.placeholder}\r\n\r\n`,
    );
    expect(origin.last().body.toString()).toBe("abc");
    expect(origin.last().trailers["x-end"]).toBe(secret.value);
  });

  it("in a body that arrives a byte at a time, in chunks that cut the placeholder anywhere", async () => {
    const bytes = Buffer.from(`{"k":"${secret.placeholder}"}`);
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    for (const byte of bytes)
      await client.sendAll(Buffer.concat([Buffer.from("1;x=y\r\n"), Buffer.of(byte), Buffer.from("\r\n")]));
    client.send("0\r\n\r\n");
    expect((await client.read()).status).toBe(200);
    expect(JSON.parse(origin.last().body.toString())).toEqual({ k: secret.value });
  });

  it("in a body beyond the buffer, as a stream", async () => {
    const filler = "x".repeat(3 * 1024 * 1024);
    await post("application/json", JSON.stringify({ filler, k: secret.placeholder }));
    const seen = origin.last();
    expect(JSON.parse(seen.body.toString())).toEqual({ filler, k: secret.value });
    expect(seen.headers["transfer-encoding"]).toBe("chunked");
    expect(seen.headers["content-length"]).toBeUndefined();
  });

  it("in a body beyond the buffer with its length kept, where value and placeholder are equally long", async () => {
    const equal = await keyswap.secret("e".repeat(100), [host]);
    expect(equal.placeholder).toHaveLength(100);
    const own = await connectThrough(keyswap, await keyswap.sandbox([equal]), host, origin.port);
    const body = Buffer.alloc(2 * 1024 * 1024, "y");
    body.write(equal.placeholder, 1_500_000);
    await post("text/plain", body, "", own);
    const seen = origin.last();
    expect(seen.headers["content-length"]).toBe(String(body.length));
    body.write(equal.value, 1_500_000);
    expect(seen.body.equals(body)).toBe(true);
    own.close();
  });
});

describe("content codings of requests", () => {
  const codings = {
    gzip: [gzipSync, gunzipSync],
    deflate: [deflateSync, inflateSync],
    br: [brotliCompressSync, brotliDecompressSync],
    zstd: [zstdCompressSync, zstdDecompressSync],
  } as const;

  for (const [name, [encode, decode]] of Object.entries(codings)) {
    it(`${name}, with a length`, async () => {
      await post("application/json", encode(`{"k":"${secret.placeholder}"}`), `Content-Encoding: ${name}\r\n`);
      const seen = origin.last();
      expect(seen.headers["content-encoding"]).toBe(name);
      expect(seen.headers["content-length"]).toBe(String(seen.body.length));
      expect(JSON.parse(decode(seen.body).toString())).toEqual({ k: secret.value });
    });

    it(`${name}, chunked in small pieces`, async () => {
      const coded = encode(
        JSON.stringify({ k: secret.placeholder, filler: createHash("sha256").update(name).digest("hex").repeat(50) }),
      );
      client.send(
        `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Encoding: ${name}\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      for (let at = 0; at < coded.length; at += 7) {
        const piece = coded.subarray(at, at + 7);
        await client.sendAll(
          Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]),
        );
      }
      client.send("0\r\n\r\n");
      expect((await client.read()).status).toBe(200);
      expect(JSON.parse(decode(origin.last().body).toString())).toMatchObject({ k: secret.value });
    });

    it(`${name}, untouched where nothing is found`, async () => {
      const coded = encode('{"k":"nothing here"}');
      await post("application/json", coded, `Content-Encoding: ${name}\r\n`);
      expect(origin.last().body.equals(coded)).toBe(true);
    });
  }

  it("two of them stacked", async () => {
    const coded = gzipSync(brotliCompressSync(`{"k":"${secret.placeholder}"}`));
    await post("application/json", coded, "Content-Encoding: br, gzip\r\n");
    expect(JSON.parse(brotliDecompressSync(gunzipSync(origin.last().body)).toString())).toEqual({ k: secret.value });
  });

  it("a body that is not what its coding says is refused with 400 and never reaches the origin", async () => {
    const own = await connectThrough(keyswap, sandbox, host, origin.port);
    const answer = await post("application/json", "this is no gzip", "Content-Encoding: gzip\r\n", own);
    expect(answer.status).toBe(400);
    expect(origin.seen).toEqual([]);
    own.close();
  });

  it("a body that expands beyond the bound is refused with 413", async () => {
    const own = await connectThrough(keyswap, sandbox, host, origin.port);
    const answer = await post(
      "text/plain",
      gzipSync(Buffer.alloc(64 * 1024 * 1024)),
      "Content-Encoding: gzip\r\n",
      own,
    );
    expect(answer.status).toBe(413);
    expect(origin.seen).toEqual([]);
    own.close();
  });
});

describe("digests and signatures over a body", () => {
  it("digest fields are made anew", async () => {
    const body = `{"k":"${secret.placeholder}"}`;
    const digest = (text: string | Buffer, algorithm: string) => createHash(algorithm).update(text).digest("base64");
    await post(
      "application/json",
      body,
      `Content-MD5: ${digest(body, "md5")}\r\nContent-Digest: sha-256=:${digest(body, "sha256")}:\r\nDigest: SHA-256=${digest(body, "sha256")}\r\n`,
    );
    const seen = origin.last();
    expect(JSON.parse(seen.body.toString())).toEqual({ k: secret.value });
    expect(seen.headers["content-md5"]).toBe(digest(seen.body, "md5"));
    expect(seen.headers["content-digest"]).toBe(`sha-256=:${digest(seen.body, "sha256")}:`);
    expect(seen.headers.digest).toBe(`SHA-256=${digest(seen.body, "sha256")}`);
  });

  it("a signed body stays as it is, and the audit says why", async () => {
    const own = await keyswap.sandbox([secret]);
    const on = await connectThrough(keyswap, own, host, origin.port);
    const body = `{"k":"${secret.placeholder}"}`;
    const hash = createHash("sha256").update(body).digest("hex");
    const authorization = "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host;x-amz-content-sha256, Signature=00";
    await post("application/json", body, `X-Amz-Content-Sha256: ${hash}\r\nAuthorization: ${authorization}\r\n`, on);
    expect(origin.last().body.toString()).toBe(body);
    expect(origin.last().headers["content-length"]).toBe(String(body.length));
    const [event] = await keyswap.exchanges(own);
    expect(event).toMatchObject({ notSubstituted: [{ secret: secret.name, surface: "body", reason: "body-signed" }] });
    on.close();
  });
});

describe("what never gets a value", () => {
  it("fields that are echoed or forwarded, or that frame the message", async () => {
    const p = secret.placeholder;
    await send(
      `GET / HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: ${p}\r\nReferer: https://x/${p}\r\nX-Forwarded-For: ${p}\r\n\r\n`,
    );
    expect(origin.last().headers).toMatchObject({ "user-agent": p, referer: `https://x/${p}`, "x-forwarded-for": p });
  });

  it("a header that the value would end", async () => {
    const odd = await keyswap.secret("line\r\nX-Injected: 1", [host]);
    const own = await connectThrough(keyswap, await keyswap.sandbox([odd]), host, origin.port);
    await send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${odd.placeholder}\r\n\r\n`, "", own);
    expect(origin.last().headers).toMatchObject({ "x-key": odd.placeholder });
    expect(origin.last().headers["x-injected"]).toBeUndefined();
    own.close();
  });

  it("a host that is not on the secret's list, though its connection is opened up for another secret", async () => {
    const evil = await keyswap.secret("harmless-value", ["evil.test"]);
    const own = await keyswap.sandbox([secret, evil]);
    const on = await connectThrough(keyswap, own, "evil.test", origin.port);
    const p = secret.placeholder;
    on.send(
      `POST /${p}?q=${p} HTTP/1.1\r\nHost: evil.test\r\nX-Key: ${p}\r\nX-Own: ${evil.placeholder}\r\nContent-Type: text/plain\r\nContent-Length: ${p.length}\r\n\r\n${p}`,
    );
    expect((await on.read()).status).toBe(200);
    const seen = origin.last();
    expect(seen.url).toBe(`/${p}?q=${p}`);
    expect(seen.headers).toMatchObject({ "x-key": p, "x-own": evil.value });
    expect(seen.body.toString()).toBe(p);
    const [event] = await keyswap.exchanges(own);
    expect(event?.notSubstituted.map(({ reason }) => reason)).toContain("host-not-allowed");
    on.close();
  });

  it("audit events hold neither value nor query", () => {
    const text = JSON.stringify(keyswap.audit);
    expect(text).not.toContain("real ");
    expect(text).not.toContain("?");
  });
});
