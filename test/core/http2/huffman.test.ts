import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { huffmanLength, readHuffman, writeHuffman } from "../../../src/core/http2/huffman.ts";

function write(text: string): Buffer {
  const out = Buffer.alloc(4 * text.length + 8);
  const end = writeHuffman(text, out, 0);
  return out.subarray(0, end);
}

function read(bytes: Uint8Array): string | undefined {
  const out = Buffer.alloc(2 * bytes.length + 8);
  const length = readHuffman(bytes, 0, bytes.length, out);
  return length < 0 ? undefined : out.toString("latin1", 0, length);
}

/** RFC 7541 appendix C, and codes of appendix B from the short to the longest. */
const examples: readonly (readonly [string, string])[] = [
  ["", ""],
  ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
  ["no-cache", "a8eb10649cbf"],
  ["custom-key", "25a849e95ba97d7f"],
  ["custom-value", "25a849e95bb8e8b4bf"],
  ["302", "6402"],
  ["private", "aec3771a4b"],
  ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
  ["https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"],
  ["\0", "ffc7"],
  ["\n", "fffffff3"],
  ["\x16", "fffffffb"],
];

describe("Huffman code", () => {
  it.each(examples)("of %j", (text, hex) => {
    expect(write(text).toString("hex")).toBe(hex);
    expect(huffmanLength(text)).toBe(hex.length / 2);
    expect(read(Buffer.from(hex, "hex"))).toBe(text);
  });

  it("reads what it wrote, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const text = Buffer.from(bytes).toString("latin1");
        const written = write(text);
        expect(written.length).toBe(huffmanLength(text));
        expect(read(written)).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it("has one spelling for each text: what is read is written the same", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const text = read(bytes);
        if (text !== undefined) expect(write(text)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 5_000 },
    );
  });

  it.each([
    ["EOS", "ffffffff"],
    ["EOS behind a character", "1fffffffff"],
    ["a filling of eight bits", "1fff"],
    ["a filling that is not of ones", "18"],
    ["a code that is cut off", "fffffe"],
  ])("refuses %s", (_name, hex) => {
    expect(read(Buffer.from(hex, "hex"))).toBeUndefined();
  });
});
