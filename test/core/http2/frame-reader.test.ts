import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clientPreface } from "../../../src/core/http2/frame.ts";
import { FrameReader } from "../../../src/core/http2/frame-reader.ts";
import { cuts, offsetsOf } from "../../fuzz/cuts.ts";
import { encodeFrame } from "../../support/http2-frames.ts";

function read(bytes: Buffer, at: readonly number[], expectsPreface: boolean): string[] {
  const said: string[] = [];
  const reader = new FrameReader(
    {
      onFrame: (type, flags, stream, payload, from, to) =>
        said.push(`${type} ${flags} ${stream} ${payload.subarray(from, to).toString("hex")}`),
      onOversize: () => said.push("oversize"),
      onOtherProtocol: () => said.push("other protocol"),
    },
    expectsPreface,
  );
  let from = 0;
  for (const end of [...at, bytes.length]) {
    reader.push(bytes.subarray(from, end));
    from = end;
  }
  return said;
}

const frames = fc.array(
  fc.record({
    type: fc.nat(255),
    flags: fc.nat(255),
    stream: fc.nat(0x7fff_ffff),
    payload: fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.constant(new Uint8Array(16_384))),
  }),
  { maxLength: 8 },
);

describe("frames", () => {
  it("are read whole, however they are cut", () => {
    fc.assert(
      fc.property(frames, cuts, fc.boolean(), (made, cut, expectsPreface) => {
        const bytes = Buffer.concat([
          ...(expectsPreface ? [clientPreface] : []),
          ...made.map(({ type, flags, stream, payload }) => encodeFrame(type, flags, stream, Buffer.from(payload))),
        ]);
        expect(read(bytes, offsetsOf(cut, bytes.length), expectsPreface)).toEqual(
          made.map(
            ({ type, flags, stream, payload }) => `${type} ${flags} ${stream} ${Buffer.from(payload).toString("hex")}`,
          ),
        );
      }),
    );
  });

  it("beyond the bound are refused by their head, and end the reading", () => {
    const bytes = Buffer.concat([encodeFrame(6, 0, 0, "12345678"), encodeFrame(0, 0, 1, Buffer.alloc(16_385))]);
    const expected = ["6 0 0 3132333435363738", "oversize"];
    expect(read(bytes, [], false)).toEqual(expected);
    expect(read(bytes, [20, 22, 26, 40], false)).toEqual(expected);
  });

  it("come behind the preface; anything else in its place is another protocol", () => {
    expect(read(Buffer.from("GET / HTTP/1.1\r\n\r\n"), [2], true)).toEqual(["other protocol"]);
    expect(read(Buffer.concat([clientPreface.subarray(0, 23), Buffer.from("x")]), [23], true)).toEqual([
      "other protocol",
    ]);
  });

  it("the reserved bit is ignored (RFC 9113 section 4.1)", () => {
    expect(read(encodeFrame(0, 0, 0x8000_0001), [], false)).toEqual(["0 0 1 "]);
  });
});
