import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hostOfIp, isIpLiteral, parseHost, parseWireHost } from "../../../src/core/authority/host.ts";
import { parseIp } from "../../../src/core/authority/ip.ts";

/** The canonical host, or the detail of the refusal in angle brackets. */
function read(text: string): string {
  const result = parseHost(text);
  return result.kind === "host" ? result.host : `<${result.detail}>`;
}

const label63 = "a".repeat(63);

describe("parseHost: one spelling for each host", () => {
  it.each([
    ["example.com", "example.com"],
    ["EXAMPLE.Com", "example.com"],
    ["example.com.", "example.com"],
    ["EXAMPLE.COM.", "example.com"],
    ["localhost", "localhost"],
    ["_acme.my_host.example", "_acme.my_host.example"],
    ["r3---sn-4g5e6nz7.example", "r3---sn-4g5e6nz7.example"],
    ["-a.example", "-a.example"],
    ["a-.example", "a-.example"],
    ["1password.com", "1password.com"],
    ["example.1a", "example.1a"],
    ["0xample.com", "0xample.com"],
    ["1.2.3.4.example", "1.2.3.4.example"],
    [`${label63}.example`, `${label63}.example`],
    [`${label63}.${label63}.${label63}.${"a".repeat(61)}`, `${label63}.${label63}.${label63}.${"a".repeat(61)}`],
    [`${label63}.${label63}.${label63}.${"A".repeat(61)}.`, `${label63}.${label63}.${label63}.${"a".repeat(61)}`],
  ])("name %s", (text, host) => {
    expect(read(text)).toBe(host);
  });

  it.each([
    ["bücher.example", "xn--bcher-kva.example"],
    ["BÜCHER.example", "xn--bcher-kva.example"],
    ["bu\u0308cher.example", "xn--bcher-kva.example"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["XN--BCHER-KVA.Example.", "xn--bcher-kva.example"],
    ["faß.example", "xn--fa-hia.example"],
    ["xn--i-7iq.example", "xn--i-7iq.example"],
    ["日本語。example", "xn--wgv71a119e.example"],
    ["ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"],
    ["example。com", "example.com"],
    ["example｡com。", "example.com"],
    ["\u212aelvin.example", "kelvin.example"],
    ["ⓔxample.com", "example.com"],
    ["１２７.１", "127.0.0.1"],
    ["نامه\u200cای.example", "xn--mgba3gch31f060k.example"],
  ])("international name %s", (text, host) => {
    expect(read(text)).toBe(host);
  });

  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["127.0.0.1.", "127.0.0.1"],
    ["127.1", "127.0.0.1"],
    ["127.0.1", "127.0.0.1"],
    ["2130706433", "127.0.0.1"],
    ["0x7f000001", "127.0.0.1"],
    ["0X7F.1", "127.0.0.1"],
    ["0x7f.0.0.0x1", "127.0.0.1"],
    ["0177.0.0.01", "127.0.0.1"],
    ["017700000001", "127.0.0.1"],
    ["1.2.3", "1.2.0.3"],
    ["192.168.257", "192.168.1.1"],
    ["0", "0.0.0.0"],
    ["0x", "0.0.0.0"],
    ["4294967295", "255.255.255.255"],
    ["[::1]", "::1"],
    ["::1", "::1"],
    ["[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"],
    ["[2001:db8::0.0.0.1]", "2001:db8::1"],
    ["[::ffff:127.0.0.1]", "127.0.0.1"],
    ["[::FFFF:7f00:1]", "127.0.0.1"],
    ["::ffff:169.254.169.254", "169.254.169.254"],
  ])("address %s", (text, host) => {
    expect(read(text)).toBe(host);
  });

  it.each([
    ["", /empty/],
    [".", /empty label/],
    ["..", /empty label/],
    [".example.com", /empty label/],
    ["a..b", /empty label/],
    ["example.com..", /empty label/],
    ["example.com.。", /empty label/],
    ["example。。com", /empty label/],
    [`${"a".repeat(64)}.example`, /63/],
    [`${label63}.${label63}.${label63}.${"a".repeat(62)}`, /253/],
    ["a.".repeat(600), /253/],
    ["ü".repeat(62), /63/],
    ["example.com\0", /control/],
    ["example.com\0.evil.example", /control/],
    ["exa\rmple.com", /control/],
    ["example.com\n", /control/],
    ["example.com\r\nHost: evil.example", /control/],
    ["exa\tmple.com", /control/],
    ["exa\x7fmple.com", /control/],
    [" example.com", /blank/],
    ["example.com ", /blank/],
    ["exa mple.com", /blank/],
    ["exa\u00a0mple.com", /blank/],
    ["example\u3000.com", /blank/],
    ["https://example.com", /scheme/],
    ["user@example.com", /user information/],
    ["example.com:443@evil.example", /user information/],
    ["user:password@example.com", /user information/],
    ["example.com/path", /slash/],
    ["example.com\\@evil.example", /user information/],
    ["example.com\\.evil.example", /slash/],
    ["example.com?q", /query/],
    ["example.com#f", /fragment/],
    ["%65xample.com", /%-escapes/],
    ["example%2ecom", /%-escapes/],
    ["example.com%00.evil.example", /%-escapes/],
    ["fe80::1%eth0", /zone/],
    ["[fe80::1%25eth0]", /zone/],
    ["*.example.com", /wildcard/],
    ["example.com:443", /port/],
    ["example.com:", /port/],
    ["exam!ple.com", /only letters/],
    ["a+b.example", /only letters/],
    ["a,b.example", /only letters/],
    ["a~b.example", /only letters/],
    ["a'b.example", /only letters/],
    ["<a>.example", /only letters/],
    ["a|b.example", /only letters/],
    ["exa\u00admple.com", /invisible/],
    ["exa\u200bmple.com", /invisible/],
    ["exa\u2060mple.com", /invisible/],
    ["\u202eexample.com", /invisible|IDNA/],
    ["a\u200cb.example", /IDNA/],
    ["a\u0080b.example", /IDNA/],
    ["a／b.example", /IDNA/],
    ["a＠b.example", /IDNA/],
    ["a％41.example", /IDNA/],
    ["a：80", /IDNA/],
    ["＊.example.com", /IDNA/],
    ["℀.example", /IDNA/],
    ["⒈example", /IDNA/],
    ["\ud800.example", /IDNA/],
    ["xn--", /punycode/],
    ["xn--a", /punycode/],
    ["xn--example-.com", /punycode/],
    ["xn--www--.example", /punycode/],
    ["a.XN--A-ECP.example", /punycode/],
    ["1.2.3.4.5", /IPv4/],
    ["256.0.0.1", /IPv4/],
    ["1.2.3.256", /IPv4/],
    ["1.2.65536", /IPv4/],
    ["4294967296", /IPv4/],
    ["08.0.0.1", /IPv4/],
    ["0x7g.1", /IPv4/],
    ["example.123", /IPv4/],
    ["example.0x1f", /IPv4/],
    ["1..2", /IPv4/],
    ["9".repeat(300), /IPv4/],
    ["[::1", /IPv6/],
    ["::1]", /IPv6/],
    ["[[::1]]", /IPv6/],
    ["[127.0.0.1]", /IPv6/],
    ["[example.com]", /IPv6/],
    ["[]", /IPv6/],
    ["[::1]:443", /IPv6/],
    ["[::1].", /IPv6/],
    ["1:2:3", /IPv6/],
    ["::ffff:127.1", /IPv6/],
    ["::ffff:0177.0.0.1", /IPv6/],
  ])("refuses %j", (text, detail) => {
    const result = parseHost(text);
    expect(result).toEqual({ kind: "invalid", detail: expect.stringMatching(detail) });
  });

  it("never repeats the text in a refusal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 12 }), (text) => {
        const result = parseHost(text);
        if (result.kind === "invalid") expect(result.detail).not.toContain(text);
      }),
    );
  });
});

