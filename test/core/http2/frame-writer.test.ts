import { expect, it } from "vitest";
import { FrameWriter } from "../../../src/core/http2/frame-writer.ts";
import { encodeFrame } from "../../support/http2-frames.ts";

it("writes frames as others do, and has room for what was reserved", () => {
  const out = new FrameWriter(16);
  const text = "caf\u00e9 ".repeat(20);
  out.reserve(9 + text.length);
  out.frame(text.length, 0x77, 0x85, 0x7fff_fffe);
  out.latin1(text);
  out.reserve(9 + 9);
  out.frame(9, 4, 1, 3);
  out.uint32(0xfedc_ba98);
  out.uint16(0x1234);
  out.bytes(Buffer.from("xyz"));
  expect(out.take()).toEqual(
    Buffer.concat([encodeFrame(0x77, 0x85, 0x7fff_fffe, text), encodeFrame(4, 1, 3, "\xfe\xdc\xba\x98\x12\x34xyz")]),
  );
  expect(out.take()).toHaveLength(0);
});
