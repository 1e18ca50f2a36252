import zlib from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BodyTransform } from "../../../src/core/message.ts";
import { planRequestBody } from "../../../src/core/substitution/body-plan.ts";
import { type MessageCodec, MessageTransform, maxMessageBytes } from "../../../src/core/substitution/messages.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";
import { cutsOf, grant, request, run as runRequest, scopeFor } from "./requests.ts";
import { grantOf, placeholderOf, run, sessionOf } from "./scrub-support.ts";

const value = "0123456789abcdefghijklmnopqrstuvwxyz";
const placeholder = placeholderOf("a");
const scrubber = new Scrubber([grantOf("S", value, placeholder)]);

const codec: MessageCodec = {
  decode(coding, bytes, maxOutputLength) {
    expect(coding).toBe("gzip");
    try {
      return zlib.gunzipSync(bytes, { maxOutputLength });
    } catch {
      return undefined;
    }
  },
  encode: (_, bytes) => zlib.gzipSync(bytes),
};

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

function scrubbing(faults: string[] = []): BodyTransform {
  return new MessageTransform({
    coding: "gzip",
    codec,
    makeRewrite: () => scrubber.body("in-place", sessionOf()),
    holdsCuts: true,
    onUnreadable() {
      faults.push("fault");
      return false;
    },
  });
}

function scrub(body: Buffer, cuts: readonly number[] = [], faults: string[] = []): Buffer {
  return run(scrubbing(faults), body, cuts);
}

describe("a request of messages", () => {
  it("is changed also where its message never ends, or is none", () => {
    const own = placeholderOf("b", 40);
    const scope = scopeFor([grant("A", "e".repeat(40), { placeholder: own })]);
    const head = request("/", ["Content-Type", "application/grpc"]);
    for (const body of [prefixed(Buffer.from(own), 0).fill(1, 1, 2), Buffer.from(own)]) {
      const plan = planRequestBody(head, body.length, scope, { bufferBytes: 1000, codec });
      if (plan.kind === "untouched") throw new Error("untouched");
      expect(runRequest(plan.transform, body, scope).includes("e".repeat(40))).toBe(true);
      expect(plan.transform.changed).toBe(true);
    }
  });
});

