// Bodies as real clients send them, and what bounds and signatures do to them on the whole way.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { curl } from "../support/curl.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { connectThrough, errorOf, fieldValue } from "../support/wire-client.ts";

const host = "api.good.test";
const bufferBytes = 256 * 1024;
let keyswap: TestKeyswap;
let origin: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-uploads-"));
  keyswap = await startKeyswap({ options: { bufferBytes } });
  origin = await startOrigin({ pki: keyswap.pki, names: [host] });
  secret = await keyswap.secret('a "real" value/1%', [host]);
  sandbox = await keyswap.sandbox([secret]);
});

beforeEach(() => {
  origin.seen.length = 0;
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  rmSync(folder, { recursive: true, force: true });
  expect(keyswap.errors).toEqual([]);
});

async function upload(...args: string[]): Promise<void> {
  const outcome = await curl([
    ...["--proxy", sandbox.proxyUrl, "--cacert", keyswap.caPath, "--noproxy", ""],
    ...[...args, `https://${host}:${origin.port}/`],
  ]);
  expect(outcome).toMatchObject({ code: 0, stderr: "", body: '{"ok":true}' });
}

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The parts of a multipart body, read by Node's own parser. */
async function partsOf(seen: Origin["seen"][number]): Promise<FormData> {
  const type = String(seen.headers["content-type"]);
  return new Response(new Uint8Array(seen.body), { headers: { "content-type": type } }).formData();
}

async function textOf(entry: ReturnType<FormData["get"]>): Promise<string> {
  return typeof entry === "string" || entry === null ? String(entry) : entry.text();
}

describe("multipart uploads of curl", () => {
  it("have values in text, JSON and files of text; binary files stay what they are", async () => {
    const binary = Buffer.from(Array.from({ length: 3000 }, (_, at) => (at * 7) & 255));
    const p = secret.placeholder;
    await upload(
      ...["-F", `plain=${p}`],
      ...["-F", `json={"k":"${p}"};type=application/json`],
      ...["-F", `text=@${file("notes.txt", `one ${p}\ntwo ${p}`)};type=text/plain`],
      ...["-F", `bin=@${file("data.bin", Buffer.concat([binary, Buffer.from(p), binary]))}`],
    );
    const seen = origin.last();
    expect(seen.headers["content-length"]).toBe(String(seen.body.length));
    const parts = await partsOf(seen);
    expect(parts.get("plain")).toBe(secret.value);
    expect(JSON.parse(await textOf(parts.get("json")))).toEqual({ k: secret.value });
    expect(await textOf(parts.get("text"))).toBe(`one ${secret.value}\ntwo ${secret.value}`);
    const bin = parts.get("bin");
    if (typeof bin === "string" || bin === null) throw new Error("no file");
    expect(Buffer.from(await bin.arrayBuffer()).equals(Buffer.concat([binary, Buffer.from(p), binary]))).toBe(true);
  });

  it("stream where they are longer than the buffer", async () => {
    const long = "line of text, no secret in it\n".repeat(40_000);
    await upload("-F", `key=${secret.placeholder}`, "-F", `log=@${file("log.txt", long)};type=text/plain`);
    const seen = origin.last();
    expect(seen.headers["transfer-encoding"]).toBe("chunked");
    const parts = await partsOf(seen);
    expect(parts.get("key")).toBe(secret.value);
    expect((await textOf(parts.get("log"))) === long).toBe(true);
  });

  it("have no value in the head of a part: names and file names are no surface", async () => {
    const p = secret.placeholder;
    await upload("-F", `${p}=x`, "-F", `file=@${file("plain.txt", "y")};filename=${p}.txt;type=text/plain`);
    const body = origin.last().body.toString();
    expect(body).toContain(`name="${p}"`);
    expect(body).toContain(`filename="${p}.txt"`);
    expect(body).not.toContain(secret.value);
  });
});

describe("other uploads of curl", () => {
  it("a zstd file with --data-binary, and one from a pipe", async () => {
    const coded = zstdCompressSync(`{"k":"${secret.placeholder}"}`);
    const path = file("body.zst", coded);
    const type = ["-H", "Content-Type: application/json", "-H", "Content-Encoding: zstd"];
    await upload(...type, "--data-binary", `@${path}`);
    await upload(...type, "-H", "Transfer-Encoding: chunked", "-T", path);
    for (const { body } of origin.seen) {
      expect(JSON.parse(zstdDecompressSync(body).toString())).toEqual({ k: secret.value });
    }
    expect(origin.seen).toHaveLength(2);
  });

  it("waits for 100 Continue with a body", async () => {
    await upload("-H", "Expect: 100-continue", "-H", "Content-Type: text/plain", "-d", `k ${secret.placeholder}`);
    expect(origin.last().body.toString()).toBe(`k ${secret.value}`);
  });

  it("a body of no type: text", async () => {
    await upload("-H", "Content-Type:", "--data-binary", `k ${secret.placeholder}`);
    expect(origin.last().headers["content-type"]).toBeUndefined();
    expect(origin.last().body.toString()).toBe(`k ${secret.value}`);
  });
});

