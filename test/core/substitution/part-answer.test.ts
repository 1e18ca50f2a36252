import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findField, type RequestHead } from "../../../src/core/message.ts";
import { narrowRequest } from "../../../src/core/substitution/narrow-request.ts";
import { narrowPartHead, readPartAnswer } from "../../../src/core/substitution/part-answer.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";
import { fieldsOf, grantOf, headOf, run, sessionOf } from "./scrub-support.ts";

const value = "0123456789abcdefghij";
const scrubber = new Scrubber([grantOf("S", value)]);

function requestOf(range: string): RequestHead {
  return { method: "GET", target: "/", minor: 1, fields: fieldsOf({ Range: range }) };
}

/** First and last byte that a server sends of so many; undefined: it answers 416. */
function served(range: string, size: number): readonly [number, number] | undefined {
  const [, first = "", last = ""] = /bytes=(\d*)-(\d*)/.exec(range) ?? [];
  if (first === "") return size === 0 ? undefined : [Math.max(0, size - Number(last)), size - 1];
  if (Number(first) >= size) return undefined;
  return [Number(first), last === "" ? size - 1 : Math.min(Number(last), size - 1)];
}

function partHead(first: number, last: number, size: number | "*") {
  return headOf({ "Content-Type": "text/plain", "Content-Range": `bytes ${first}-${last}/${size}` }, 206);
}

/** What a client sees of a server that has `whole`: status, Content-Range and body. */
function ask(whole: Buffer, range: string, cuts: readonly number[] = [], tellsSize = true) {
  const request = requestOf(range);
  const sent = findField(narrowRequest(request, scrubber).fields, "range")?.value ?? "";
  const bounds = served(sent, whole.length);
  if (bounds === undefined) return { status: 416, range: `bytes */${whole.length}`, body: Buffer.alloc(0) };
  const [first, last] = bounds;
  const head = partHead(first, last, tellsSize ? whole.length : "*");
  const answer = readPartAnswer(request, head, last - first + 1);
  if (answer.kind === "malformed") throw new Error(answer.kind);
  const narrowed = narrowPartHead(head, answer);
  const body = run(scrubber.body("in-place", sessionOf(), answer.edges), whole.subarray(first, last + 1), cuts);
  return { status: narrowed.status, range: findField(narrowed.fields, "content-range")?.value, body };
}

describe("the answer to a widened range", () => {
  const range = fc.oneof(
    fc.tuple(fc.nat(2000), fc.nat(200)).map(([first, more]) => `bytes=${first}-${first + more}`),
    fc.nat(2000).map((first) => `bytes=${first}-`),
    fc.integer({ min: 1, max: 2000 }).map((length) => `bytes=-${length}`),
  );
  const piece = fc.constantFrom(value, value.slice(0, 10), value.slice(10), "-".repeat(300), "x", "");

  it("is what was asked for of the scrubbed whole, wherever it is cut and however it comes", () => {
    const property = fc.property(
      fc.array(piece, { maxLength: 10 }),
      range,
      fc.array(fc.nat(3000), { maxLength: 5 }),
      (pieces, asked, cuts) => {
        const whole = Buffer.from(pieces.join(""));
        const scrubbed = scrubber.scrubWhole(whole, "in-place", sessionOf());
        const bounds = served(asked, whole.length);
        const seen = ask(whole, asked, cuts);
        if (bounds === undefined) {
          expect(seen).toEqual({ status: 416, range: `bytes */${whole.length}`, body: Buffer.alloc(0) });
          return;
        }
        const [first, last] = bounds;
        expect(seen.status).toBe(206);
        expect(seen.range).toBe(`bytes ${first}-${last}/${whole.length}`);
        expect(seen.body.toString()).toBe(scrubbed.subarray(first, last + 1).toString());
      },
    );
    fc.assert(property, { numRuns: 1000 });
  });

  it("tells a guess that begins like a value from no other text", () => {
    for (const guess of [value.slice(0, 10), `${value.slice(0, 9)}-`]) {
      const seen = ask(Buffer.from(`${"-".repeat(400)}${guess}${"-".repeat(400)}`), "bytes=0-409");
      expect(seen.body.toString()).toBe(`${"-".repeat(400)}${guess}`);
    }
  });

  it("serves single bytes, of a value those of its placeholder", () => {
    const whole = Buffer.from(`${"-".repeat(400)}${value}${"-".repeat(400)}`);
    const scrubbed = scrubber.scrubWhole(whole, "in-place", sessionOf()).toString();
    for (const at of [399, 400, 401, 419, 420]) {
      expect(ask(whole, `bytes=${at}-${at}`).body.toString()).toBe(scrubbed[at]);
    }
  });

  it("masks the edge at which less came than was asked for", () => {
    const text = `${"-".repeat(800)}${value.slice(0, 10)}`;
    const head = partHead(0, text.length - 1, 9000);
    const answer = readPartAnswer(requestOf("bytes=0-2000"), head, text.length);
    if (answer.kind !== "cut") throw new Error(answer.kind);
    const body = scrubber.body("in-place", sessionOf(), answer.edges);
    expect(run(body, Buffer.from(text)).toString()).toBe(`${"-".repeat(800)}${"*".repeat(10)}`);
    expect(narrowPartHead(head, answer)).toBe(head);
  });

  it("without a size ends where the bytes end", () => {
    const whole = Buffer.from(`${"-".repeat(700)}end`);
    expect(ask(whole, "bytes=690-800", [], false)).toMatchObject({ status: 206, range: "bytes 690-702/*" });
    expect(ask(whole, "bytes=703-", [], false)).toEqual({ status: 416, range: undefined, body: Buffer.alloc(0) });
  });

  it("is malformed where another part came, or one of another length", () => {
    const malformed = { kind: "malformed" };
    expect(readPartAnswer(requestOf("bytes=0-9"), partHead(500, 599, 9000), 100)).toEqual(malformed);
    expect(readPartAnswer(requestOf("bytes=700-709"), partHead(0, 99, 9000), 100)).toEqual(malformed);
    expect(readPartAnswer(requestOf("bytes=0-9"), partHead(0, 99, 9000), 101)).toEqual(malformed);
  });

  it("loses the digests of the part that came", () => {
    const head = headOf(
      { "Content-Range": "bytes 0-99/900", "Content-MD5": "x", ETag: '"v"', "X-Goog-Hash": "y" },
      206,
    );
    const answer = readPartAnswer(requestOf("bytes=0-9"), head, 100);
    expect(narrowPartHead(head, answer).fields.map(({ name }) => name)).toEqual([
      "ETag",
      "X-Goog-Hash",
      "Content-Range",
    ]);
  });

  it("is left as it is where the range was not widened", () => {
    const head = partHead(100, 199, 9000);
    const edges = { kind: "part", start: true, end: true };
    const twice = { ...requestOf("bytes=100-199"), fields: fieldsOf({ Range: "bytes=100-199", "x-ms-range": "x" }) };
    expect(readPartAnswer(twice, head, 100)).toEqual({ kind: "whole", edges });
    const many = headOf({ "Content-Type": "multipart/byteranges; boundary=x" }, 206);
    expect(readPartAnswer(requestOf("bytes=0-9"), many, 100)).toEqual({ kind: "whole", edges: { kind: "byteranges" } });
  });
});
