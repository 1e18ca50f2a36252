import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Host, parseHost } from "../../../src/core/authority/host.ts";
import {
  HostMatcher,
  type HostPattern,
  parseHostPattern,
  patternMatches,
} from "../../../src/core/authority/pattern.ts";

function pattern(text: string): HostPattern {
  const result = parseHostPattern(text);
  if (result.kind === "invalid") throw new Error(`${text}: ${result.detail}`);
  return result.pattern;
}

function host(text: string): Host {
  const result = parseHost(text);
  if (result.kind === "invalid") throw new Error(`${text}: ${result.detail}`);
  return result.host;
}

describe("parseHostPattern", () => {
  it.each([
    ["api.example.com", "api.example.com", false],
    ["API.Example.com", "api.example.com", false],
    ["*.example.com", "example.com", true],
    ["*.EXAMPLE.com.", "example.com", true],
    ["example.com.", "example.com", false],
    ["localhost", "localhost", false],
    ["*.internal", "internal", true],
    ["my_host.example", "my_host.example", false],
    ["bücher.example", "xn--bcher-kva.example", false],
    ["*.BÜCHER.example", "xn--bcher-kva.example", true],
    ["xn--bcher-kva.example", "xn--bcher-kva.example", false],
    ["192.0.2.1", "192.0.2.1", false],
    ["r3---sn.example", "r3---sn.example", false],
  ])("reads %s", (text, canonical, wildcard) => {
    expect(parseHostPattern(text)).toEqual({ kind: "pattern", pattern: { text, host: canonical, wildcard } });
  });

  it.each([
    ["", /give a host name/],
    ["example.com:443", /remove the port/],
    ["*.example.com:443", /remove the port/],
    ["example.com:", /remove the port/],
    ["https://example.com", /remove the scheme/],
    ["https://example.com/path", /remove the scheme/],
    ["example.com/path", /remove the path/],
    ["example.com/", /remove the path/],
    ["example.com\\x", /remove the path/],
    ["example.com?q=1", /remove the query/],
    ["example.com#f", /remove the fragment/],
    ["user@example.com", /remove the user information/],
    ["user:pw@example.com", /remove the user information/],
    ["*", /bare \*/],
    ["*.", /name the domain/],
    ["*.*", /only at the start/],
    ["*.*.example.com", /only at the start/],
    ["a.*.example.com", /only at the start/],
    ["a*.example.com", /only at the start/],
    ["*a.example.com", /only at the start/],
    ["*example.com", /only at the start/],
    ["**.example.com", /only at the start/],
    ["example.*", /only at the start/],
    ["a..b", /empty label/],
    ["*.a..b", /empty label/],
    ["example.com..", /empty label/],
    [".example.com", /leading dot/],
    ["*..example.com", /leading dot/],
    [".", /leading dot/],
    [" example.com", /remove the blanks/],
    ["example.com\n", /remove the blanks/],
    ["exa mple.com", /remove the blanks/],
    ["example.com\r\n", /remove the blanks/],
    ["a.example,b.example", /entry of its own/],
    ["a.example;b.example", /entry of its own/],
    ["-a.example", /hyphen/],
    ["a-.example", /hyphen/],
    ["a.example-", /hyphen/],
    ["*.-a.example", /hyphen/],
    ["2001:db8::1", /IPv6/],
    ["[2001:db8::1]", /IPv6/],
    ["[::1]:443", /IPv6/],
    ["::ffff:192.0.2.1", /IPv6/],
    ["10.0.0.0/8", /address blocks/],
    ["2001:db8::/32", /address blocks/],
    ["*.192.0.2.1", /remove the \*\./],
    ["*.2.1", /remove the \*\./],
    ["*.0x7f", /remove the \*\./],
    ["example.com\0", /control/],
    ["%65xample.com", /%-escapes/],
    ["exa\u200bmple.com", /invisible/],
    ["＊.example.com", /IDNA/],
    [`${"a".repeat(64)}.example`, /63/],
    [`${"a.".repeat(127)}example`, /253/],
  ])("refuses %j", (text, detail) => {
    expect(parseHostPattern(text)).toEqual({ kind: "invalid", detail: expect.stringMatching(detail) });
  });
});