describe("scrubbing messages", () => {
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
    const transform = scrubbing();
    const emitted: Buffer[] = [];
    transform.push(frame("first", true), (bytes) => emitted.push(bytes));
    expect(messagesOf(Buffer.concat(emitted))).toEqual(["first"]);
  });

  it("breaks off where messages cannot be read or are beyond the bound", () => {
    const bodies = [
      prefixed(Buffer.from("this is no gzip"), 1),
      frame(Buffer.alloc(maxMessageBytes + 1), true),
      Buffer.from([1, 0xff, 0xff, 0xff, 0xff, 0]),
      Buffer.from("no messages at all"),
    ];
    for (const body of bodies) {
      const faults: string[] = [];
      const after = frame(value, false);
      expect(scrub(Buffer.concat([body, after]), [], faults)).toEqual(Buffer.alloc(0));
      expect(faults).toEqual(["fault"]);
    }
  });

  it("does not bound what it need not hold", () => {
    const body = frame(`${"y".repeat(15_000)}${value}`, false);
    expect(scrub(body, [7000, 14_000, 15_010])).toHaveLength(body.length);
    expect(scrub(body).includes(value)).toBe(false);
  });

  it("holds nothing back at a message's end but what may be cut out of a value, until the next one has begun", () => {
    const emitted: Buffer[] = [];
    const emit = (bytes: Buffer) => emitted.push(Buffer.from(bytes));
    const transform = scrubbing();
    const short = frame(`text ${value.slice(0, 3)}`, false);
    transform.push(short, emit);
    expect(Buffer.concat(emitted)).toEqual(short);
    const cut = frame(`text ${value.slice(0, 20)}`, false);
    transform.push(cut, emit);
    expect(Buffer.concat(emitted)).toEqual(Buffer.concat([short, cut.subarray(0, -20)]));
    transform.push(Buffer.from([0]), emit);
    expect(Buffer.concat(emitted)).toEqual(Buffer.concat([short, cut]));
    expect(scrub(cut)).toEqual(cut);
  });

  it("cannot be led to cut a value by made-up lengths", () => {
    const body = Buffer.concat([frame("xx", false), Buffer.from(value)]);
    const cut = Buffer.concat([prefixed(Buffer.from(value.slice(0, 5)), 0), Buffer.from(value.slice(5))]);
    const late = Buffer.concat([prefixed(Buffer.from(value.slice(0, -1)), 0), Buffer.from(`${value.slice(-1)} rest`)]);
    const last = late.subarray(0, -5);
    for (const bytes of [body, cut, late, last]) {
      const faults: string[] = [];
      const scrubbed = scrub(bytes, [], faults);
      expect(scrubbed.includes(value.slice(0, 4))).toBe(false);
      expect(scrubbed.includes(value.slice(5))).toBe(false);
      expect(faults).toEqual(["fault"]);
    }
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

describe("substituting in messages", () => {
  const equal = "e".repeat(36);
  const known = placeholderOf("k");
  const unknown = placeholderOf("u");

  function plan(
    fields: readonly (readonly [string, string])[],
    scope = scopeFor([grant("E", equal, { placeholder: known })]),
  ) {
    const head = request("/", ["Content-Type", "application/grpc"], ...fields);
    const made = planRequestBody(head, "chunked", scope, { bufferBytes: 1000, codec });
    if (made.kind === "untouched") throw new Error(made.kind);
    return { scope, ...made };
  }

  it("writes values of equal length, compressed or not, however the body is cut", () => {
    const message = fc.record({
      text: fc.constantFrom("", known, `a ${known} ${unknown}`, `${known}${known}`),
      coded: fc.boolean(),
    });
    const body = fc
      .array(message, { maxLength: 5 })
      .map((messages) => ({ messages, bytes: Buffer.concat(messages.map(({ text, coded }) => frame(text, coded))) }))
      .chain(({ messages, bytes }) =>
        fc.record({ messages: fc.constant(messages), bytes: fc.constant(bytes), cuts: cutsOf(bytes.length) }),
      );
    fc.assert(
      fc.property(body, ({ messages, bytes, cuts }) => {
        const { transform, scope } = plan([["grpc-encoding", "gzip"]]);
        const out = runRequest(transform, bytes, scope, cuts);
        expect(messagesOf(out)).toEqual(messages.map(({ text }) => text.replaceAll(known, equal)));
        expect(transform.changed).toBe(messages.some(({ text }) => text.includes(known)));
      }),
      { numRuns: 200 },
    );
  });

  it("lets what it cannot read pass, and says so", () => {
    const bodies = [prefixed(Buffer.from("this is no gzip"), 1), Buffer.from([1, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])];
    for (const body of bodies) {
      const { transform, scope } = plan([["grpc-encoding", "gzip"]]);
      expect(runRequest(transform, body, scope, [3])).toEqual(body);
      expect(scope.notSubstituted).toEqual([{ surface: "body", reason: "coding-unreadable" }]);
    }
    const { transform, scope } = plan([["grpc-encoding", "snappy"]]);
    const body = Buffer.concat([prefixed(Buffer.from("snappy"), 1), frame(known, false)]);
    expect(runRequest(transform, body, scope, [])).toEqual(Buffer.concat([body.subarray(0, 11), frame(equal, false)]));
  });

  it("reads what is no messages as one stream", () => {
    const { transform, scope } = plan([]);
    expect(runRequest(transform, Buffer.from(`text ${known}`), scope, [7]).toString()).toBe(`text ${equal}`);
    expect(scope.notSubstituted).toEqual([]);
  });
});
