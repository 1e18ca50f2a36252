import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Field, RequestHead, ResponseHead } from "../../../src/core/message.ts";
import type { BodyLength } from "../../../src/core/wire/framing.ts";
import {
  defaultMessageLimits,
  type MessageHandler,
  RequestReader,
  ResponseReader,
} from "../../../src/core/wire/message-reader.ts";
import { compareTranscripts } from "../../support/http1-difference.ts";
import { type Direction, type Message, readWithKeyswap, readWithNode } from "../../support/http1-transcript.ts";

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const bytewise = (text: string): Buffer[] => Array.from(latin1(text), (byte) => Buffer.of(byte));

/** Writes down what a reader says, a line each. */
class Log implements MessageHandler<RequestHead | ResponseHead> {
  readonly lines: string[] = [];
  onSaid: (line: string) => void = () => {};

  onHead(head: RequestHead | ResponseHead, length: BodyLength): void {
    this.#say(`${"method" in head ? `${head.method} ${head.target}` : head.status} ${length}`);
  }
  onData(content: Buffer): void {
    this.#say(`data ${content.toString("latin1")}`);
  }
  onEnd(trailers: readonly Field[]): void {
    this.#say(["end", ...trailers.map((field) => `${field.name}=${field.value}`)].join(" "));
  }
  onFault(fault: string, detail: string): void {
    this.#say(`${fault}: ${detail}`);
  }
  #say(line: string): void {
    this.lines.push(line);
    this.onSaid(line);
  }
}

function requestReader(limits = defaultMessageLimits): { log: Log; reader: RequestReader } {
  const log = new Log();
  return { log, reader: new RequestReader(log, limits) };
}
function responseReader(method = "GET"): { log: Log; reader: ResponseReader } {
  const log = new Log();
  const reader = new ResponseReader(log, defaultMessageLimits);
  reader.method = method;
  return { log, reader };
}

