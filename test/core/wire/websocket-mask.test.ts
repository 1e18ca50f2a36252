import fc from "fast-check";
import { expect, test } from "vitest";
import { applyMask } from "../../../src/core/wire/websocket-mask.ts";
import { fuzzRuns, fuzzTimeoutMs } from "../../support/fuzz.ts";

const key = Buffer.of(0x37, 0xfa, 0x21, 0x3d);

test("masks as RFC 6455 section 5.7 does", () => {
  expect(applyMask(Buffer.from("Hello"), key, 0).toString("hex")).toBe("7f9f4d5158");
});

test(
  "every byte is XORed with its byte of the key, wherever the stretch begins",
  () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 1000 }), (content, at) => {
        const bytes = Buffer.from(content);
        const before = Buffer.from(bytes);
        const masked = applyMask(bytes, key, at);
        expect([...masked]).toEqual([...bytes].map((byte, index) => byte ^ key[(at + index) % 4]!));
        expect(bytes).toEqual(before);
        expect(applyMask(masked, key, at)).toEqual(bytes);
      }),
      fuzzRuns(200),
    );
  },
  fuzzTimeoutMs,
);
