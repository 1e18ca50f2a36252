import { describe, expect, it } from "vitest";
import { ByteSniffer } from "../../../src/core/substitution/sniffer.ts";

function sniff(bytes: Buffer, step: number): boolean {
  const sniffer = new ByteSniffer();
  for (let at = 0; at < bytes.length; at += step) sniffer.advance(bytes, at, Math.min(bytes.length, at + step));
  return sniffer.binary;
}

describe("the sniffer", () => {
  it.each([1, 7, 1000])("tells text from binary data by the first 512 bytes, in steps of %d", (step) => {
    expect(sniff(Buffer.from("plain\ttext\r\n\x1b[0mé"), step)).toBe(false);
    expect(sniff(Buffer.from("a\0b"), step)).toBe(true);
    expect(sniff(Buffer.from(`${"x".repeat(511)}\x01`), step)).toBe(true);
    expect(sniff(Buffer.from(`${"x".repeat(512)}\x01`), step)).toBe(false);
  });
});
