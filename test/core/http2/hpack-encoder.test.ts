import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameWriter } from "../../../src/core/http2/frame-writer.ts";
import { HpackDecoder } from "../../../src/core/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../../src/core/http2/hpack-encoder.ts";

const limits = { maxHeadBytes: 1024 * 1024, maxFields: 1000 };

function encode(encoder: HpackEncoder, list: readonly string[]): Buffer {
  const out = new FrameWriter(HpackEncoder.bound(list));
  encoder.write(list, out);
  return out.take();
}

const names = fc.constantFrom(":status", "content-type", "content-length", "x-a", "x-b", "set-cookie", "etag", "date");
const values = fc.oneof(
  fc.constantFrom("", "200", "404", "text/html", "a", "b"),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
  fc.nat(5_000).map((length) => "y".repeat(length)),
);
const lists = fc.array(fc.tuple(names, values), { maxLength: 12 }).map((pairs) => pairs.flat());

describe("the encoder", () => {
  it("is read back, over many heads and changes of the table's size, and keeps to its bound", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(lists, fc.option(fc.nat(5_000), { freq: 4 })), { maxLength: 12 }), (heads) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder(limits);
        for (const [list, size] of heads) {
          if (size !== null) encoder.resize(size);
          const block = encode(encoder, list);
          expect(block.length).toBeLessThanOrEqual(HpackEncoder.bound(list));
          expect(decoder.decode(block, 0, block.length)).toEqual(list);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("has what is said twice running in its table, and nothing that changes each time", () => {
    const encoder = new HpackEncoder();
    const head = (at: number) => [":status", "200", "server", "an origin", "x-id", `number ${at}`];
    const sizes = [0, 1, 2, 3].map((at) => encode(encoder, head(at)).length);
    expect(sizes[2]).toBeLessThan(sizes[1]!);
    // The status, the server, and a literal.
    expect(encode(encoder, head(4)).subarray(0, 2)).toEqual(Buffer.from([0x88, 0xbe]));
  });

  it.each(["authorization", "cookie", "set-cookie", "x-api-key"])("never has %s in a table", (name) => {
    const encoder = new HpackEncoder();
    for (let at = 0; at < 3; at++) expect(encode(encoder, [name, "a value"])[0]! & 0xf0).toBe(0x10);
  });

  it("tells the least size of the table that was asked for, then the last (RFC 7541 section 4.2)", () => {
    const encoder = new HpackEncoder();
    encoder.resize(0);
    encoder.resize(100);
    expect(encode(encoder, [":status", "200"]).toString("hex")).toBe("203f4588");
    expect(encode(encoder, [":status", "200"]).toString("hex")).toBe("88");
    // More than we hold is as good as what we hold.
    encoder.resize(65_536);
    expect(encode(encoder, [":status", "200"]).toString("hex")).toBe("3fe11f88");
  });
});