describe("digests and signatures", () => {
  const hash = (bytes: Buffer | string, algorithm = "sha256") => createHash(algorithm).update(bytes);

  /** Sends a JSON body; what the origin saw, and the exchange's record. */
  async function send(fields: (body: Buffer) => string, body = Buffer.from(`{"k":"${secret.placeholder}"}`)) {
    const own = await keyswap.sandbox([secret]);
    const client = await connectThrough(keyswap, own, host, origin.port);
    client.send(
      `PUT /o HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${fields(body)}\r\n`,
    );
    client.send(body);
    expect((await client.read("PUT")).status).toBe(200);
    client.close();
    const [event] = await keyswap.exchanges(own);
    return { seen: origin.last(), event, body };
  }

  it("a digest of a coded body is that of the body as it is sent", async () => {
    const coded = gzipSync(`{"k":"${secret.placeholder}"}`);
    const { seen } = await send(
      (body) => `Content-Encoding: gzip\r\nContent-Digest: sha-512=:${hash(body, "sha512").digest("base64")}:\r\n`,
      coded,
    );
    expect(seen.body.equals(coded)).toBe(false);
    expect(seen.headers["content-digest"]).toBe(`sha-512=:${hash(seen.body, "sha512").digest("base64")}:`);
  });

  it("x-amz-content-sha256 without a signature is made anew", async () => {
    const { seen } = await send((body) => `X-Amz-Content-Sha256: ${hash(body).digest("hex")}\r\n`);
    expect(JSON.parse(seen.body.toString())).toEqual({ k: secret.value });
    expect(seen.headers["x-amz-content-sha256"]).toBe(hash(seen.body).digest("hex"));
  });

  it.each([
    ["SigV4", () => "Authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-date, Signature=00\r\n"],
    [
      "RFC 9421 over Content-Digest",
      (body: Buffer) =>
        `Content-Digest: sha-256=:${hash(body).digest("base64")}:\r\nSignature-Input: s=("@method" "content-digest");keyid="k"\r\nSignature: s=:AA==:\r\n`,
    ],
    ["a digest in the trailer", () => "Trailer: Content-Digest\r\n"],
    ["a webhook's MAC", () => "X-Hub-Signature-256: sha256=00\r\n"],
  ])("%s: the body stays as it is, with the reason", async (_, fields) => {
    const { seen, event, body } = await send(fields);
    expect(seen.body.equals(body)).toBe(true);
    expect(seen.headers["content-length"]).toBe(String(body.length));
    expect(event?.notSubstituted).toEqual([{ secret: secret.name, surface: "body", reason: "body-signed" }]);
  });

  it("a long body with a digest stays as it is", async () => {
    const long = Buffer.from(JSON.stringify({ k: secret.placeholder, fill: "x".repeat(2 * bufferBytes) }));
    const { seen, event, body } = await send(
      (bytes) => `Content-MD5: ${hash(bytes, "md5").digest("base64")}\r\n`,
      long,
    );
    expect(seen.body.equals(body)).toBe(true);
    expect(event?.notSubstituted).toEqual([{ secret: secret.name, surface: "body", reason: "body-signed" }]);
  });

  it("RFC 9421 over the head alone leaves the body free", async () => {
    const { seen } = await send(() => 'Signature-Input: s=("@method" "@path");keyid="k"\r\nSignature: s=:AA==:\r\n');
    expect(JSON.parse(seen.body.toString())).toEqual({ k: secret.value });
  });
});

describe("a coded body that expands beyond the bound", () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));

  it("is refused with 413 while nothing has gone upstream", async () => {
    const client = await connectThrough(keyswap, sandbox, host, origin.port);
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n\r\n`,
    );
    client.send(bomb);
    const answer = await client.read("POST");
    expect([answer.status, errorOf(answer)]).toEqual([413, "body-too-large"]);
    expect(origin.seen).toEqual([]);
    client.close();
  });

  it("ends the exchange without a last chunk once its head has gone", async () => {
    const own = await keyswap.sandbox([secret]);
    const client = await connectThrough(keyswap, own, host, origin.port);
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    for (let at = 0; at < bomb.length; at += 8192) {
      const piece = bomb.subarray(at, at + 8192);
      client.send(`${piece.length.toString(16)}\r\n`);
      client.send(piece);
      client.send("\r\n");
    }
    // The answer of the proxy's own, if it came before the end; then the connection is closed.
    await client.closed();
    const [event] = await keyswap.exchanges(own);
    expect(event).toMatchObject({ error: "body-too-large" });
    expect(origin.seen).toEqual([]);
    client.close();
  });
});

describe("conditions and validators", () => {
  it("go through as they are", async () => {
    const client = await connectThrough(keyswap, sandbox, host, origin.port);
    client.send(
      `PUT / HTTP/1.1\r\nHost: ${host}\r\nIf-Match: "v1"\r\nIf-None-Match: W/"v2"\r\nIf-Range: "v1"\r\nContent-Length: 0\r\n\r\n`,
    );
    const answer = await client.read("PUT");
    expect(answer.status).toBe(200);
    expect(fieldValue(answer, "content-type")).toBe("application/json");
    expect(origin.last().headers).toMatchObject({ "if-match": '"v1"', "if-none-match": 'W/"v2"', "if-range": '"v1"' });
    client.close();
  });
});
