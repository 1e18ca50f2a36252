// Byte streams for fuzzing HTTP/1 parsers: valid messages in a row, then damaged where parsers tend to differ.

import fc from "fast-check";

/** A stream and, for responses, the methods of the requests that it answers. Latin-1. */
export interface Stream {
  readonly text: string;
  readonly methods: readonly string[];
}

const latin1 = (options: { maxLength: number }): fc.Arbitrary<string> =>
  fc.array(fc.integer({ min: 0, max: 255 }), options).map((bytes) => String.fromCharCode(...bytes));

const oneOf = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

const tokens = oneOf("a", "Accept", "X-Test", "x_y", "Cookie", "Via", "!#$%&'*+-.^`|~", "Host");
const values = fc.oneof(
  oneOf("", "b", "a, b", "a\tb", "caf\xe9", '"quoted, text"', "x".repeat(40), "close", "keep-alive"),
  fc.string({ maxLength: 12, unit: oneOf("a", " ", "\t", ",", ":", "\x80", "\xff", "=") }),
);
const plainField = fc.tuple(tokens, oneOf(": ", ":", ":  ", ":\t"), values, oneOf("", "", "", " ", "\t "));
const connectionField = oneOf(
  "Connection: close",
  "Connection: keep-alive",
  "Connection: Close ",
  "Connection: keep-alive, close",
  "Connection: a,close ,b",
  "Connection: closed",
  "Connection: \xa0close",
  "Connection: upgrade",
  "Upgrade: websocket",
  "Proxy-Connection: close",
  "Expect: 100-continue",
  "Trailer: X-Sum",
);
const fieldLines = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: plainField.map((parts) => parts.join("")) },
    { weight: 1, arbitrary: connectionField },
  ),
  { maxLength: 4 },
);

const bodies = fc.oneof(
  oneOf("", "hello", "0\r\n\r\n", "GET /inner HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
  latin1({ maxLength: 30 }),
);
const chunkSizes = oneOf("", "", "", "0", "000");
const extensions = oneOf("", "", "", ";a", ";a=b", ';a="b c"', ';a="\\""', ";a;b=1", ";", ";a=", "; a", ' ;a="b"');
const trailerLines = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: oneOf("X-Sum: 1", "a:", "Set-Cookie: b") },
    { weight: 1, arbitrary: oneOf("Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close", "Host: x") },
  ),
  { maxLength: 2 },
);

interface Framed {
  readonly fields: readonly string[];
  readonly body: string;
}

const lengthSpellings = oneOf<(length: number) => string>(
  (length) => `Content-Length: ${length}`,
  (length) => `Content-Length: ${length}`,
  (length) => `Content-Length: ${length}`,
  (length) => `content-length:${length}\t`,
  (length) => `Content-Length: 000${length}`,
  (length) => `Content-Length: +${length}`,
  (length) => `Content-Length: 0x${length}`,
  (length) => `Content-Length: ${length},${length}`,
  (length) => `Content-Length: ${length}\r\nContent-Length: ${length}`,
  (length) => `Content-Length: ${length} 0`,
  (length) => `Content-Length: ${"0".repeat(20)}${length}`,
  (length) => `Content-Length: 1844674407370955161${length}`,
  () => "Content-Length:",
  () => "Content-Length: -1",
);
const codingSpellings = oneOf(
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: chunked",
  "transfer-encoding:\t CHUNKED",
  "Transfer-Encoding: chunked\t",
  "Transfer-Encoding: chunked, chunked",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding: identity",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
  "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
  "Transfer-Encoding:\r\n chunked",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding: chunked;a=b",
  'Transfer-Encoding: "chunked"',
  "Transfer-Encoding:",
);

const withLength: fc.Arbitrary<Framed> = fc
  .tuple(lengthSpellings, bodies)
  .map(([spell, body]) => ({ fields: [spell(body.length)], body }));
const chunked: fc.Arbitrary<Framed> = fc
  .tuple(
    codingSpellings,
    fc.array(fc.tuple(bodies, chunkSizes, extensions), { maxLength: 3 }),
    extensions,
    trailerLines,
  )
  .map(([coding, chunks, lastExtension, trailers]) => {
    let body = "";
    for (const [content, zeros, extension] of chunks) {
      if (content !== "") body += `${zeros}${content.length.toString(16)}${extension}\r\n${content}\r\n`;
    }
    body += `0${lastExtension}\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`;
    return { fields: [coding], body };
  });
const both: fc.Arbitrary<Framed> = fc
  .tuple(withLength, chunked)
  .map(([a, b]) => ({ fields: [...a.fields, ...b.fields], body: b.body }));
const framed: fc.Arbitrary<Framed> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ fields: [], body: "" }) },
  { weight: 4, arbitrary: withLength },
  { weight: 5, arbitrary: chunked },
  { weight: 1, arbitrary: both },
);