describe("patternMatches", () => {
  it.each([
    ["api.example.com", "api.example.com", true],
    ["api.example.com", "API.EXAMPLE.COM.", true],
    ["api.example.com", "www.api.example.com", false],
    ["api.example.com", "example.com", false],
    ["*.example.com", "example.com", true],
    ["*.example.com", "a.example.com", true],
    ["*.example.com", "a.b.c.example.com", true],
    ["*.example.com", "evil-example.com", false],
    ["*.example.com", "evilexample.com", false],
    ["*.example.com", "example.com.evil.net", false],
    ["*.example.com", "com", false],
    ["*.example.com", "example.net", false],
    ["*.bücher.example", "a.xn--bcher-kva.example", true],
    ["127.0.0.1", "0x7f.1", true],
    ["127.0.0.1", "[::ffff:127.0.0.1]", true],
    ["127.0.0.1", "127.0.0.2", false],
  ])("%s on %s: %s", (text, name, expected) => {
    expect(patternMatches(pattern(text), host(name))).toBe(expected);
  });
});

describe("HostMatcher", () => {
  it("gives each value once, in the order of the entries", () => {
    const matcher = new HostMatcher([
      [pattern("*.example.com"), "a"],
      [pattern("api.example.com"), "b"],
      [pattern("other.example"), "c"],
      [pattern("*.com"), "d"],
      [pattern("*.api.example.com"), "b"],
      [pattern("api.example.com"), "e"],
    ]);
    expect(matcher.size).toBe(6);
    expect(matcher.match(host("api.example.com"))).toEqual(["a", "b", "d", "e"]);
    expect(matcher.match(host("x.api.example.com"))).toEqual(["a", "d", "b"]);
    expect(matcher.match(host("example.com"))).toEqual(["a", "d"]);
    expect(matcher.match(host("other.example"))).toEqual(["c"]);
    expect(matcher.match(host("evil-example.net"))).toEqual([]);
  });

  it("answers every miss with the same empty list", () => {
    const matcher = new HostMatcher([[pattern("*.example.com"), 1]]);
    expect(matcher.match(host("a.example.net"))).toBe(matcher.match(host("evil-example.com")));
    expect(new HostMatcher([]).match(host("a"))).toEqual([]);
  });

  it("keeps bases apart whose hashes are equal", () => {
    // "5x" and "sv" read from their ends: 120 * 31 + 53 = 118 * 31 + 115.
    const matcher = new HostMatcher([
      [pattern("*.5x.example"), "5x"],
      [pattern("*.sv.example"), "sv"],
    ]);
    expect(matcher.match(host("a.5x.example"))).toEqual(["5x"]);
    expect(matcher.match(host("a.sv.example"))).toEqual(["sv"]);
    expect(new HostMatcher([[pattern("*.5x.example"), 1]]).match(host("a.sv.example"))).toEqual([]);
  });

  it("finds what testing every pattern would find", () => {
    const name = fc
      .array(fc.constantFrom("a", "b", "aa", "ab", "5x", "sv", "a-b", "xn--bcher-kva"), { minLength: 1, maxLength: 4 })
      .map((labels) => labels.join("."));
    const text = fc.tuple(fc.boolean(), name).map(([wildcard, each]) => (wildcard ? `*.${each}` : each));
    fc.assert(
      fc.property(fc.array(text, { maxLength: 20 }), name, (texts, probe) => {
        const patterns = texts.map(pattern);
        const matcher = new HostMatcher(patterns.map((each, index) => [each, index] as const));
        const expected = [...patterns.keys()].filter((index) => patternMatches(patterns[index]!, host(probe)));
        expect(matcher.match(host(probe))).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });
});
