import { BlockList } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Cidr, CidrSet, cidrContains, cidrsOverlap, parseCidr } from "../../../src/core/authority/cidr.ts";
import { formatIp, type IpAddress, parseIp } from "../../../src/core/authority/ip-address.ts";

function cidr(text: string): Cidr {
  const result = parseCidr(text);
  if (result === undefined) throw new Error(`not a CIDR block: ${text}`);
  return result;
}

function ip(text: string): IpAddress {
  const result = parseIp(text);
  if (result === undefined) throw new Error(`not an address: ${text}`);
  return result;
}

describe("parseCidr", () => {
  it.each([
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["192.0.2.1", "192.0.2.1/32"],
    ["192.0.2.1/32", "192.0.2.1/32"],
    ["2001:DB8::/32", "2001:db8::/32"],
    ["2001:db8::1", "2001:db8::1/128"],
    ["::/0", "::/0"],
    ["::ffff:10.0.0.0/104", "10.0.0.0/8"],
    ["::ffff:10.0.0.1", "10.0.0.1/32"],
  ])("reads %s", (text, canonical) => {
    expect(parseCidr(text)?.text).toBe(canonical);
  });

  it.each([
    "",
    "/8",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "10.0.0.0/+8",
    "10.0.0.0/8/8",
    "10.0.0.0/8 ",
    "10.0.0.0/255.0.0.0",
    "10/8",
    "2001:db8::/129",
    "::ffff:0:0/95",
    "::ffff:10.0.0.0/8",
    "example.com/8",
  ])("refuses %j", (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });

  it("refuses bits beyond the prefix", () => {
    expect(parseCidr("10.0.0.5/8")).toBeUndefined();
    expect(parseCidr("2001:db8::1/32")).toBeUndefined();
  });
});

const address4 = fc.ipV4();
const address6 = fc.ipV6().filter((text) => ip(text).family === 6);

/** A block around an address. */
function around(text: string, prefix: number): Cidr {
  const { family, value } = ip(text);
  const shift = BigInt((family === 4 ? 32 : 128) - prefix);
  return cidr(`${formatIp({ family, value: (value >> shift) << shift })}/${prefix}`);
}

describe("cidrContains", () => {
  it("agrees with the platform's block list", () => {
    const cases = fc.oneof(
      fc.record({
        a: address4,
        b: address4,
        prefix: fc.integer({ min: 0, max: 32 }),
        family: fc.constant("ipv4" as const),
      }),
      fc.record({
        a: address6,
        b: address6,
        prefix: fc.integer({ min: 0, max: 128 }),
        family: fc.constant("ipv6" as const),
      }),
    );
    fc.assert(
      fc.property(cases, fc.boolean(), ({ a, b, prefix, family }, same) => {
        const block = around(a, prefix);
        const list = new BlockList();
        list.addSubnet(a, prefix, family);
        const probe = same ? a : b;
        expect(cidrContains(block, ip(probe))).toBe(list.check(probe, family));
        expect(new CidrSet([block]).has(ip(probe))).toBe(list.check(probe, family));
      }),
    );
  });

  it("keeps the families apart, but for mapped addresses", () => {
    expect(cidrContains(cidr("::/0"), ip("10.0.0.1"))).toBe(false);
    expect(cidrContains(cidr("0.0.0.0/0"), ip("2001:db8::1"))).toBe(false);
    expect(cidrContains(cidr("10.0.0.0/8"), ip("::ffff:10.0.0.1"))).toBe(true);
  });
});

describe("cidrsOverlap", () => {
  it("holds exactly when one contains the other's first address", () => {
    const first = (block: Cidr) => ip(block.text.slice(0, block.text.indexOf("/")));
    const prefix = fc.integer({ min: 0, max: 32 });
    fc.assert(
      fc.property(address4, prefix, fc.oneof(address4, fc.constant(undefined)), prefix, (a, p, b, q) => {
        const [x, y] = [around(a, p), around(b ?? a, q)];
        const expected = cidrContains(x, first(y)) || cidrContains(y, first(x));
        expect(cidrsOverlap(x, y)).toBe(expected);
        expect(cidrsOverlap(y, x)).toBe(expected);
      }),
    );
    expect(cidrsOverlap(cidr("::/0"), cidr("0.0.0.0/0"))).toBe(false);
  });
});

describe("CidrSet", () => {
  it("has what any of its blocks contains", () => {
    const blocks = fc.array(
      fc.oneof(
        fc.tuple(address4, fc.integer({ min: 0, max: 32 })),
        fc.tuple(address6, fc.integer({ min: 0, max: 128 })),
      ),
    );
    fc.assert(
      fc.property(blocks, fc.oneof(address4, address6), (list, probe) => {
        const cidrs = list.map(([text, prefix]) => around(text, prefix));
        const set = new CidrSet(cidrs);
        expect(set.has(ip(probe))).toBe(cidrs.some((each) => cidrContains(each, ip(probe))));
        for (const [text] of list) expect(set.has(ip(text))).toBe(true);
      }),
    );
  });

  it("has nothing when it is empty", () => {
    expect(new CidrSet([]).has(ip("0.0.0.0"))).toBe(false);
  });
});
