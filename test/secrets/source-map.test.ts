import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cidrContains, formatIp, parseCidr, parseIp } from "../../src/core/authority/ip.ts";
import { SourceMap } from "../../src/secrets/source-map.ts";
import type { SourceEntry } from "../../src/secrets/wire.ts";

function entry(text: string, sandboxId: string): SourceEntry {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(text);
  return { cidr, sandboxId };
}

describe("the map of source addresses", () => {
  it("is empty to begin with", () => {
    expect(new SourceMap([]).find("10.0.0.1")).toBeUndefined();
  });

  it("does not take IPv6 for IPv4, but for its mapped form", () => {
    const map = new SourceMap([entry("0.0.0.0/0", "four"), entry("2001:db8::/32", "six")]);
    expect(map.find("2001:db8::1")).toBe("six");
    expect(map.find("::1")).toBeUndefined();
    expect(map.find("::ffff:192.0.2.1")).toBe("four");
  });

  it("looks past an interface's name", () => {
    expect(new SourceMap([entry("fe80::/10", "link")]).find("fe80::1%eth0")).toBe("link");
  });

  it.each(["", "a.example", "10.0.0", "10.0.0.1:80", "[::1]", "%"])("finds nobody for %j", (address) => {
    expect(new SourceMap([entry("0.0.0.0/0", "four"), entry("::/0", "six")]).find(address)).toBeUndefined();
  });

  it("agrees with looking at every block in turn", () => {
    const block = fc.tuple(fc.bigInt({ min: 0n, max: 255n }), fc.integer({ min: 20, max: 32 })).map(([low, prefix]) => {
      const address = 0x0a000000n | (low << 4n);
      const shift = BigInt(32 - prefix);
      return `${formatIp({ family: 4, value: (address >> shift) << shift })}/${prefix}`;
    });
    fc.assert(
      fc.property(fc.uniqueArray(block, { maxLength: 20 }), fc.bigInt({ min: 0n, max: 4095n }), (blocks, low) => {
        const entries = blocks.map((text) => entry(text, text));
        const address = formatIp({ family: 4, value: 0x0a000000n | low });
        const ip = parseIp(address);
        const expected = entries
          .filter(({ cidr }) => ip !== undefined && cidrContains(cidr, ip))
          .sort((a, b) => b.cidr.prefix - a.cidr.prefix)[0]?.sandboxId;
        expect(new SourceMap(entries).find(address)).toBe(expected);
      }),
    );
  });
});
