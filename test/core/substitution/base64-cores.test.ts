import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { base64Cores } from "../../../src/core/substitution/base64-cores.ts";

describe("base64 cores", () => {
  it("stand at the position of their alignment, whatever surrounds the text", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 7 }), fc.uint8Array({ maxLength: 7 }), (before, after) => {
        const encoded = Buffer.concat([before, Buffer.from("dtn_secret_"), after]).toString("base64");
        const shift = before.length % 3;
        const core = base64Cores("dtn_secret_")[shift]!;
        const group = Math.floor(before.length / 3) * 4;
        expect(encoded.indexOf(core)).toBe(group + (shift === 0 ? 0 : shift + 1));
      }),
    );
  });
});
