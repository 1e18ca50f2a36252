// Our HTTP/1.1 reader against Node's own parser (llhttp) on valid and damaged streams. What Node refuses we refuse, but
// for methods it does not know; what both take reads the same; where we refuse more, that is one of the listed reasons.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defaultMessageLimits } from "../../src/core/wire/message-reader.ts";
import { fuzzRuns, fuzzTimeoutMs } from "../support/fuzz.ts";
import { compareTranscripts, type Difference } from "../support/http1-difference.ts";
import { cutAt, requestStreams, responseStreams, type Stream } from "../support/http1-streams.ts";
import {
  type Direction,
  knownMethods,
  type Message,
  readWithKeyswap,
  readWithNode,
} from "../support/http1-transcript.ts";

interface Strictness {
  /** What is refused, and why although Node takes it. */
  readonly what: string;
  readonly refusal: string;
  /** What a stream that is refused for this has in it. */
  readonly shows: RegExp;
  readonly direction: Direction;
  readonly examples: readonly string[];
}

const strictness: readonly Strictness[] = [
  {
    what: "a body of CONNECT: some read it, some tunnel it",
    refusal: "malformed: CONNECT with a body",
    shows: /CONNECT /,
    direction: "request",
    examples: ["CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"],
  },
  {
    what: "a length of more than 16 digits, or beyond the safe integers",
    refusal: "malformed: Content-Length",
    shows: /content-length:[ \t]*[0-9]{16}/i,
    direction: "request",
    examples: [
      "POST / HTTP/1.1\r\nContent-Length: 00000000000000005\r\n\r\nhello",
      "POST / HTTP/1.1\r\nContent-Length: 9007199254740993\r\n\r\nhello",
    ],
  },
  {
    what: "chunked coding in HTTP/1.0: its receivers do not know it",
    refusal: "malformed: Transfer-Encoding in HTTP/1.0",
    shows: /HTTP\/1\.0/,
    direction: "request",
    examples: ["POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  },
  {
    what: "every transfer coding but one plain chunked: receivers differ on lists, names and parameters",
    refusal: "malformed: Transfer-Encoding other than chunked",
    shows: /transfer-encoding:(?![ \t]*chunked[ \t]*\r\n)/i,
    direction: "request",
    examples: ["POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
  },
  {
    what: "the same of responses, which then end with the connection",
    refusal: "malformed: Transfer-Encoding other than chunked",
    shows: /transfer-encoding:(?![ \t]*chunked[ \t]*\r\n)/i,
    direction: "response",
    examples: [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    ],
  },
  {
    what: "a blank behind the transfer coding: Node itself refuses a tab in requests, and reads on to the end in responses",
    refusal: "malformed: blank behind Transfer-Encoding",
    shows: /transfer-encoding:[^\r\n]*[ \t]\r\n/i,
    direction: "response",
    examples: [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    ],
  },
  {
    what: "chunked said twice",
    refusal: "malformed: two Transfer-Encoding fields",
    shows: /transfer-encoding:.*transfer-encoding:/is,
    direction: "response",
    examples: ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  },
  {
    what: "an interim response that declares a body",
    refusal: "malformed: 1xx with a body",
    shows: /HTTP\/1\.[01] 1[0-9][0-9]/,
    direction: "response",
    examples: ["HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  },
  {
    what: "empty lines before a message that are not CRLF",
    refusal: "malformed: bare LF in the head",
    shows: /\n/,
    direction: "request",
    examples: ["\nGET / HTTP/1.1", "GET / HTTP/1.1\r\n\r\n\nGET / HT"],
  },
  {
    what: "the same, where the head is complete; and versions but 1.0 and 1.1",
    refusal: "malformed: request line",
    shows: /^(?![!#$%&'*+\-.^_`|~0-9A-Z]+ [^\r\n]* HTTP\/1\.[01]\r\n)/im,
    direction: "request",
    examples: [
      "\n\rGET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/2.0\r\n\r\n",
      "GET / HTTP/0.9\r\n\r\n",
      "GET /\r\n\r\n",
      "GET  / HTTP/1.1\r\n\r\n",
    ],
  },
  {
    what: "targets with a fragment, without a host, or of none of the four forms",
    refusal: "malformed: request target",
    shows: / (?:[^ ]*[#\t\f\r\n]|\*[^ ]|[a-z]+:\/\/[\s/?]|[^/*a-z])|CONNECT /i,
    direction: "request",
    examples: [
      "GET /a#b HTTP/1.1\r\n\r\n",
      "GET *a HTTP/1.1\r\n\r\n",
      "GET http:///a HTTP/1.1\r\n\r\n",
      "GET http:// HTTP/1.1\r\n\r\n",
      "CONNECT / HTTP/1.1\r\n\r\n",
    ],
  },
  {
    what: "a reason with control bytes, versions but 1.0 and 1.1, a status below 100, bytes before the status line",
    refusal: "malformed: status line",
    shows: /HTTP\/1\.[01] [0-9]{3}[^\r\n]*[^\t\x20-\x7e\x80-\xff\r\n]|HTTP\/(?!1\.[01] [1-9])|(?:^|\r\n)[\r\n]/,
    direction: "response",
    examples: [
      "HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
      "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
      "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
  },
  {
    what: "chunk sizes of more than 13 digits, extensions with blanks or without a value behind the =",
    refusal: "malformed: chunk size",
    shows: /[0-9a-f]{14}|;[^\r\n]*=[^\r\n]*|[0-9a-f][ \t]/i,
    direction: "request",
    examples: [
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0;a=\r\n\r\n",
    ],
  },
  {
    what: "trailers that speak for the connection",
    refusal: "malformed: framing in trailers",
    shows: /(?:connection|upgrade|transfer-encoding):/i,
    direction: "request",
    examples: ["POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nConnection: close\r\n\r\n"],
  },
];

function compare(direction: Direction, stream: Stream): Difference {
  const bytes = Buffer.from(stream.text, "latin1");
  return compareTranscripts(
    readWithKeyswap(direction, [bytes], stream.methods, defaultMessageLimits),
    readWithNode(direction, bytes, stream.methods),
  );
}

/** Fails where we differ from Node without a listed reason. */
function agree(direction: Direction, stream: Stream): void {
  const difference = compare(direction, stream);
  if (difference.kind === "none") return;
  const listed =
    difference.kind === "stricter" &&
    strictness.some((reason) => reason.refusal === difference.refusal && reason.shows.test(stream.text));
  if (!listed) throw new Error(`${JSON.stringify(difference)} on ${JSON.stringify(stream)}`);
}

/** Whether the text stands in a message at another place than the method's. */
function saysElsewhere(message: Message, text: string): boolean {
  return JSON.stringify({ ...message, method: "" }).includes(text);
}

describe("HTTP/1.1 reader against Node's parser", () => {
  it(
    "refuses what Node refuses in requests and reads the rest alike",
    () => {
      fc.assert(
        fc.property(requestStreams, (stream) => agree("request", stream)),
        fuzzRuns(4000),
      );
    },
    fuzzTimeoutMs,
  );

  it(
    "refuses what Node refuses in responses and reads the rest alike",
    () => {
      fc.assert(
        fc.property(responseStreams, (stream) => agree("response", stream)),
        fuzzRuns(4000),
      );
    },
    fuzzTimeoutMs,
  );

  it(
    "reads a request whose method Node does not know as it reads any other",
    () => {
      const marker = "MKCALENDAR";
      const strange = fc.constantFrom("LIST", "GETT", "get", "PRI", "X!#$%&'*+-.^_`|~9", "DESCRIBE", "A", "CONNECTX");
      const streams = fc.tuple(requestStreams, strange).map(([stream, method]) => ({
        method,
        text: stream.text.replace(/(?:GET|POST|HEAD|PUT)(?= )/g, marker),
      }));
      fc.assert(
        fc.property(streams, ({ method, text }) => {
          const nodes = readWithNode("request", Buffer.from(text, "latin1"), []);
          // Only as a method, whole or cut: in a body its length would matter, and behind CONNECT all is body.
          fc.pre(nodes.messages.every((message) => message.method !== "CONNECT" && !saysElsewhere(message, "M")));
          expect(knownMethods).not.toContain(method);
          const ours = readWithKeyswap(
            "request",
            [Buffer.from(text.replaceAll(marker, method), "latin1")],
            [],
            defaultMessageLimits,
          );
          const difference = compareTranscripts(
            { ...ours, messages: ours.messages.map((m) => (m.method === method ? { ...m, method: marker } : m)) },
            nodes,
          );
          if (difference.kind === "wrong") throw new Error(`${difference.what} on ${JSON.stringify(text)}`);
        }),
        fuzzRuns(1000),
      );
    },
    fuzzTimeoutMs,
  );

  it.each(
    strictness.flatMap((reason) => reason.examples.map((text) => ({ ...reason, text, shown: JSON.stringify(text) }))),
  )("is stricter on purpose: $what: $shown", ({ direction, text, refusal, shows }) => {
    expect(compare(direction, { text, methods: [] })).toEqual({ kind: "stricter", refusal });
    expect(text).toMatch(shows);
  });

  it.each([["request", requestStreams] as const, ["response", responseStreams] as const])(
    "reads a %s stream alike however it is cut",
    (direction, streams) => {
      fc.assert(
        fc.property(streams, fc.array(fc.nat(1000), { maxLength: 12 }), fc.boolean(), (stream, cuts, bytewise) => {
          const whole = readWithKeyswap(direction, cutAt(stream.text, []), stream.methods, defaultMessageLimits);
          const places = bytewise ? Array.from({ length: stream.text.length }, (_, i) => i) : cuts;
          const cut = readWithKeyswap(direction, cutAt(stream.text, places), stream.methods, defaultMessageLimits);
          // Which of several faults is seen first depends on what has arrived; that there is one does not.
          expect({ ...cut, refusal: cut.refusal === undefined }).toEqual({
            ...whole,
            refusal: whole.refusal === undefined,
          });
        }),
        fuzzRuns(1500),
      );
    },
    fuzzTimeoutMs,
  );
});
