import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseProxyHeader } from "../../../src/core/wire/proxy-protocol.ts";

const text = (line: string): Buffer => Buffer.from(line, "latin1");
const signature = "0d0a0d0a000d0a515549540a";
const hex = (rest: string): Buffer => Buffer.from(signature + rest.replaceAll(" ", ""), "hex");

const whole: readonly (readonly [string, Buffer, string | undefined])[] = [
  ["version 1 over IPv4", text("PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n"), "192.0.2.7"],
  ["version 1 over IPv6", text("PROXY TCP6 2001:DB8::7 2001:db8::1 51000 443\r\n"), "2001:db8::7"],
  ["version 1 of an unknown client", text("PROXY UNKNOWN\r\n"), undefined],
  ["version 1 of an unknown client, with more", text("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), undefined],
  ["version 2 over IPv4", hex("21 11 000c c0000207 c6336401 c738 01bb"), "192.0.2.7"],
  ["version 2 with extensions", hex("21 11 0013 c0000207 c6336401 c738 01bb 04 0004 00000000"), "192.0.2.7"],
  [
    "version 2 over IPv6",
    hex("21 21 0024 20010db8000000000000000000000007 20010db8000000000000000000000001 c738 01bb"),
    "2001:db8::7",
  ],
  [
    "version 2 with a mapped address",
    hex("21 21 0024 00000000000000000000ffffc0000207 00000000000000000000ffffc6336401 c738 01bb"),
    "192.0.2.7",
  ],
  ["version 2, the balancer's own", hex("20 00 0000"), undefined],
  ["version 2, the balancer's own with an address", hex("20 11 000c c0000207 c6336401 c738 01bb"), undefined],
  ["version 2 of an unspecified client", hex("21 00 0000"), undefined],
  ["version 2 over a Unix socket", hex(`21 31 00d8 ${"00".repeat(216)}`), undefined],
];

describe("a header", () => {
  test.each(whole)("of %s tells the source, and takes no byte of what follows", (_name, bytes, source) => {
    const header = { kind: "header", source, length: bytes.length };
    expect(parseProxyHeader(bytes)).toEqual(header);
    expect(parseProxyHeader(Buffer.concat([bytes, text("GET / HTTP/1.1\r\n\r\n")]))).toEqual(header);
  });

  test.each(whole)("of %s is incomplete up to its last byte", (_name, bytes) => {
    for (let length = 0; length < bytes.length; length++) {
      expect(parseProxyHeader(bytes.subarray(0, length))).toEqual({ kind: "incomplete" });
    }
  });
});

test.each([
  ["an ordinary request", text("GET / HTTP/1.1\r\n")],
  ["another word", text("PROXX TCP4 ")],
  ["a lower-case word", text("proxy TCP4 192.0.2.7 198.51.100.1 51000 443\r\n")],
  ["an unknown protocol", text("PROXY UDP4 192.0.2.7 198.51.100.1 51000 443\r\n")],
  ["an address of the other family", text("PROXY TCP4 2001:db8::7 2001:db8::1 51000 443\r\n")],
  ["IPv4 where IPv6 was said", text("PROXY TCP6 192.0.2.7 198.51.100.1 51000 443\r\n")],
  ["octal-looking parts", text("PROXY TCP4 192.0.02.7 198.51.100.1 51000 443\r\n")],
  ["two blanks", text("PROXY TCP4  192.0.2.7 198.51.100.1 51000 443\r\n")],
  ["a port too high", text("PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n")],
  ["a port with a leading zero", text("PROXY TCP4 192.0.2.7 198.51.100.1 051 443\r\n")],
  ["no ports", text("PROXY TCP4 192.0.2.7 198.51.100.1\r\n")],
  ["a bare line feed", text("PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\nGET / HTTP/1.1\r\n")],
  ["a line longer than any", text(`PROXY UNKNOWN ${"x".repeat(200)}`)],
  ["version 3", hex("31 11 000c")],
  ["an unknown command", hex("22 11 000c")],
  ["datagrams", hex("21 12 000c c0000207 c6336401 c738 01bb")],
  ["an unknown family", hex("21 51 000c c0000207 c6336401 c738 01bb")],
  ["addresses that are cut off", hex("21 21 000c c0000207 c6336401 c738 01bb")],
  ["a header too long", hex("21 11 ffff")],
])("refuses %s", (_name, bytes) => {
  expect(parseProxyHeader(bytes)).toMatchObject({ kind: "malformed" });
});

describe("properties", () => {
  const damaged = fc
    .tuple(fc.nat(whole.length - 1), fc.nat(250), fc.nat(255))
    .map(([index, at, value]) =>
      Buffer.from((whole[index]?.[1] ?? Buffer.alloc(0)).map((byte, i) => (i === at ? value : byte))),
    );
  const anything = fc.oneof(
    damaged,
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([hex(""), bytes])),
    fc.string({ maxLength: 120 }).map((rest) => text(`PROXY ${rest}`)),
  );

  test("never throws, and what it says does not change as more arrives", () => {
    fc.assert(
      fc.property(anything, (bytes) => {
        let verdict: unknown;
        for (let length = 0; length <= bytes.length; length++) {
          const parsed = parseProxyHeader(bytes.subarray(0, length));
          if (verdict !== undefined) expect(parsed).toEqual(verdict);
          else if (parsed.kind !== "incomplete") verdict = parsed;
          if (parsed.kind === "header") expect(parsed.length).toBeLessThanOrEqual(length);
        }
      }),
    );
  });

  test("waits for a bounded number of bytes", () => {
    fc.assert(
      fc.property(fc.constantFrom(text("PROXY "), hex("21 11 1000"), hex("20")), (start) => {
        const long = Buffer.concat([start, Buffer.alloc(5000, 0x20)]);
        expect(parseProxyHeader(long).kind).not.toBe("incomplete");
      }),
    );
  });
});
