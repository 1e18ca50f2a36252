// What the single steps of an exchange cost: framing, scanning, scrubbing, host matching, minting. Part of `npm run bench`;
// alone: node test/bench/micro.ts.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHost } from "../../src/core/authority/host.ts";
import { HostMatcher, parseHostPattern } from "../../src/core/authority/pattern.ts";
import { BodyScanner } from "../../src/core/substitution/scanner.ts";
import { Scrubber } from "../../src/core/substitution/scrubber.ts";
import { BodyReader } from "../../src/core/wire/body-reader.ts";
import { requestFraming } from "../../src/core/wire/framing.ts";
import { parseRequestHead, parseResponseHead } from "../../src/core/wire/head.ts";
import { defaultMessageLimits, RequestReader, ResponseReader } from "../../src/core/wire/message-reader.ts";
import { writeRequestHead, writeResponseHead } from "../../src/core/wire/writer.ts";
import { CertificateAuthority } from "../../src/tls/authority.ts";
import { LeafCache } from "../../src/tls/leaf-cache.ts";
import { grant, scopeFor } from "../core/substitution/requests.ts";
import { type Timed, type Timing, time } from "./measure.ts";

const requestText = [
  "POST /v1/chat/completions?stream=true HTTP/1.1",
  "Host: api.example.com",
  "User-Agent: OpenAI/Python 1.54.3",
  "Accept: application/json",
  "Accept-Encoding: gzip, deflate, br",
  "Authorization: Bearer dtn_secret_0123456789abcdefghijklmno",
  "Content-Type: application/json",
  "X-Stainless-Lang: python",
  "X-Stainless-Runtime-Version: 3.12.7",
  "Connection: keep-alive",
  "Content-Length: 5",
  "",
].join("\r\n");
const responseText = [
  "HTTP/1.1 200 OK",
  "Date: Mon, 23 Nov 2026 09:00:00 GMT",
  "Content-Type: application/json",
  "Content-Length: 5",
  "Connection: keep-alive",
  "Server: example",
  "X-Request-Id: 9a2c1f3e-2b1d-4d7c-9a39-5f2f9f8f1c11",
  "Cache-Control: no-store",
  "Vary: Accept-Encoding",
  "Strict-Transport-Security: max-age=31536000",
  "X-Content-Type-Options: nosniff",
  "",
].join("\r\n");

const requestHead = Buffer.from(`${requestText}\r\n`, "latin1");
const requestBytes = Buffer.concat([requestHead, Buffer.from("hello", "latin1")]);
const responseBytes = Buffer.from(`${responseText}\r\nhello`, "latin1");
const chunkedBytes = Buffer.from(`${"400\r\n".concat("x".repeat(1024), "\r\n").repeat(16)}0\r\n\r\n`, "latin1");

const { maxFields } = defaultMessageLimits;
const parsedRequest = parseRequestHead(Buffer.from(requestText, "latin1"), maxFields);
const parsedResponse = parseResponseHead(Buffer.from(responseText, "latin1"), maxFields);
if (parsedRequest.kind !== "head" || parsedResponse.kind !== "head") throw new Error("the sample heads do not parse");
const request = parsedRequest.head;
const response = parsedResponse.head;

/** Keeps results alive, so that nothing is optimized away. */
let sink = 0;

const ignore = {
  onHead(): void {
    sink++;
  },
  onData(content: Buffer): void {
    sink += content.length;
  },
  onEnd(): void {
    sink++;
  },
  onFault(_fault: string, detail: string): void {
    throw new Error(detail);
  },
};
const requests = new RequestReader(ignore, defaultMessageLimits);
const responses = new ResponseReader(ignore, defaultMessageLimits);