const hostish = fc.oneof(
  fc.domain(),
  fc.ipV4Extended(),
  fc.ipV6(),
  fc.webAuthority(),
  fc.string({ unit: fc.constantFrom(..."abxnXN019.-_:[]%@/ \0é。ß１Ａ\u00ad\u200d") }),
  fc.string({ unit: fc.constantFrom(..."0123456789abcdefx.") }),
  fc.string({ unit: "binary" }),
);

describe("properties", () => {
  it("is idempotent, and its output has no other characters than a host may have", () => {
    fc.assert(
      fc.property(hostish, (text) => {
        const first = parseHost(text);
        if (first.kind === "invalid") return;
        expect(parseHost(first.host)).toEqual(first);
        expect(first.host).toMatch(/^(?:[a-z0-9._-]+|[0-9a-f:]+)$/);
        expect(first.host).not.toMatch(/\.$|\.\.|^\./);
        expect(first.host.length).toBeLessThanOrEqual(253);
      }),
      { numRuns: 5000 },
    );
  });

  it("reads what it accepts as the platform's URL parser does", () => {
    fc.assert(
      fc.property(hostish, (text) => {
        const result = parseHost(text);
        if (result.kind === "invalid" || text.includes(":")) return;
        const url = URL.parse(`http://${text}/`);
        expect(url?.hostname.replace(/\.$/, "")).toBe(result.host);
      }),
      { numRuns: 5000 },
    );
  });

  it("gives every case and one trailing dot the same host", () => {
    fc.assert(
      fc.property(fc.domain(), fc.infiniteStream(fc.boolean()), (domain, upper) => {
        const mixed = [...domain].map((each) => (upper.next().value ? each.toUpperCase() : each)).join("");
        expect(parseHost(mixed)).toEqual(parseHost(domain));
        expect(parseHost(`${mixed}.`)).toEqual(parseHost(domain));
      }),
    );
  });

  it("gives every spelling of an IPv4 address the same host", () => {
    const part = (radix: number) => (value: number) =>
      radix === 8 ? `0${value.toString(8)}` : radix === 16 ? `0x${value.toString(16)}` : String(value);
    const radix = fc.constantFrom(8, 10, 16);
    fc.assert(
      fc.property(
        fc.ipV4(),
        fc.tuple(radix, radix, radix, radix),
        fc.integer({ min: 1, max: 4 }),
        (quad, radixes, n) => {
          const bytes = quad.split(".").map(Number);
          const rest = bytes.slice(n - 1).reduce((sum, byte) => sum * 256 + byte, 0);
          const text = [...bytes.slice(0, n - 1), rest]
            .map((value, index) => part(radixes[index] ?? 10)(value))
            .join(".");
          expect(read(text)).toBe(quad);
          expect(read(`[::ffff:${quad}]`)).toBe(quad);
        },
      ),
    );
  });
});

