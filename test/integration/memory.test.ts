// Bodies far larger than memory through a keyswap in a process of its own: constant memory, nothing lost. In `npm test` 256
// MiB each way; with KEYSWAP_TEST_BODY_MIB=1024 as much as that. The peak is the kernel's own high-water mark.

import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { Readable, type Writable } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { createGunzip, createGzip } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makePki } from "../support/pki.ts";
import { makeWorkbench, type RunningKeyswap, type Workbench } from "../support/workbench.ts";

const mebibyte = 1024 * 1024;
const bodyBytes = Number(process.env.KEYSWAP_TEST_BODY_MIB ?? 256) * mebibyte;
/** Coding anew costs ten times as much as passing on. */
const codedBytes = bodyBytes / 4;
/** What bulk traffic may add to an idle keyswap. */
const maxGrowthMib = 64;
const maxPeakMib = 200;
const caseTimeoutMs = 60_000 + (bodyBytes / mebibyte) * 1000;

const host = "api.localhost";
const value = "a value as long as its placeholder, so that lengths stay";
const noProcfs = !existsSync("/proc/self/clear_refs");

let bench: Workbench;
let server: Server;
let keyswap: RunningKeyswap;
let proxyUrl: URL;
let placeholder: string;
/** Hash of the last upload. */
let received = "";

