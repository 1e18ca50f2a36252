import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Authority,
  bracketed,
  formatAuthority,
  hostHeaderMatches,
  parseAuthority,
  parsePort,
} from "../../../src/core/authority/authority.ts";

function authority(text: string, scheme: "https" | "http" = "https", defaultPort?: number): Authority {
  const result = parseAuthority(text, scheme, defaultPort);
  if (result.kind === "invalid") throw new Error(`${text}: ${result.detail}`);
  return result.authority;
}

describe("parseAuthority", () => {
  it.each([
    ["example.com:8443", "example.com:8443"],
    ["EXAMPLE.com.:443", "example.com:443"],
    ["example.com", "example.com:443"],
    ["127.1:80", "127.0.0.1:80"],
    ["[::1]:80", "[::1]:80"],
    ["[2001:DB8::0:1]", "[2001:db8::1]:443"],
    ["[::ffff:192.0.2.1]:80", "192.0.2.1:80"],
    ["a:1", "a:1"],
    ["a:65535", "a:65535"],
  ])("reads %s", (text, canonical) => {
    expect(formatAuthority(authority(text))).toBe(canonical);
  });

  it("takes the port from the text, else from the caller, else from the scheme", () => {
    expect(authority("example.com:1", "http", 2).port).toBe(1);
    expect(authority("example.com", "http", 2).port).toBe(2);
    expect(authority("example.com", "http").port).toBe(80);
    expect(authority("example.com", "https").port).toBe(443);
  });

  it.each([
    ["", /empty/],
    [":443", /empty/],
    ["example.com:", /port/],
    ["example.com:0", /port/],
    ["example.com:65536", /port/],
    ["example.com:0443", /port/],
    ["example.com:+443", /port/],
    ["example.com:443 ", /port/],
    ["example.com:4\r\n", /port/],
    ["example.com:0x1bb", /port/],
    ["example.com:443/", /port/],
    ["example.com:99999999999999999999", /port/],
    ["example.com: 443", /port/],
    ["user@example.com:443", /user/],
    ["user:pw@example.com:443", /user/],
    ["example.com:443@evil.example:443", /user/],
    ["::1", /brackets/],
    ["2001:db8::1:443", /brackets/],
    ["a:b:1", /brackets/],
    ["[::1]443", /IPv6/],
    ["[::1", /IPv6|brackets/],
    ["::1]:443", /brackets/],
    ["[fe80::1%eth0]:443", /zone/],
    ["[127.0.0.1]:443", /IPv6/],
    ["https://example.com", /./],
    ["example.com/", /slash/],
    ["example.com#:443", /fragment/],
    ["exa\0mple.com:443", /control/],
    ["b\xfccher.example:443", /xn--/],
  ])("refuses %j", (text, detail) => {
    expect(parseAuthority(text, "https")).toEqual({ kind: "invalid", detail: expect.stringMatching(detail) });
  });

  it("reads back what it wrote", () => {
    const host = fc.oneof(
      fc.domain(),
      fc.ipV4Extended(),
      fc.ipV6().map((each) => `[${each}]`),
    );
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65_535 }), (text, port) => {
        const first = authority(`${text}:${port}`);
        expect(first.port).toBe(port);
        expect(authority(formatAuthority(first))).toEqual(first);
        expect(formatAuthority(first)).toBe(`${bracketed(first.host)}:${port}`);
      }),
    );
  });

  it("reads any text without throwing, and as the platform's URL parser where it accepts it", () => {
    const text = fc.oneof(fc.webAuthority(), fc.string({ unit: fc.constantFrom(..."ab1:.[]@%/\\0 \r\n") }));
    fc.assert(
      fc.property(text, (each) => {
        const result = parseAuthority(each, "http");
        if (result.kind === "invalid") return;
        const url = URL.parse(`http://${each}/`);
        expect(Number(url?.port || 80)).toBe(result.authority.port);
        expect(url?.username).toBe("");
        // Mapped IPv6 is IPv4 here, and a hexadecimal pair to URL.
        if (!each.startsWith("[")) expect(url?.hostname.replace(/\.$/, "")).toBe(result.authority.host);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("hostHeaderMatches", () => {
  const https = authority("example.com:8443");

  it.each(["example.com", "EXAMPLE.com", "example.com.", "example.com:8443", "Example.Com.:8443"])(
    "takes %j",
    (text) => {
      expect(hostHeaderMatches(https, text)).toBe(true);
    },
  );

  it.each([
    "",
    "evil.example",
    "example.com:443",
    "example.com:",
    "example.com:08443",
    "evil-example.com",
    "example.com.evil.example",
    "www.example.com",
    "example.com..",
    "user@example.com",
    "example.com@evil.example",
    "example.com:8443@evil.example",
    "example.com, evil.example",
    "example.com evil.example",
    " example.com",
    "example.com\0",
    "example.com/",
    "https://example.com",
    "exampl%65.com",
    "\xadexample.com",
    "example\xb7com",
  ])("refuses %j", (text) => {
    expect(hostHeaderMatches(https, text)).toBe(false);
  });

  it("knows addresses in every spelling, IPv6 in brackets only", () => {
    expect(hostHeaderMatches(authority("127.0.0.1:80"), "127.1")).toBe(true);
    expect(hostHeaderMatches(authority("127.0.0.1:80"), "[::ffff:127.0.0.1]:80")).toBe(true);
    expect(hostHeaderMatches(authority("[::1]:80"), "[0:0::1]")).toBe(true);
    expect(hostHeaderMatches(authority("[::1]:80"), "::1")).toBe(false);
    expect(hostHeaderMatches(authority("[::1]:80"), "[::1]:81")).toBe(false);
  });

  it("compares international names in their ASCII form", () => {
    expect(hostHeaderMatches(authority("xn--bcher-kva.example"), "XN--bcher-kva.example")).toBe(true);
    expect(hostHeaderMatches(authority("xn--bcher-kva.example"), "b\xfccher.example")).toBe(false);
  });
});

describe("parsePort", () => {
  it("takes plain decimals from 1 to 65535", () => {
    expect(["1", "443", "65535"].map(parsePort)).toEqual([1, 443, 65_535]);
    for (const text of ["", "0", "65536", "01", "-1", "1e3", "1.0", " 1", "1\n", "١"])
      expect(parsePort(text)).toBeUndefined();
  });
});
