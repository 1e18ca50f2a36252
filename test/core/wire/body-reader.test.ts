import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BodyReader } from "../../../src/core/wire/body-reader.ts";
import type { BodyLength } from "../../../src/core/wire/framing.ts";
import { fuzzRuns } from "../../support/fuzz.ts";
import { cutAt } from "../../support/http1-streams.ts";

const limits = { maxLineBytes: 256, maxFields: 3 };

/** Reads all chunks until the body is done or refused. */
function read(length: BodyLength, chunks: readonly Buffer[], finish = false) {
  const reader = new BodyReader(length, limits);
  let content = "";
  let rest = "";
  for (const chunk of chunks) {
    const end = reader.fault === "" ? reader.read(chunk, 0, (part) => (content += part.toString("latin1"))) : -1;
    if (end >= 0) rest += chunk.toString("latin1", end);
  }
  if (finish) reader.finish();
  return { content, rest, done: reader.done, fault: reader.fault, trailers: reader.trailers };
}
const chunked = (text: string) => read("chunked", [Buffer.from(text, "latin1")]);

describe("BodyReader", () => {
  it("ends a body of known length where it ends", () => {
    expect(read(5, [Buffer.from("hel"), Buffer.from("lo!!")])).toMatchObject({
      content: "hello",
      rest: "!!",
      done: true,
    });
    expect(read(5, [Buffer.from("hel")], true)).toMatchObject({ content: "hel", done: false });
    expect(read(0, [Buffer.from("x")])).toMatchObject({ content: "", rest: "x", done: true });
  });

  it("hands on the pushed bytes themselves, without a copy", () => {
    const bytes = Buffer.from("hello");
    const views: Buffer[] = [];
    new BodyReader(5, limits).read(bytes, 0, (part) => views.push(part));
    expect(views).toEqual([bytes]);
    expect(views[0]).toBe(bytes);
  });

  it("reads until the connection ends", () => {
    expect(read("close", [Buffer.from("a"), Buffer.from("b")])).toMatchObject({ content: "ab", done: false });
    expect(read("close", [Buffer.from("a"), Buffer.from("b")], true)).toMatchObject({ content: "ab", done: true });
  });

  it("takes chunks apart", () => {
    expect(chunked("5\r\nhello\r\n001\r\n!\r\n0\r\n\r\nGET /")).toEqual({
      content: "hello!",
      rest: "GET /",
      done: true,
      fault: "",
      trailers: [],
    });
  });

  it("is not completed by the connection's end", () => {
    expect(read("chunked", [Buffer.from("5\r\nhello\r\n")], true).done).toBe(false);
    expect(read("chunked", [Buffer.from("5\r\nhello\r\n0\r\n")], true).done).toBe(false);
  });

  it("answers trailers", () => {
    expect(chunked("0\r\nA: b\r\nc:\r\n\r\nx")).toMatchObject({
      rest: "x",
      trailers: [
        { name: "A", key: "a", value: "b" },
        { name: "c", key: "c", value: "" },
      ],
    });
  });

  it("reads past extensions", () => {
    expect(chunked('5;a;b=c;d="e;\\"\\\\f"\r\nhello\r\n0;x=y\r\n\r\n')).toMatchObject({ content: "hello", done: true });
  });

  it.each([
    ["chunk size", "x\r\n"],
    ["chunk size", "5 \r\n"],
    ["chunk size", "0x5\r\n"],
    ["chunk size", "5\n"],
    ["chunk size", "12345678901234\r\n"],
    ["chunk size", "\r\n"],
    ["chunk size", "5;\r\n"],
    ["no CRLF after a chunk", "1\r\nab\r\n"],
    ["no CRLF after a chunk", "1\r\na\n"],
    ["trailers", "0\r\na\r\n\r\n"],
    ["trailers", "0\r\n\n"],
    ["framing in trailers", "0\r\ncontent-LENGTH: 1\r\n\r\n"],
    ["framing in trailers", "0\r\na: b\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["framing in trailers", "0\r\nConnection: close\r\n\r\n"],
    ["too many trailers", `0\r\n${"a: b\r\n".repeat(4)}`],
  ])("refuses: %s %j", (fault, text) => {
    const answer = chunked(`${text}${"\r\n".repeat(2)}`);
    expect(answer).toMatchObject({ fault, done: false });
  });

  it("bounds a size line, also while it is incomplete", () => {
    expect(chunked(`1;${"a".repeat(limits.maxLineBytes - 4)}\r\na\r\n0\r\n\r\n`).done).toBe(true);
    expect(chunked(`1;${"a".repeat(limits.maxLineBytes - 3)}\r\na\r\n0\r\n\r\n`).fault).toBe("line too long");
    expect(chunked("a".repeat(limits.maxLineBytes + 1)).fault).toBe("line too long");
    expect(chunked("a".repeat(limits.maxLineBytes)).fault).toBe("");
  });

  it("bounds the trailer section as a whole", () => {
    const line = `a: ${"b".repeat(limits.maxLineBytes / 2)}\r\n`;
    expect(chunked(`0\r\n${line}\r\n`).done).toBe(true);
    expect(chunked(`0\r\n${line}${line}\r\n`).fault).toBe("line too long");
  });

  it("bounds the extensions of all chunks together", () => {
    const chunk = `1;${"a".repeat(250)}\r\nx\r\n`;
    expect(chunked(`${chunk.repeat(64)}0\r\n\r\n`).done).toBe(true);
    expect(chunked(`${chunk.repeat(66)}0\r\n\r\n`).fault).toBe("chunk extensions too long");
  });

  it("reads the same however the bytes are cut", () => {
    const part = fc.tuple(fc.string({ minLength: 1, maxLength: 20 }), fc.constantFrom("", ";a=b", ';a="\\"";b'));
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 5 }),
        fc.constantFrom("", "A: b\r\n", "A: b\r\nc:\r\n", "broken\r\n"),
        fc.array(fc.nat(200), { maxLength: 20 }),
        (parts, trailers, cuts) => {
          const chunks = parts.map(([text, extension]) => `${text.length.toString(16)}${extension}\r\n${text}\r\n`);
          const text = `${chunks.join("")}0\r\n${trailers}\r\nrest`;
          const whole = chunked(text);
          expect(whole.content).toBe(parts.map(([content]) => content).join(""));
          expect(whole.done).toBe(trailers !== "broken\r\n");
          expect(read("chunked", cutAt(text, cuts))).toEqual(whole);
          expect(
            read(
              "chunked",
              cutAt(
                text,
                Array.from({ length: text.length }, (_, i) => i),
              ),
            ),
          ).toEqual(whole);
        },
      ),
      fuzzRuns(500),
    );
  });
});
