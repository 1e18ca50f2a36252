import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatIp, ipFromBytes, parseIp, parseIpv4Number } from "../../../src/core/authority/ip-address.ts";

const format = (text: string) => {
  const ip = parseIp(text);
  return ip === undefined ? undefined : formatIp(ip);
};

describe("parseIp", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8::1", "2001:db8::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    ["0001:0002:0003:0004:0005:0006:0007:0008", "1:2:3:4:5:6:7:8"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["0:0:0:0:0:FFFF:c000:0201", "192.0.2.1"],
  ])("reads %s", (text, canonical) => {
    expect(format(text)).toBe(canonical);
  });

  it.each([
    "",
    ":",
    ":::",
    "::::",
    "1::2::3",
    ":1::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "::1:2:3:4:5:6:7:8",
    "12345::",
    "g::",
    "::1%lo",
    "[::1]",
    "::1.2.3.4:5",
    "1.2.3.4::",
    "::1.2.3",
    "::01.2.3.4",
    "1.2.3",
    "1.2.3.4.",
    "01.2.3.4",
    "1.2.3.256",
    "0x1.2.3.4",
    "1.2.3.4 ",
    "1.2.3.4\n",
    "1e1.2.3.4",
    "1:2:3:4:5:6:7:1.2.3.4",
  ])("refuses %j", (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  it("accepts what the platform accepts, but for zone ids", () => {
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.string({ unit: fc.constantFrom(":", "::", "0", "1", "ff", "abcd", "1.2.3.4", "."), maxLength: 12 }),
      fc.string({ unit: fc.constantFrom(..."0123456789."), maxLength: 16 }),
    );
    fc.assert(
      fc.property(text, (each) => {
        expect(parseIp(each) !== undefined).toBe(isIP(each) !== 0);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("formatIp", () => {
  it("writes IPv6 as the platform's URL serializer does (RFC 5952), and reads it back", () => {
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const ip = parseIp(groups.map((each) => each.toString(16)).join(":"));
        expect(ip).toBeDefined();
        if (ip === undefined || ip.family === 4) return;
        const text = formatIp(ip);
        expect(`[${text}]`).toBe(URL.parse(`http://[${groups.map((each) => each.toString(16)).join(":")}]/`)?.hostname);
        expect(parseIp(text)).toEqual(ip);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("ipFromBytes", () => {
  it("reads 4 and 16 bytes in network order, and no other number", () => {
    expect(ipFromBytes(Uint8Array.of(192, 0, 2, 1))).toEqual(parseIp("192.0.2.1"));
    expect(ipFromBytes(Buffer.from("20010db8000000000000000000000001", "hex"))).toEqual(parseIp("2001:db8::1"));
    for (const length of [0, 3, 5, 15, 17]) expect(ipFromBytes(new Uint8Array(length))).toBeUndefined();
  });

  it("takes an IPv4-mapped address for the IPv4 address", () => {
    expect(ipFromBytes(Buffer.from("00000000000000000000ffff7f000001", "hex"))).toEqual(parseIp("127.0.0.1"));
  });
});

describe("parseIpv4Number", () => {
  it("reads numbers as the platform's URL parser does", () => {
    const part = fc.oneof(
      fc.nat({ max: 300 }).map(String),
      fc.nat({ max: 2 ** 32 }).map(String),
      fc.nat({ max: 300 }).map((each) => `0${each.toString(8)}`),
      fc.nat({ max: 2 ** 32 }).map((each) => `0x${each.toString(16)}`),
      fc.constantFrom("", "0x", "00", "08", "0xg", "a"),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), fc.nat({ max: 255 }), (parts, last) => {
        // The last part is a number for certain, so that a URL parser takes the host for an address.
        const text = [...parts, last].join(".");
        const ip = parseIpv4Number(text);
        expect(ip === undefined ? undefined : formatIp(ip)).toBe(URL.parse(`http://${text}/`)?.hostname);
      }),
      { numRuns: 5000 },
    );
  });

  it("bounds its work on digits without end", () => {
    expect(parseIpv4Number("9".repeat(1_000_000))).toBeUndefined();
    expect(parseIpv4Number(`0x${"0".repeat(1_000_000)}`)).toBeUndefined();
  });
});