const versions = oneOf("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0");
const targets = fc.oneof(
  {
    weight: 5,
    arbitrary: oneOf("/", "/a?b=c", "*", "http://example.com", "http://example.com:80/a?b", "/%2F//..;a", "/caf\xe9"),
  },
  {
    weight: 1,
    arbitrary: oneOf(
      "foo",
      "*a",
      "http:/a",
      "http+unix://a/",
      "http://u:p@h/",
      "http://",
      "http://[::1]:1/",
      "/a#b",
      "//a",
    ),
  },
  {
    weight: 2,
    arbitrary: fc.string({
      maxLength: 12,
      unit: oneOf("a", "/", ":", "@", "?", "#", "[", "]", "\\", "\x80", '"', "|", "1", "%", "<"),
    }),
  },
);
const methods = oneOf("GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "M-SEARCH");

const joined = (startLine: string, fields: readonly string[], message: Framed, framingFirst: boolean): string => {
  const lines = framingFirst ? [...message.fields, ...fields] : [...fields, ...message.fields];
  return `${[startLine, ...lines].join("\r\n")}\r\n\r\n${message.body}`;
};

const request = fc
  .tuple(methods, targets, versions, fieldLines, framed, fc.boolean())
  .map(([method, target, version, fields, message, first]) =>
    joined(`${method} ${target} ${version}`, fields, message, first),
  );
const connect = fc
  .tuple(oneOf("a:1", "[::1]:443", "a", "/", "http://a/", "u@a:1", "*"), fieldLines, framed)
  .map(([target, fields, message]) => joined(`CONNECT ${target} HTTP/1.1`, fields, message, true));

const statusLines = oneOf(
  "200 OK",
  "200 OK",
  "200 OK",
  "200",
  "200 ",
  "404 Not  Found",
  "204 None",
  "304 Not Modified",
  "100 Continue",
  "103 Early Hints",
  "101 Switching Protocols",
  "500 caf\xe9\t!",
);
const response = fc
  .tuple(versions, statusLines, fieldLines, framed, fc.boolean())
  .map(([version, status, fields, message, first]) => joined(`${version} ${status}`, fields, message, first));

// Where parsers differ: line ends, blanks, control bytes, separators, digits and the framing fields again.
const inserts = fc.oneof(
  {
    weight: 3,
    arbitrary: oneOf(
      "\r",
      "\n",
      "\r\n",
      "\0",
      " ",
      "\t",
      ":",
      ",",
      ";",
      "=",
      '"',
      "\\",
      "#",
      "\x0b",
      "\x0c",
      "\x7f",
      "\x80",
      "\xa0",
      "\xff",
    ),
  },
  {
    weight: 1,
    arbitrary: oneOf(
      "0",
      "1",
      "5",
      "9",
      "f",
      "F",
      "g",
      "x",
      "0x",
      "+",
      "-",
      "_",
      "\r\n\r\n",
      "\r\r\n",
      "\n\r\n",
      "\r\n ",
      "\r\n\t",
    ),
  },
  {
    weight: 1,
    arbitrary: oneOf(
      "Content-Length: 5\r\n",
      "Transfer-Encoding: chunked\r\n",
      "Transfer-Encoding: identity\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "FFFFFFFFFFFFFFFFF",
      "00000000000000000",
      "HTTP/1.0",
      "HTTP/2.0",
      "HTTP/1.2",
      "HTTP/0.9",
    ),
  },
  { weight: 1, arbitrary: latin1({ maxLength: 2 }) },
);

type Mutation = (text: string) => string;

/** A place in the text: the nth of the bytes that structure a message (or any byte), and a step to its side. */
const places = fc
  .tuple(fc.boolean(), fc.nat(1000), fc.integer({ min: -1, max: 1 }))
  .map(([structural, nth, step]) => (text: string): number => {
    if (!structural) return nth % (text.length + 1);
    const marks = [...text.matchAll(/[\r\n: ,;0-9]/g)].map((match) => match.index);
    return Math.max(0, (marks[nth % Math.max(1, marks.length)] ?? 0) + step);
  });
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(places, inserts).map(([place, piece]) => (text: string) => {
      const at = place(text);
      return text.slice(0, at) + piece + text.slice(at);
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(places, fc.integer({ min: 1, max: 3 })).map(([place, count]) => (text: string) => {
      const at = place(text);
      return text.slice(0, at) + text.slice(at + count);
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(places, inserts).map(([place, piece]) => (text: string) => {
      const at = place(text);
      return text.slice(0, at) + piece + text.slice(at + 1);
    }),
  },
  {
    weight: 1,
    arbitrary: fc.nat(1000).map((nth) => (text: string) => {
      const lines = text.split("\r\n");
      const at = nth % lines.length;
      lines.splice(at, 0, lines[at] ?? "");
      return lines.join("\r\n");
    }),
  },
);
const mutations = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Mutation[]>([]) },
  { weight: 3, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 3 }) },
);

const damaged = (messages: fc.Arbitrary<readonly string[]>): fc.Arbitrary<string> =>
  fc
    .tuple(messages, mutations)
    .map(([parts, changes]) => changes.reduce((text, change) => change(text), parts.join("")));

export const requestStreams: fc.Arbitrary<Stream> = damaged(
  fc.oneof(
    { weight: 9, arbitrary: fc.array(request, { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.tuple(request, connect, request) },
    { weight: 1, arbitrary: fc.tuple(connect, request) },
  ),
).map((text) => ({ text, methods: [] }));

export const responseStreams: fc.Arbitrary<Stream> = fc
  .tuple(
    damaged(fc.array(response, { minLength: 1, maxLength: 3 })),
    fc.array(oneOf("GET", "GET", "POST", "HEAD", "CONNECT"), { minLength: 3, maxLength: 3 }),
  )
  .map(([text, asked]) => ({ text, methods: asked }));

/** The text's bytes, cut at these places. */
export function cutAt(text: string, places: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text, "latin1");
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const end of [...ends, bytes.length]) {
    chunks.push(bytes.subarray(from, end));
    from = end;
  }
  return chunks;
}