beforeAll(async () => {
  const pki = makePki();
  const { certPem, keyPem } = pki.issue([host]);
  server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    if (request.method === "POST") {
      const hash = createHash("sha256");
      const content = request.headers["content-encoding"] === "gzip" ? request.pipe(createGunzip()) : request;
      content.on("data", (bytes: Buffer) => hash.update(bytes));
      content.on("end", () => {
        received = hash.digest("hex");
        response.end();
      });
      return;
    }
    const [, framing, coding] = /^\/(\w+)(?:\/(\w+))?/.exec(request.url ?? "") ?? [];
    const bytes = coding === "gzip" ? codedBytes : bodyBytes;
    response.setHeader("Content-Type", "text/plain");
    if (framing === "length") response.setHeader("Content-Length", bytes);
    if (coding === "gzip") response.setHeader("Content-Encoding", "gzip");
    const body = Readable.from(blocksOf(bytes, value));
    (coding === "gzip" ? body.pipe(createGzip({ level: 1 })) : body).pipe(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  bench = makeWorkbench({ KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8,::1" });
  const ca = join(bench.env.HOME!, "upstream-ca.pem");
  writeFileSync(ca, pki.caPem);
  Object.assign(bench.env, { KEYSWAP_UPSTREAM_CA: ca });
  keyswap = await bench.start(["start"]);
  placeholder = (await callApi("/secret", { name: "BULK", value, hosts: [host] })).placeholder;
  expect(placeholder).toHaveLength(value.length);
  proxyUrl = new URL((await callApi("/sandbox", { secrets: [{ BULK: "BULK" }] })).egress.proxyUrl);
});

afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
});

describe.skipIf(noProcfs)(`constant memory${noProcfs ? " (skipped: no /proc/self/clear_refs)" : ""}`, () => {
  test(
    "an upload with a length",
    async () => {
      const growth = await growthWhile(() =>
        upload(`Content-Length: ${bodyBytes}\r\n`, (socket) => writeAll(socket, blocksOf(bodyBytes, placeholder))),
      );
      expect(received).toBe(hashOf(bodyBytes, value));
      expect(growth).toBeLessThan(maxGrowthMib);
    },
    caseTimeoutMs,
  );

  test(
    "an upload in chunks",
    async () => {
      const growth = await growthWhile(() =>
        upload("Transfer-Encoding: chunked\r\n", (socket) =>
          writeAll(socket, inChunks(blocksOf(bodyBytes, placeholder))),
        ),
      );
      expect(received).toBe(hashOf(bodyBytes, value));
      expect(growth).toBeLessThan(maxGrowthMib);
    },
    caseTimeoutMs,
  );

  test(
    "a gzip upload",
    async () => {
      const growth = await growthWhile(() =>
        upload("Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", (socket) => {
          const coded = Readable.from(blocksOf(codedBytes, placeholder)).pipe(createGzip({ level: 1 }));
          return writeAll(socket, inChunks(coded));
        }),
      );
      expect(received).toBe(hashOf(codedBytes, value));
      expect(growth).toBeLessThan(maxGrowthMib);
    },
    caseTimeoutMs,
  );

  test.each(["length", "chunked"])(
    "a download, framed by: %s",
    async (framing) => {
      const downloaded = { hash: "" };
      const growth = await growthWhile(async () => {
        downloaded.hash = await download(`/${framing}`);
      });
      expect(downloaded.hash).toBe(hashOf(bodyBytes, placeholder));
      expect(growth).toBeLessThan(maxGrowthMib);
    },
    caseTimeoutMs,
  );

  test(
    "a gzip download",
    async () => {
      const downloaded = { hash: "" };
      const growth = await growthWhile(async () => {
        downloaded.hash = await download("/chunked/gzip");
      });
      expect(downloaded.hash).toBe(hashOf(codedBytes, placeholder));
      expect(growth).toBeLessThan(maxGrowthMib);
    },
    caseTimeoutMs,
  );

  test(
    "a client that does not read, many times over",
    async () => {
      const growth = await growthWhile(async () => {
        const sockets = await Promise.all(Array.from({ length: 8 }, () => ask("/chunked")));
        for (const socket of sockets) socket.pause();
        // All that fits on the way is on the way once the proxy's memory stands still.
        for (let [last, now] = [-1, 0]; last !== now; ) {
          await new Promise((resolve) => setTimeout(resolve, 500));
          [last, now] = [now, memoryMib("VmRSS")];
        }
        for (const socket of sockets) socket.destroy();
      });
      expect(growth).toBeLessThan(maxGrowthMib);
    },
    caseTimeoutMs,
  );
});

/** MiB between the process as it is and its peak while `run` runs. By hand the peaks are printed, and bounded too. */
async function growthWhile(run: () => Promise<void>): Promise<number> {
  const before = memoryMib("VmRSS");
  writeFileSync(`/proc/${keyswap.pid}/clear_refs`, "5");
  await run();
  const peak = memoryMib("VmHWM");
  if (process.env.KEYSWAP_TEST_BODY_MIB !== undefined) {
    process.stdout.write(`${expect.getState().currentTestName}: ${before} MiB before, ${peak} MiB at its peak\n`);
    expect(peak).toBeLessThan(maxPeakMib);
  }
  return peak - before;
}

function memoryMib(line: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${keyswap.pid}/status`, "utf8");
  return Math.round(Number(new RegExp(`${line}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
}

const text = Buffer.alloc(mebibyte, "All work and no play makes Jack a dull boy. 0123456789\n");

/** Text in which `word` stands at the end of each MiB and across every border between two. */
function* blocksOf(bytes: number, word: string): Generator<Buffer> {
  const block = Buffer.from(text);
  const half = word.length >> 1;
  block.write(word.slice(half), 0, "latin1");
  block.write(word.slice(0, half), mebibyte - half, "latin1");
  block.write(word, mebibyte / 2, "latin1");
  for (let at = 0; at < bytes; at += mebibyte) {
    const isFirst = at === 0;
    const isLast = at + mebibyte >= bytes;
    const edge = isFirst || isLast ? Buffer.from(block) : block;
    if (isFirst) text.copy(edge, 0, 0, word.length);
    if (isLast) text.copy(edge, mebibyte - half, mebibyte - half);
    yield edge;
  }
}

function hashOf(bytes: number, word: string): string {
  const hash: Hash = createHash("sha256");
  for (const block of blocksOf(bytes, word)) hash.update(block);
  return hash.digest("hex");
}

async function* inChunks(blocks: Iterable<Buffer> | AsyncIterable<Buffer>): AsyncGenerator<Buffer | string> {
  for await (const block of blocks) {
    yield `${block.length.toString(16)}\r\n`;
    yield block;
    yield "\r\n";
  }
  yield "0\r\n\r\n";
}

async function writeAll(to: Writable, parts: Iterable<Buffer> | AsyncIterable<Buffer | string>): Promise<void> {
  for await (const part of parts) {
    if (!to.write(part)) await once(to, "drain");
  }
}

async function upload(fields: string, sendBody: (socket: TLSSocket) => Promise<void>): Promise<void> {
  const socket = await openThrough();
  let answer = "";
  socket.on("data", (bytes: Buffer) => {
    answer += bytes.toString("latin1");
  });
  const closed = once(socket, "close");
  socket.write(`POST / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Type: text/plain\r\n${fields}\r\n`);
  await sendBody(socket);
  await closed;
  expect(answer.split("\r\n")[0]).toBe("HTTP/1.1 200 OK");
}

async function ask(path: string): Promise<TLSSocket> {
  const socket = await openThrough();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  return socket;
}

/** Hash of what came, without its framing and coding. */
async function download(path: string): Promise<string> {
  const socket = await ask(path);
  const hash = createHash("sha256");
  const decoder = path.endsWith("gzip") ? createGunzip() : undefined;
  decoder?.on("data", (bytes: Buffer) => hash.update(bytes));
  const take = async (bytes: Buffer): Promise<void> => {
    if (decoder === undefined) hash.update(bytes);
    else if (!decoder.write(bytes)) await once(decoder, "drain");
  };
  for await (const content of contentOf(socket)) await take(content);
  if (decoder !== undefined) {
    decoder.end();
    await once(decoder, "end");
  }
  return hash.digest("hex");
}

/** The content of the answer on this connection. */
async function* contentOf(socket: TLSSocket): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  let isHead = true;
  let isChunked = false;
  let chunkLeft = 0;
  for await (const bytes of socket as AsyncIterable<Buffer>) {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    if (isHead) {
      const end = held.indexOf("\r\n\r\n");
      if (end < 0) continue;
      isChunked = /^transfer-encoding: *chunked/im.test(held.toString("latin1", 0, end));
      held = held.subarray(end + 4);
      isHead = false;
    }
    if (!isChunked) {
      yield held;
      held = Buffer.alloc(0);
      continue;
    }
    for (;;) {
      if (chunkLeft > 0) {
        const piece = held.subarray(0, Math.min(held.length, chunkLeft));
        yield piece;
        chunkLeft -= piece.length;
        held = held.subarray(piece.length);
        if (chunkLeft > 0) break;
      }
      // Behind a chunk its line end is still there.
      const [line] = /^(?:\r\n)?[0-9a-f]+\r\n/i.exec(held.toString("latin1", 0, 20)) ?? [];
      if (line === undefined) break;
      held = held.subarray(line.length);
      chunkLeft = Number.parseInt(line.trim(), 16);
      if (chunkLeft === 0) return;
    }
  }
}

async function openThrough(): Promise<TLSSocket> {
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const way = connect(Number(proxyUrl.port), proxyUrl.hostname);
  const credentials = Buffer.from(`${proxyUrl.username}:${decodeURIComponent(proxyUrl.password)}`).toString("base64");
  const target = `${host}:${port}`;
  way.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Basic ${credentials}\r\n\r\n`);
  const [answer] = (await once(way, "data")) as [Buffer];
  expect(answer.toString("latin1")).toMatch(/^HTTP\/1.1 200 /);
  const socket = connectTls({ socket: way, servername: host, ca: readFileSync(keyswap.ready.ca) });
  await once(socket, "secureConnect");
  return socket;
}

interface ApiBody {
  readonly placeholder: string;
  readonly egress: { readonly proxyUrl: string };
}

async function callApi(path: string, body: unknown): Promise<ApiBody> {
  const key = readFileSync(join(bench.dataDir, "api-key"), "utf8").trim();
  const answer = await fetch(keyswap.ready.api + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBeLessThan(300);
  return (await answer.json()) as ApiBody; // what these two calls answer, as far as it is used here
}