const framing: readonly (readonly [name: string, run: () => void])[] = [
  [
    `parse a request head (${requestHead.length} bytes, ${request.fields.length} fields)`,
    () => {
      const parsed = parseRequestHead(requestHead.subarray(0, requestHead.length - 2), maxFields);
      if (parsed.kind === "head" && requestFraming(parsed.head).kind === "framing") sink++;
    },
  ],
  [
    "read a request with a body of 5 bytes",
    () => {
      requests.push(requestBytes);
      requests.next();
    },
  ],
  [
    "read a response with a body of 5 bytes",
    () => {
      responses.push(responseBytes);
      responses.next();
    },
  ],
  [
    "read a chunked body (16 chunks of 1 KiB)",
    () => {
      new BodyReader("chunked", { maxLineBytes: 65_536, maxFields }).read(chunkedBytes, 0, ignore.onData);
    },
  ],
  [
    "write a request head",
    () => {
      sink += Buffer.from(writeRequestHead(request, request.target, 5), "latin1").length;
    },
  ],
  [
    "write a response head",
    () => {
      sink += Buffer.from(writeResponseHead(response, 5, false), "latin1").length;
    },
  ],
];

// ---- substitution

const pieceBytes = 16 * 1024;
const sentence = '{"role":"user","content":"Lorem ipsum dolor sit amet, consectetur adipiscing elit","n":12345},';
const piece = Buffer.from(sentence.repeat(Math.ceil(pieceBytes / sentence.length)).slice(0, pieceBytes), "latin1");

function scanning(): Timed {
  const { view } = scopeFor([grant("A", "value-of-a")]);
  const scanner = new BodyScanner("json");
  return {
    name: "scan 16 KiB of JSON for placeholders",
    bytes: pieceBytes,
    run: () => {
      scanner.reset();
      if (scanner.next(piece, 0, false, view) === piece.length) sink++;
    },
  };
}

function scrubbing(count: number): Timed {
  const grants = Array.from({ length: count }, (_, index) =>
    grant(`G${index}`, `value-${index}-${"0123456789abcdef".repeat(2)}`),
  );
  const scrubber = new Scrubber(grants);
  const session = { carried: new Set<string>(), found: () => {} };
  const body = scrubber.body("exact", session);
  const count1 = (bytes: Buffer): void => {
    sink += bytes.length;
  };
  return {
    name: `scrub 16 KiB of JSON, ${count === 1 ? "1 secret" : `${count} secrets`}`,
    bytes: pieceBytes,
    run: () => body.push(piece, count1),
  };
}

// ---- hosts and leaves

function hostMatching(count: number): Timed {
  const pattern = (text: string) => {
    const parsed = parseHostPattern(text);
    if (parsed.kind !== "pattern") throw new Error(`no pattern: ${text}`);
    return parsed.pattern;
  };
  const matcher = new HostMatcher(
    Array.from(
      { length: count },
      (_, index) => [pattern(`${index % 2 ? "*." : ""}h${index}.example.com`), index] as const,
    ),
  );
  const host = parseHost("api.h7.example.com");
  if (host.kind !== "host") throw new Error("no host");
  return {
    name: `match a host against ${count} patterns`,
    run: () => {
      sink += matcher.match(host.host).length;
    },
  };
}

function minting(leaves: LeafCache): Timed {
  let host = 0;
  return {
    name: "mint a leaf and make its TLS context",
    run: () => {
      host += 1;
      if (leaves.contextFor(`h${host}.example.com`) !== undefined) sink++;
    },
  };
}

/** All of them, one after the other. */
export async function timeAll(): Promise<readonly Timing[]> {
  const folder = await mkdtemp(join(tmpdir(), "keyswap-bench-"));
  try {
    const authority = await CertificateAuthority.open(folder, Date.now);
    const leaves = new LeafCache(authority, { maxLeaves: 100, clock: Date.now });
    const cases: readonly Timed[] = [
      ...framing.map(([name, run]) => ({ name, run })),
      scanning(),
      ...[1, 100, 1000].map(scrubbing),
      ...[1, 10_000].map(hostMatching),
      minting(leaves),
    ];
    return cases.map(time);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export function formatTimings(timings: readonly Timing[]): string {
  const lines = timings.map(({ name, ns, mibPerSecond }) => {
    const rate = mibPerSecond === undefined ? "" : `${mibPerSecond.toFixed(0).padStart(8)} MiB/s`;
    return `${name.padEnd(54)}${ns.toFixed(0).padStart(9)} ns${rate}`;
  });
  return `${lines.join("\n")}\n`;
}

if (import.meta.main) {
  process.stdout.write(formatTimings(await timeAll()));
  // Said, so that nothing of it can be optimized away.
  process.stdout.write(`(${sink} results)\n`);
}
