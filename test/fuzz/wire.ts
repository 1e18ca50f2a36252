// What strangers say first, and what peers frame: whatever the bytes and however they are cut, a reader says the same and
// never throws; what a writer of ours made is read back; HTTP/1 is read as Node's own parser reads it, or refused.

import fc from "fast-check";
import { parseClientHello } from "../../src/core/wire/client-hello.ts";
import { defaultMessageLimits } from "../../src/core/wire/message-reader.ts";
import {
  parseSocksCredentials,
  parseSocksGreeting,
  parseSocksRequest,
  writeSocksConnect,
  writeSocksCredentials,
  writeSocksGreeting,
} from "../../src/core/wire/socks5.ts";
import { alpn, hello, helloBody, inRecords, serverName } from "../support/client-hello.ts";
import { compareTranscripts } from "../support/http1-difference.ts";
import { cutAt, requestStreams, responseStreams } from "../support/http1-streams.ts";
import { type Direction, readWithKeyswap, readWithNode } from "../support/http1-transcript.ts";
import { type Cuts, cuts, offsetsOf } from "./cuts.ts";
import { damage, damaged } from "./damage.ts";
import type { FuzzTarget } from "./target.ts";

/** What a parser says of the first bytes; `isOpen` where it waits for more. */
type Verdict = { readonly isOpen: boolean; readonly said: string };

/** More bytes never change what was said of the first ones. */
function assertSteady(bytes: Buffer, judge: (bytes: Buffer) => Verdict, made: Cuts): void {
  let before: Verdict = { isOpen: true, said: "" };
  for (const end of [...offsetsOf(made, bytes.length), bytes.length]) {
    const verdict = judge(bytes.subarray(0, end));
    if (!before.isOpen && verdict.said !== before.said) {
      throw new Error(`${end} bytes of ${bytes.toString("hex")}: ${verdict.said}, before: ${before.said}`);
    }
    before = verdict;
  }
}

const hostNames = fc.stringMatching(/^[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}$/);
const hellos = fc.record({
  name: hostNames,
  protocols: fc.array(fc.constantFrom("h2", "http/1.1", "acme-tls/1"), { minLength: 1, maxLength: 3 }),
  recordBytes: fc.constantFrom(1, 5, 100, 16_384),
  damage,
  cuts,
});

export const clientHello: FuzzTarget = {
  name: "client-hello",
  open: () => ({
    property: fc.property(hellos, ({ name, protocols, recordBytes, damage, cuts }) => {
      const extensions = [serverName(name), alpn(...protocols)];
      const whole = recordBytes === 16_384 ? hello(...extensions) : inRecords(helloBody(extensions), { recordBytes });
      const read = parseClientHello(whole);
      // In too many records it may be refused, never misread.
      if (read.kind === "hello" && (read.serverName !== name || read.alpn.join() !== protocols.join())) {
        throw new Error(`misread: ${JSON.stringify(read)}`);
      }
      if (recordBytes >= 100 && read.kind !== "hello") throw new Error(`not read: ${JSON.stringify(read)}`);
      assertSteady(
        damaged(whole, damage),
        (bytes) => {
          const hello = parseClientHello(bytes);
          return { isOpen: hello.kind === "incomplete", said: JSON.stringify(hello) };
        },
        cuts,
      );
    }),
  }),
};

const socksMessages = fc.record({
  methods: fc.uint8Array({ minLength: 1, maxLength: 20 }),
  username: fc.stringMatching(/^[ -~]{1,255}$/),
  password: fc.stringMatching(/^[ -~]{1,255}$/),
  host: hostNames,
  port: fc.integer({ min: 1, max: 65_535 }),
  damage,
  cuts,
});

export const socks5: FuzzTarget = {
  name: "socks5",
  open: () => ({
    property: fc.property(socksMessages, ({ methods, username, password, host, port, damage, cuts }) => {
      const greeting = writeSocksGreeting([...methods]);
      const credentials = writeSocksCredentials({ username, password });
      const request = writeSocksConnect(host, undefined, port);
      if (credentials === undefined) throw new Error("credentials that fit were not written");
      const read = [parseSocksGreeting(greeting), parseSocksCredentials(credentials), parseSocksRequest(request)];
      const expected = [
        { kind: "parsed", message: [...methods], length: greeting.length },
        { kind: "parsed", message: { username, password }, length: credentials.length },
      ];
      const [first, second, third] = read;
      for (const [at, { message, length }] of expected.entries()) {
        const one = [first, second][at];
        if (one?.kind === "incomplete" || one?.kind === "malformed" || one === undefined) throw new Error("not read");
        if (JSON.stringify([one.message, one.length]) !== JSON.stringify([message, length])) throw new Error("misread");
      }
      if (third === undefined || third.kind === "incomplete" || third.kind === "malformed") throw new Error("not read");
      const shown = JSON.stringify(third.message);
      if (!shown.includes(JSON.stringify(host)) || !shown.includes(`${port}`)) throw new Error(`misread: ${shown}`);
      const parsers = [parseSocksGreeting, parseSocksCredentials, parseSocksRequest];
      for (const [at, bytes] of [greeting, credentials, request].entries()) {
        const parse = parsers[at];
        if (parse === undefined) continue;
        const judge = (part: Buffer): Verdict => {
          const parsed = parse(part);
          // Of a request that is refused for its kind of address, the length is of no interest.
          const isRefused = parsed.kind !== "incomplete" && JSON.stringify(parsed).includes('"unknown"');
          const said = isRefused ? "refused" : JSON.stringify(parsed);
          return { isOpen: parsed.kind === "incomplete", said };
        };
        assertSteady(damaged(bytes, damage), judge, cuts);
      }
    }),
  }),
};

function http1(direction: Direction): FuzzTarget {
  const streams = direction === "request" ? requestStreams : responseStreams;
  return {
    name: `http1-${direction}s`,
    open: () => ({
      property: fc.property(streams, fc.array(fc.nat(1000), { maxLength: 12 }), (stream, places) => {
        const whole = readWithKeyswap(direction, cutAt(stream.text, []), stream.methods, defaultMessageLimits);
        const nodes = readWithNode(direction, Buffer.from(stream.text, "latin1"), stream.methods);
        const difference = compareTranscripts(whole, nodes);
        if (difference.kind === "wrong") throw new Error(`${difference.what} on ${JSON.stringify(stream.text)}`);
        const cut = readWithKeyswap(direction, cutAt(stream.text, places), stream.methods, defaultMessageLimits);
        const said = (one: typeof whole) => JSON.stringify({ ...one, refusal: one.refusal === undefined });
        if (said(cut) !== said(whole)) throw new Error(`cut, it reads otherwise: ${JSON.stringify(stream.text)}`);
      }),
    }),
  };
}

export const http1Requests: FuzzTarget = http1("request");
export const http1Responses: FuzzTarget = http1("response");
