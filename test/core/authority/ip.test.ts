import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classifyIp, formatIp, type IpAddress, isInternal, parseIp } from "../../../src/core/authority/ip.ts";

function ip(text: string): IpAddress {
  const result = parseIp(text);
  if (result === undefined) throw new Error(`not an address: ${text}`);
  return result;
}

describe("classifyIp", () => {
  it.each([
    ["0.0.0.0", "unspecified"],
    ["0.1.2.3", "unspecified"],
    ["1.0.0.0", "public"],
    ["8.8.8.8", "public"],
    ["9.255.255.255", "public"],
    ["10.0.0.0", "private"],
    ["10.255.255.255", "private"],
    ["11.0.0.0", "public"],
    ["100.63.255.255", "public"],
    ["100.64.0.0", "cgnat"],
    ["100.127.255.255", "cgnat"],
    ["100.128.0.0", "public"],
    ["127.0.0.1", "loopback"],
    ["127.255.255.255", "loopback"],
    ["128.0.0.0", "public"],
    ["169.253.255.255", "public"],
    ["169.254.0.1", "link-local"],
    ["169.255.0.0", "public"],
    ["172.15.255.255", "public"],
    ["172.16.0.0", "private"],
    ["172.31.255.255", "private"],
    ["172.32.0.0", "public"],
    ["192.0.0.8", "reserved"],
    ["192.0.1.0", "public"],
    ["192.0.2.1", "documentation"],
    ["192.88.99.1", "reserved"],
    ["192.167.255.255", "public"],
    ["192.168.0.1", "private"],
    ["192.169.0.0", "public"],
    ["198.17.255.255", "public"],
    ["198.18.0.0", "benchmarking"],
    ["198.19.255.255", "benchmarking"],
    ["198.20.0.0", "public"],
    ["198.51.100.1", "documentation"],
    ["203.0.113.1", "documentation"],
    ["223.255.255.255", "public"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.255", "multicast"],
    ["240.0.0.0", "reserved"],
    ["255.255.255.254", "reserved"],
    ["255.255.255.255", "broadcast"],
  ])("%s is %s", (text, kind) => {
    expect(classifyIp(ip(text))).toBe(kind);
    expect(isInternal(ip(text))).toBe(kind !== "public");
  });

  it.each([
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["::2", "unspecified"],
    ["100::1", "reserved"],
    ["1fff:ffff::1", "reserved"],
    ["2001:2::1", "benchmarking"],
    ["2001:3::1", "public"],
    ["2001:4:112::1", "public"],
    ["2001:10::1", "reserved"],
    ["2001:20::1", "reserved"],
    ["2001:1ff:ffff::1", "reserved"],
    ["2001:200::1", "public"],
    ["2001:4860:4860::8888", "public"],
    ["2001:db7:ffff::1", "public"],
    ["2001:db8::1", "documentation"],
    ["2001:db9::1", "public"],
    ["2606:4700::1111", "public"],
    ["3fff::1", "documentation"],
    ["3fff:0fff:ffff::1", "documentation"],
    ["3fff:1000::1", "public"],
    ["4000::1", "reserved"],
    ["5f00::1", "reserved"],
    ["fbff::1", "reserved"],
    ["fc00::1", "private"],
    ["fdff:ffff::1", "private"],
    ["fe00::1", "reserved"],
    ["fe80::1", "link-local"],
    ["febf:ffff::1", "link-local"],
    ["fec0::1", "private"],
    ["ff02::1", "multicast"],
    ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"],
  ])("%s is %s", (text, kind) => {
    expect(classifyIp(ip(text))).toBe(kind);
    expect(isInternal(ip(text))).toBe(kind !== "public");
  });

  it.each([
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
  ])("%s is a metadata service", (text) => {
    expect(classifyIp(ip(text))).toBe("metadata");
  });

  it("judges a mapped address that was put together by hand", () => {
    expect(classifyIp({ family: 6, value: 0xffff_7f00_0001n })).toBe("loopback");
    expect(classifyIp({ family: 6, value: 0xffff_0808_0808n })).toBe("public");
  });
});

/** IPv4 as two groups of IPv6. */
function groups(quad: string): string {
  const bits = Number(ip(quad).value);
  return `${(bits >>> 16).toString(16)}:${(bits & 0xffff).toString(16)}`;
}

function inverted(quad: string): string {
  return groups(formatIp({ family: 4, value: ip(quad).value ^ 0xffff_ffffn }));
}

const forms: readonly (readonly [string, (quad: string) => string])[] = [
  ["mapped", (quad) => `::ffff:${quad}`],
  ["NAT64", (quad) => `64:ff9b::${quad}`],
  ["6to4", (quad) => `2002:${groups(quad)}::1`],
  ["Teredo's client", (quad) => `2001:0:808:808:0:0:${inverted(quad)}`],
  ["Teredo's server", (quad) => `2001:0:${groups(quad)}:0:0:${inverted("8.8.8.8")}`],
  ["ISATAP", (quad) => `2606:4700::5efe:${quad}`],
  ["ISATAP, global", (quad) => `2606:4700::200:5efe:${quad}`],
];

describe("IPv4 inside of IPv6", () => {
  it.each(forms)("%s is judged by the inner address", (_, form) => {
    fc.assert(
      fc.property(fc.ipV4(), (quad) => {
        expect(classifyIp(ip(form(quad)))).toBe(classifyIp(ip(quad)));
      }),
    );
    for (const quad of ["10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.0", "8.8.8.8"]) {
      expect(classifyIp(ip(form(quad)))).toBe(classifyIp(ip(quad)));
    }
  });

  it.each([
    ["IPv4-compatible", (quad: string) => `::${quad}`],
    ["IPv4-translated", (quad: string) => `::ffff:0:${quad}`],
  ])("%s is never public", (_, form) => {
    expect(classifyIp(ip(form("10.0.0.1")))).toBe("private");
    expect(classifyIp(ip(form("8.8.8.8")))).toBe("reserved");
  });

  it("finds an internal address at every place where local NAT64 may put it", () => {
    // By RFC 6052 2.2 with prefixes of 48, 56, 64 and 96 bits; the neighbours of 168.63.129.16 are all public.
    expect(classifyIp(ip("64:ff9b:1:a83f:81:1000::"))).toBe("metadata");
    expect(classifyIp(ip("64:ff9b:1:a8:3f:8110::"))).toBe("metadata");
    expect(classifyIp(ip("64:ff9b:1:0:a8:3f81:1000:0"))).toBe("metadata");
    expect(classifyIp(ip("64:ff9b:1::168.63.129.16"))).toBe("metadata");
    // A translator ignores what follows the address; a public one put there hides nothing.
    expect(classifyIp(ip("64:ff9b:1:0:a:0:108:808"))).toBe("private");
    expect(classifyIp(ip("64:ff9b:1::8.8.8.8"))).toBe("public");
    expect(classifyIp(ip("64:ff9b:1::"))).toBe("unspecified");
  });
});