describe("parseWireHost", () => {
  it("refuses bytes beyond ASCII, whose encoding nobody knows", () => {
    expect(parseWireHost("b\xfccher.example")).toEqual({ kind: "invalid", detail: expect.stringMatching(/xn--/) });
    expect(parseWireHost(Buffer.from("bücher.example").toString("latin1")).kind).toBe("invalid");
  });

  it("reads ASCII as parseHost does", () => {
    fc.assert(
      fc.property(fc.oneof(fc.domain(), fc.string({ unit: "binary-ascii" }), fc.ipV4Extended(), fc.ipV6()), (text) => {
        expect(parseWireHost(text)).toEqual(parseHost(text));
      }),
    );
  });
});

describe("isIpLiteral", () => {
  it("tells addresses from names", () => {
    const literal = (text: string) => {
      const result = parseHost(text);
      return result.kind === "host" && isIpLiteral(result.host);
    };
    expect(["127.1", "[::1]", "0x7f000001", "[::ffff:1.2.3.4]"].map(literal)).toEqual([true, true, true, true]);
    expect(["example.com", "1.2.3.4.example", "example.1a", "a1", "xn--p1ai"].map(literal)).not.toContain(true);
  });

  it("agrees with parseIp on every host", () => {
    fc.assert(
      fc.property(hostish, (text) => {
        const result = parseHost(text);
        if (result.kind === "host") expect(isIpLiteral(result.host)).toBe(parseIp(result.host) !== undefined);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("hostOfIp", () => {
  it("is the host that the address's text would give", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const ip = parseIp(text);
        expect(ip).toBeDefined();
        if (ip !== undefined) expect(parseHost(text)).toEqual({ kind: "host", host: hostOfIp(ip) });
      }),
    );
  });
});
