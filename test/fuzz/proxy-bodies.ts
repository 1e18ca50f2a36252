// Bodies through a whole proxy with real TLS and real codecs, to a server that sends back what it received: the server
// gets the values, the client gets back exactly what it sent.

import fc from "fast-check";
import { encodeValue, type ValueContext } from "../../src/core/substitution/encodings.ts";
import { codecs } from "../support/codecs.ts";
import { type MadeSecret, startKeyswap } from "../support/keyswap.ts";
import { startOrigin } from "../support/origin.ts";
import { spellings } from "../support/spellings.ts";
import { connectThrough, type WireClient } from "../support/wire-client.ts";
import { type FuzzTarget, waitable } from "./target.ts";

const host = "api.good.test";
const bufferBytes = 16 * 1024;
const values = [`${"e".repeat(20)}qual-length-0123456789abc`, 'sp/e"ci\\al+&<é> 100%', "short-12"];

const types: readonly (readonly [string, ValueContext])[] = [
  ["application/json", "json"],
  ["application/x-ndjson", "json"],
  ["application/x-www-form-urlencoded", "form"],
  ["text/plain", "raw"],
  ["application/xml", "xml"],
];
const codingLists = ["", "gzip", "deflate", "br", "zstd", "gzip, br", "zstd, deflate"];
const framings = ["length", "chunked"] as const;

/** The number of a value, or filler that ends no form and begins none. */
const pieces = fc.array(
  fc.oneof(
    fc.nat(values.length - 1),
    fc
      .constantFrom(..." {} [] <a> k=v&x= dtn_secret_ dtn_secret_abc \\u00e9 %20 é".split(" "))
      .map((text) => ` ${text} `),
    fc.nat(20_000).map((length) => ` ${"filler ".repeat(length / 7)} `),
  ),
  { maxLength: 12 },
);

const cases = fc.record({
  type: fc.constantFrom(...types),
  pieces,
  sentCodings: fc.constantFrom(...codingLists),
  sentFraming: fc.constantFrom(...framings),
  sentStep: fc.constantFrom(7, 100, 5000, 100_000),
  answerCodings: fc.constantFrom(...codingLists),
  answerFraming: fc.constantFrom(...framings),
  answerStep: fc.constantFrom(7, 100, 5000, 100_000),
});

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

/** So many pieces at most, however long the body is. */
const maxPieces = 200;

function* piecesOf(bytes: Buffer, step: number): Generator<Buffer> {
  const least = Math.max(step, Math.ceil(bytes.length / maxPieces));
  for (let at = 0; at < bytes.length; at += least) yield bytes.subarray(at, at + least);
}

async function open() {
  const keyswap = await startKeyswap({ options: { bufferBytes } });
  const origin = await startOrigin({
    pki: keyswap.pki,
    names: [host],
    handler: (_request, response, seen) => {
      const { type, answerCodings, answerFraming, answerStep } = current;
      received = codecs.decode(current.sentCodings, seen.body);
      const coded = codecs.encode(answerCodings, received);
      response.setHeader("Content-Type", type[0]);
      if (answerCodings !== "") response.setHeader("Content-Encoding", answerCodings);
      if (answerFraming === "length") response.setHeader("Content-Length", coded.length);
      for (const piece of piecesOf(coded, answerStep)) response.write(piece);
      response.end();
    },
  });
  const secrets: MadeSecret[] = [];
  for (const value of values) secrets.push(await keyswap.secret(value, [host]));
  const sandbox = await keyswap.sandbox(secrets);
  let client: WireClient | undefined;
  // Cases run one after the other.
  let current: Case;
  let received = Buffer.alloc(0) as Buffer;

  const check = waitable(async (made: Case): Promise<void> => {
    current = made;
    const write = (replace: (index: number) => Buffer) =>
      Buffer.concat(made.pieces.map((piece) => (typeof piece === "number" ? replace(piece) : Buffer.from(piece))));
    const body = write((index) => Buffer.from(secrets[index]!.placeholder));
    const expected = write((index) => encodeValue(Buffer.from(values[index]!), made.type[1])!);
    const coded = codecs.encode(made.sentCodings, body);
    client ??= await connectThrough(keyswap, sandbox, host, origin.port);
    const socket = client;
    client = undefined;
    const length = made.sentFraming === "length" ? `Content-Length: ${coded.length}` : "Transfer-Encoding: chunked";
    const coding = made.sentCodings === "" ? "" : `Content-Encoding: ${made.sentCodings}\r\n`;
    socket.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: ${made.type[0]}\r\n${coding}${length}\r\n\r\n`);
    for (const piece of piecesOf(coded, made.sentStep)) {
      if (made.sentFraming === "chunked") socket.send(`${piece.length.toString(16)};x="y"\r\n`);
      await socket.sendAll(piece);
      if (made.sentFraming === "chunked") socket.send("\r\n");
    }
    if (made.sentFraming === "chunked") socket.send("0\r\n\r\n");
    const answer = await socket.read("POST");
    keyswap.audit.length = 0;
    origin.seen.length = 0;
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body}`);
    if (!received.equals(expected)) throw new Error(`received: ${show(received)}, expected: ${show(expected)}`);
    const shown = codecs.decode(made.answerCodings, answer.body);
    // Lines go on as they come, what is long as well: their length has been told.
    const mayBeHeld = received.length <= bufferBytes && made.type[0] !== "application/x-ndjson";
    const keepsLength = !mayBeHeld && made.answerFraming === "length" && made.answerCodings === "";
    if (keepsLength && shown.length !== received.length) throw new Error("an answer's length changed");
    if (!keepsLength && !shown.equals(body)) throw new Error(`shown: ${show(shown)}, sent: ${show(body)}`);
    for (const { name, write: spell } of spellings)
      for (const value of values)
        if (shown.includes(spell(Buffer.from(value))!)) throw new Error(`a value in the spelling ${name}`);
    client = socket;
  });
  const close = async (): Promise<void> => {
    await check.idle();
    client?.close();
    await keyswap.settled();
    await keyswap.close();
    await origin.close();
    if (keyswap.errors.length > 0) throw new Error(keyswap.errors.join("\n"));
  };
  return { property: fc.asyncProperty(cases, check.run), close };
}

function show(bytes: Buffer): string {
  return JSON.stringify(bytes.toString("latin1", 0, 2000));
}

export const proxyBodies: FuzzTarget = { name: "proxy-bodies", open };
