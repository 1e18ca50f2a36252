import zlib from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MessageCodec } from "../../../src/core/substitution/scrub-messages.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";
import { grantOf, placeholderOf, run, sessionOf } from "./scrub-support.ts";

const value = "0123456789abcdefghijklmnopqrstuvwxyz";
const placeholder = placeholderOf("a");
const scrubber = new Scrubber([grantOf("S", value, placeholder)]);
const maxBytes = 5000;

function codecOf(faults: string[] = []): MessageCodec {
  return {
    decode(coding, bytes, maxOutputLength) {
      expect(coding).toBe("gzip");
      try {
        return zlib.gunzipSync(bytes, { maxOutputLength });
      } catch {
        return undefined;
      }
    },
    encode: (_, bytes) => zlib.gzipSync(bytes),
    fault: () => faults.push("fault"),
  };
}

function frame(message: string | Buffer, compressed: boolean, flags = 0): Buffer {
  const bytes = compressed ? zlib.gzipSync(message, { level: 9 }) : Buffer.from(message);
  return prefixed(bytes, flags | (compressed ? 1 : 0));
}

function prefixed(bytes: Buffer, flags: number): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

function messagesOf(body: Buffer): string[] {
  const messages: string[] = [];
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32BE(at + 1);
    const bytes = body.subarray(at + 5, at + 5 + length);
    expect(bytes.length).toBe(length);
    const isCoded = (body.readUInt8(at) & 1) !== 0 && length > 0;
    messages.push((isCoded ? zlib.gunzipSync(bytes) : bytes).toString());
    at += 5 + length;
  }
  return messages;
}

function scrub(body: Buffer, cuts: readonly number[] = [], faults: string[] = []): Buffer {
  return run(scrubber.messages("gzip", sessionOf(), codecOf(faults), maxBytes), body, cuts);
}

describe("ScrubMessages", () => {
  it("scrubs compressed and other messages, lengths within kept, and codes anew only what it changed", () => {
    const clean = frame("nothing to see here ".repeat(20), true);
    const body = Buffer.concat([
      clean,
      frame(`a ${value} b`, true),
      frame(`c ${value} d`, false),
      frame(`{"${value}":1}`, false, 2),
    ]);
    const scrubbed = scrub(body);
    expect(scrubbed.subarray(0, clean.length)).toEqual(clean);
    expect(messagesOf(scrubbed).slice(1)).toEqual([`a ${placeholder} b`, `c ${placeholder} d`, `{"${placeholder}":1}`]);
    expect(scrubbed.at(-1 - `{"${value}":1}`.length - 4)).toBe(2);
  });

  it("passes empty messages, compressed or not", () => {
    const body = Buffer.concat([prefixed(Buffer.alloc(0), 1), prefixed(Buffer.alloc(0), 0), frame("", true)]);
    expect(scrub(body)).toEqual(body);
  });

  it("comes out the same however it is cut, each message as soon as it is whole", () => {
    const message = fc.record({
      text: fc.constantFrom("", "x", `${value}!`, "plain ".repeat(30)),
      coded: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), fc.array(fc.nat(600), { maxLength: 12 }), (messages, cuts) => {
        const body = Buffer.concat(messages.map(({ text, coded }) => frame(text, coded)));
        const scrubbed = scrub(body, cuts);
        expect(messagesOf(scrubbed)).toEqual(messages.map(({ text }) => text.replaceAll(value, placeholder)));
        expect(scrubbed).toEqual(scrub(body));
      }),
      { numRuns: 200 },
    );
    const transform = scrubber.messages("gzip", sessionOf(), codecOf(), maxBytes);
    const emitted: Buffer[] = [];
    transform.push(frame("first", true), (bytes) => emitted.push(bytes));
    expect(messagesOf(Buffer.concat(emitted))).toEqual(["first"]);
  });

  it("breaks off where a message cannot be read or is beyond the bound", () => {
    const bodies = [
      prefixed(Buffer.from("this is no gzip"), 1),
      frame(Buffer.alloc(maxBytes + 1), true),
      prefixed(Buffer.alloc(maxBytes + 1), 1),
    ];
    for (const body of bodies) {
      const faults: string[] = [];
      const after = frame(value, false);
      expect(scrub(Buffer.concat([body, after]), [], faults)).toEqual(Buffer.alloc(0));
      expect(faults).toEqual(["fault"]);
    }
  });

  it("does not bound what it need not hold", () => {
    const body = frame(`${"y".repeat(3 * maxBytes)}${value}`, false);
    expect(scrub(body, [7000, 14_000, 15_010])).toHaveLength(body.length);
    expect(scrub(body).includes(value)).toBe(false);
  });

  it("passes on what was cut off, unless no one could read it", () => {
    const whole = frame("first", true);
    expect(scrub(Buffer.concat([whole, Buffer.from([0, 0])]))).toEqual(Buffer.concat([whole, Buffer.from([0, 0])]));
    const plain = frame("second message", false).subarray(0, 10);
    expect(scrub(Buffer.concat([whole, plain]))).toEqual(Buffer.concat([whole, plain]));
    const coded = frame("third message", true).subarray(0, 12);
    expect(scrub(Buffer.concat([whole, coded]))).toEqual(Buffer.concat([whole, coded.subarray(0, 5)]));
  });
});