describe("RequestReader", () => {
  it("says head, content and end", () => {
    const { log, reader } = requestReader();
    reader.push(latin1("POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel"));
    reader.push(latin1("lo"));
    expect(log.lines).toEqual(["POST /a 5", "data hel", "data lo", "end"]);
  });

  it("holds the next request back until the current one is released", () => {
    const { log, reader } = requestReader();
    expect(reader.idle).toBe(true);
    reader.push(latin1("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c"));
    expect(log.lines).toEqual(["GET /a 0", "end"]);
    expect([reader.held, reader.idle, reader.keepsBytes]).toEqual([true, false, true]);
    reader.push(latin1(" HTTP/1.1\r\n\r\n"));
    reader.next();
    expect(log.lines.slice(2)).toEqual(["GET /b 0", "end"]);
    reader.next();
    expect(log.lines.slice(4)).toEqual(["GET /c 0", "end"]);
    expect([reader.held, reader.keepsBytes]).toEqual([true, false]);
    reader.next();
    expect([reader.held, reader.idle]).toEqual([false, true]);
    reader.next();
    expect(log.lines).toHaveLength(6);
  });

  it("reads on where the handler releases the message at its end, however many there are", () => {
    const { log, reader } = requestReader();
    log.onSaid = (line) => {
      if (line.startsWith("end")) reader.next();
    };
    reader.push(latin1("GET / HTTP/1.1\r\n\r\n".repeat(20_000)));
    expect(log.lines).toHaveLength(40_000);
    expect(reader.idle).toBe(true);
  });

  it("gives away what follows, from within the end as well as after it", () => {
    const text = "CONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03\x01";
    const after = requestReader();
    after.reader.push(latin1(text));
    expect(after.reader.takeRest()).toEqual(latin1("\x16\x03\x01"));
    expect(after.reader.takeRest()).toBeUndefined();

    const within = requestReader();
    let rest: Buffer | undefined;
    within.log.onSaid = (line) => {
      if (line === "end") rest = within.reader.takeRest();
    };
    within.reader.push(latin1(text));
    expect(rest).toEqual(latin1("\x16\x03\x01"));
    expect(within.reader.takeRest()).toBeUndefined();
  });

  it("gives away what was pushed while it held a message", () => {
    const { reader } = requestReader();
    reader.push(latin1("CONNECT a:1 HTTP/1.1\r\n\r\n"));
    expect(reader.takeRest()).toBeUndefined();
    reader.push(latin1("ab"));
    for (const part of bytewise("cdefgh")) reader.push(part);
    expect(reader.takeRest()).toEqual(latin1("abcdefgh"));
  });

  it("does not touch bytes that it handed out or was given", () => {
    const log = new Log();
    const views: Buffer[] = [];
    log.onData = (content) => views.push(content);
    const reader = new RequestReader(log, defaultMessageLimits);
    const pushed: Buffer[] = [];
    const push = (text: string): void => {
      pushed.push(latin1(text));
      reader.push(pushed.at(-1) as Buffer);
    };
    const first = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    push(first.slice(0, 3));
    push(first.slice(3, 40));
    push(`${first.slice(40)}POST`);
    push(" / HTTP/1.1\r\nContent-Length: 3\r\n");
    reader.next();
    push("\r\nbye");
    expect(views.map(String).join("|")).toMatch(/^h\|?e\|?l\|?l\|?o\|?bye$/);
    expect(pushed.map(String).join("")).toBe(`${first}POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nbye`);
  });

  it("is idle between messages, not within them, nor while empty lines come in", () => {
    const { reader } = requestReader();
    const idle: boolean[] = [];
    for (const part of ["\r\n", "\r", "\n", "G", "ET / HTTP/1.1\r\n\r\n"]) {
      reader.push(latin1(part));
      idle.push(reader.idle);
    }
    expect(idle).toEqual([false, false, false, false, false]);
    reader.next();
    expect(reader.idle).toBe(true);
  });

  it("knows whether the stream may end", () => {
    const ends = (text: string): boolean => {
      const { reader } = requestReader();
      reader.push(latin1(text));
      return reader.finish();
    };
    expect(ends("")).toBe(true);
    expect(ends("\r\n")).toBe(true);
    expect(ends("GET / HTTP/1.1\r\n\r\n")).toBe(true);
    expect(ends("GET / HTTP/1.1\r\n")).toBe(false);
    expect(ends("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell")).toBe(false);
    expect(ends("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")).toBe(false);
    expect(ends("broken\r\n\r\n")).toBe(false);
  });

  it("is dead after a fault", () => {
    const { log, reader } = requestReader();
    reader.push(latin1("GET / HTTP/9.9\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
    reader.push(latin1("GET / HTTP/1.1\r\n\r\n"));
    reader.next();
    expect(log.lines).toEqual(["malformed: request line"]);
    expect([reader.idle, reader.held, reader.takeRest()]).toEqual([false, false, undefined]);
  });

  it("refuses a bare LF before the head is complete", () => {
    const { log, reader } = requestReader();
    reader.push(latin1("GET / HTTP/1.1\r\nHost: a"));
    expect(log.lines).toEqual([]);
    reader.push(latin1("\n\n"));
    expect(log.lines).toEqual(["malformed: bare LF in the head"]);
  });
});

describe("RequestReader's bounds", () => {
  const { maxHeadBytes, maxFields } = defaultMessageLimits;
  /** A head of so many bytes, without the empty line that ends it, and its last CRLF. */
  const headOf = (size: number): string => {
    const start = "GET / HTTP/1.1\r\na: ";
    return `${start}${"b".repeat(size - start.length)}\r\n\r\n`;
  };
  const said = (chunks: readonly Buffer[]): string[] => {
    const { log, reader } = requestReader();
    for (const chunk of chunks) reader.push(chunk);
    return log.lines;
  };

  it("takes a head of 64 KiB, whole and a byte at a time", () => {
    expect(said([latin1(headOf(maxHeadBytes))])).toEqual(["GET / 0", "end"]);
    expect(said(bytewise(headOf(maxHeadBytes)))).toEqual(["GET / 0", "end"]);
  });

  it("refuses a byte more, whole and a byte at a time", () => {
    expect(said([latin1(headOf(maxHeadBytes + 1))])).toEqual(["too-large: head"]);
    expect(said(bytewise(headOf(maxHeadBytes + 1)))).toEqual(["too-large: head"]);
  });

  it("does not wait for the end of a head that is too long", () => {
    expect(said([latin1(headOf(maxHeadBytes * 2).slice(0, maxHeadBytes + 4))])).toEqual(["too-large: head"]);
  });

  it("counts empty lines before the head, whole and a byte at a time", () => {
    const fits = `${"\r\n".repeat(1000)}${headOf(maxHeadBytes - 2000)}`;
    const not = `${"\r\n".repeat(1000)}${headOf(maxHeadBytes - 1999)}`;
    expect(said([latin1(fits)])).toEqual(["GET / 0", "end"]);
    expect(said(bytewise(fits))).toEqual(["GET / 0", "end"]);
    expect(said([latin1(not)])).toEqual(["too-large: head"]);
    expect(said(bytewise(not))).toEqual(["too-large: head"]);
    expect(said(bytewise("\r\n".repeat(maxHeadBytes)))).toEqual(["too-large: head"]);
  });

  it("counts them anew for each message", () => {
    const { log, reader } = requestReader({ maxHeadBytes: 40, maxFields: 5 });
    for (let i = 0; i < 10; i++) {
      reader.push(latin1(`${"\r\n".repeat(10)}GET / HTTP/1.1\r\n\r\n`));
      reader.next();
    }
    expect(log.lines).toHaveLength(20);
  });

  it("takes 200 fields and refuses one more", () => {
    const head = (count: number): string => `GET / HTTP/1.1\r\n${"a: b\r\n".repeat(count)}\r\n`;
    expect(said([latin1(head(maxFields))])).toEqual(["GET / 0", "end"]);
    expect(said([latin1(head(maxFields + 1))])).toEqual(["too-large: fields"]);
  });

  it("bounds a chunk's size line and the trailers", () => {
    const head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect(said([latin1(`${head}5;${"a".repeat(maxHeadBytes)}`)]).at(-1)).toBe("malformed: line too long");
    expect(said([latin1(`${head}0\r\na: ${"a".repeat(maxHeadBytes)}`)]).at(-1)).toBe("malformed: line too long");
    expect(said([latin1(`${head}0\r\n${"a: b\r\n".repeat(maxFields + 1)}\r\n`)]).at(-1)).toBe(
      "malformed: too many trailers",
    );
  });

  it("copies what it keeps a bounded number of times", () => {
    // Counted, not timed: each push may copy what it brings, and now and then all.
    const real = Buffer.prototype.copy;
    let copied = 0;
    Buffer.prototype.copy = function (this: Buffer, ...rest: Parameters<Buffer["copy"]>): number {
      const count = real.apply(this, rest);
      copied += count;
      return count;
    };
    try {
      expect(said(bytewise(headOf(maxHeadBytes)))).toEqual(["GET / 0", "end"]);
    } finally {
      Buffer.prototype.copy = real;
    }
    expect(copied).toBeGreaterThan(maxHeadBytes / 2);
    expect(copied).toBeLessThan(maxHeadBytes * 4);
  });
});

describe("ResponseReader", () => {
  it("says interim heads and then the answer", () => {
    const { log, reader } = responseReader();
    reader.push(latin1("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n"));
    reader.push(latin1("Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"));
    expect(log.lines).toEqual(["100 0", "103 0", "200 chunked", "data ok", "end X-Sum=1"]);
  });

  it("is not between answers once an interim head was read", () => {
    const { reader } = responseReader();
    reader.push(latin1("HTTP/1.1 100 Continue\r\n\r\n"));
    expect([reader.idle, reader.finish()]).toEqual([false, false]);
    reader.push(latin1("HTTP/1.1 204 None\r\n\r\n"));
    reader.next();
    expect([reader.idle, reader.finish()]).toEqual([true, true]);
  });

  it("ends a body with the connection", () => {
    const { log, reader } = responseReader();
    reader.push(latin1("HTTP/1.1 200 OK\r\n\r\nabc"));
    expect(log.lines).toEqual(["200 close", "data abc"]);
    expect(reader.finish()).toBe(true);
    expect(log.lines).toEqual(["200 close", "data abc", "end"]);
  });

  it("does not take a second answer in the same bytes for the next one", () => {
    const { log, reader } = responseReader();
    const rests: (string | undefined)[] = [];
    log.onSaid = (line) => {
      if (line === "end") rests.push(reader.takeRest()?.toString("latin1"));
    };
    reader.push(latin1("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 evil\r\nContent-Length: 0\r\n\r\n"));
    expect(log.lines).toEqual(["200 0", "end"]);
    expect(rests).toEqual(["HTTP/1.1 200 evil\r\nContent-Length: 0\r\n\r\n"]);
  });

  it("goes by the method that is set when the head arrives", () => {
    const { log, reader } = responseReader("HEAD");
    reader.push(latin1("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
    reader.method = "GET";
    reader.next();
    reader.push(latin1("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    expect(log.lines).toEqual(["200 0", "end", "200 2", "data ok", "end"]);
  });

  it("leaves what follows 101 alone", () => {
    const { log, reader } = responseReader();
    reader.push(latin1("HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\0"));
    expect(log.lines).toEqual(["101 0", "end"]);
    expect(reader.takeRest()).toEqual(latin1("\x81\0"));
  });

  it("is in doubt about bytes between answers", () => {
    const { log, reader } = responseReader();
    reader.push(latin1("\r\n"));
    expect(reader.idle).toBe(false);
    reader.push(latin1("HTTP/1.1 200 OK\r\n\r\n"));
    expect(log.lines).toEqual(["malformed: status line"]);
  });
});

interface Vector {
  readonly class: string;
  readonly name: string;
  readonly input: string;
  readonly methods?: readonly string[];
  readonly refused?: string;
  readonly messages?: readonly Partial<Message>[];
  readonly rest?: string;
}

// The classical ways to have two parsers disagree. What is refused must be refused however it is cut, and Node's parser,
// which knows most of them, must not read what we take in another way.
describe.each<[Direction]>([["request"], ["response"]])("vectors of %ss", (direction) => {
  const file = new URL(`../../vectors/http1/${direction}s.json`, import.meta.url);
  // Our own file: the shape is what the tests below ask of it.
  const vectors = JSON.parse(readFileSync(file, "utf8")) as readonly Vector[];

  it.each(vectors)("$class: $name", (vector) => {
    const methods = vector.methods ?? [];
    for (const chunks of [[latin1(vector.input)], bytewise(vector.input)]) {
      const ours = readWithKeyswap(direction, chunks, methods, defaultMessageLimits);
      if (vector.refused !== undefined) {
        expect(ours.refusal).toMatch(new RegExp(`^${vector.refused}: `));
      } else {
        expect(ours).toMatchObject({ refusal: undefined, rest: vector.rest ?? "", messages: vector.messages });
        expect(ours.messages).toHaveLength(vector.messages?.length ?? -1);
        expect(ours.messages.every((message) => message.complete)).toBe(true);
      }
      const nodes = readWithNode(direction, latin1(vector.input), methods);
      expect(compareTranscripts(ours, nodes).kind).not.toBe("wrong");
    }
  });
});
