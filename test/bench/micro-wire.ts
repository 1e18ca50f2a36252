// What the wire code costs for one message: nanoseconds to read a typical request head, a response head and a chunked
// body, and to write the heads again. Run by hand: node test/bench/micro-wire.ts. The median of several rounds counts.

import { BodyReader } from "../../src/core/wire/body-reader.ts";
import { requestFraming } from "../../src/core/wire/framing.ts";
import { parseRequestHead, parseResponseHead } from "../../src/core/wire/head.ts";
import { defaultMessageLimits, RequestReader, ResponseReader } from "../../src/core/wire/message-reader.ts";
import { writeRequestHead, writeResponseHead } from "../../src/core/wire/writer.ts";

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

const cases: readonly (readonly [name: string, run: () => void])[] = [
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

const rounds = 9;
const perRound = 50_000;

for (const [name, run] of cases) {
  for (let i = 0; i < perRound; i++) run();
  const measured: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const from = process.hrtime.bigint();
    for (let i = 0; i < perRound; i++) run();
    measured.push(Number(process.hrtime.bigint() - from) / perRound);
  }
  measured.sort((a, b) => a - b);
  const median = measured[rounds >> 1] ?? 0;
  process.stdout.write(`${name.padEnd(52)}${median.toFixed(0).padStart(8)} ns\n`);
}
process.stdout.write(`(${sink} results)\n`);
