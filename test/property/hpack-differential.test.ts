// Heads between nghttp2 (node:http2's client) and our end of a connection, both ways, with the tables that grow on it: each
// reads what the other one wrote.

import { type ClientHttp2Session, connect } from "node:http2";
import { duplexPair } from "node:stream";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { End } from "../support/http2-ends.ts";

let session: ClientHttp2Session;
let serves: End;
let write: () => void;
/** What is answered to the next request. */
let answer: readonly string[] = [];

beforeAll(() => {
  const [theirs, ours] = duplexPair();
  serves = new End("server");
  write = () => {
    while (serves.connection.pull((bytes) => ours.write(bytes)));
  };
  ours.on("data", (bytes: Buffer) => {
    serves.connection.receive(bytes);
    const stream = serves.requests.at(-1)?.stream;
    if (stream !== undefined && !stream.isClosed) {
      stream.sendHead(answer);
      stream.sendEnd();
      stream.flush();
    }
    write();
  });
  session = connect("http://a.test", { createConnection: () => theirs, strictSingleValueFields: false } as object);
  session.on("error", () => {});
});

afterAll(() => session?.destroy());

const names = fc.oneof(
  fc.constantFrom("accept", "x-a", "x-b", "authorization", "cookie", "user-agent", "etag"),
  fc.stringMatching(/^x-[a-z0-9]{1,20}$/),
);
// No blanks at the edges: nghttp2 refuses those.
const values = fc.oneof(
  fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/),
  fc
    .uint8Array({ minLength: 1, maxLength: 30 })
    .map((bytes) => Buffer.from(bytes.map((b) => b | 0xa1)).toString("latin1")),
  fc.nat(2_000).map((length) => "y".repeat(length + 1)),
);
const fields = fc.array(fc.tuple(names, values), { maxLength: 10 });

it("nghttp2 reads what we write, and we read what nghttp2 writes", async () => {
  await fc.assert(
    fc.asyncProperty(fields, fields, async (asked, answered) => {
      answer = [":status", "200", ...answered.flat()];
      const head = [":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"];
      const stream = session.request([...head, ...asked.flat()] as unknown as string[], { endStream: true });
      const read = await new Promise<readonly string[]>((resolve, reject) => {
        stream.on("response", (_headers, _flags, list) => resolve(list as unknown as string[]));
        stream.on("error", reject);
      });
      expect(serves.requests.at(-1)?.lines[0]).toBe(`head ${[...head, ...asked.flat()]} end`);
      expect(read).toEqual(answer);
      serves.requests.length = 0;
    }),
    { numRuns: 400 },
  );
  expect(serves.connection.failed).toBe(false);
});
