import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Authority, parseAuthority } from "../../../src/core/authority/authority.ts";
import {
  decideIntercept,
  type EgressDecision,
  type EgressPolicy,
  EgressRules,
  egressPatternMatches,
  parseEgressPattern,
} from "../../../src/core/authority/policy.ts";

function authority(text: string): Authority {
  const result = parseAuthority(text, "https");
  if (result.kind === "invalid") throw new Error(`${text}: ${result.detail}`);
  return result.authority;
}

function policy(lists: { allow?: readonly string[]; deny?: readonly string[] }): EgressPolicy {
  const parse = (texts: readonly string[] = []) =>
    texts.map((text) => {
      const result = parseEgressPattern(text);
      if (result.kind === "invalid") throw new Error(`${text}: ${result.detail}`);
      return result.pattern;
    });
  return { allow: parse(lists.allow), deny: parse(lists.deny) };
}

function decide(policies: readonly EgressPolicy[], target: string): EgressDecision {
  return new EgressRules(policies).decide(authority(target));
}

describe("parseEgressPattern", () => {
  it.each([
    ["example.com", "example.com", false, undefined],
    ["*.Example.com", "example.com", true, undefined],
    ["example.com:443", "example.com", false, 443],
    ["*.example.com:8443", "example.com", true, 8443],
    ["192.0.2.1:22", "192.0.2.1", false, 22],
    ["bücher.example:443", "xn--bcher-kva.example", false, 443],
    ["[2001:DB8::1]", "2001:db8::1", false, undefined],
    ["[2001:db8::1]:22", "2001:db8::1", false, 22],
    ["[::ffff:192.0.2.1]:22", "192.0.2.1", false, 22],
  ])("reads %s", (text, host, wildcard, port) => {
    const result = parseEgressPattern(text);
    expect(result).toMatchObject({ kind: "pattern", pattern: { text, host: { host, wildcard }, port } });
  });

  it("reads * and *:port as every host", () => {
    const pattern = { host: undefined, port: undefined };
    expect(parseEgressPattern("*")).toEqual({ kind: "pattern", pattern: { ...pattern, text: "*" } });
    expect(parseEgressPattern("*:25")).toEqual({ kind: "pattern", pattern: { ...pattern, text: "*:25", port: 25 } });
  });

  it.each([
    ["", /give a host/],
    [":443", /\*:PORT/],
    [":", /port must be/],
    ["example.com:", /port must be/],
    ["example.com:0", /port must be/],
    ["example.com:65536", /port must be/],
    ["example.com:443-445", /port must be/],
    ["example.com:*", /leave out the port/],
    ["*:*", /leave out the port/],
    ["*.", /name the domain/],
    ["*.:443", /name the domain/],
    ["a.*.example:443", /only at the start/],
    ["*example.com", /only at the start/],
    ["https://example.com", /scheme/],
    ["example.com/x", /path/],
    ["example.com:443/x", /path/],
    ["user:pw@example.com", /user information/],
    ["10.0.0.0/8", /address blocks/],
    ["10.0.0.0/8:443", /address blocks|path/],
    ["2001:db8::1", /brackets/],
    ["[::1", /IPv6/],
    ["[example.com]", /IPv6/],
    ["[192.0.2.1]:80", /IPv6/],
    ["[fe80::1%eth0]", /zone/],
    ["a.example, b.example", /blanks/],
    ["a.example,b.example", /entry of its own/],
  ])("refuses %j", (text, detail) => {
    expect(parseEgressPattern(text)).toEqual({ kind: "invalid", detail: expect.stringMatching(detail) });
  });
});

describe("EgressRules", () => {
  it("allows everything where nothing is listed", () => {
    expect(decide([], "example.com:443").kind).toBe("allowed");
    expect(decide([policy({}), policy({})], "example.com:443").kind).toBe("allowed");
  });

  it.each([
    ["example.com", true],
    ["api.example.com", true],
    ["example.com:8443", true],
    ["example.net:25", true],
    ["[2001:db8::1]:22", true],
    ["0x7f.1", true],
    ["EXAMPLE.com.:1", true],
    ["[::ffff:127.0.0.1]:80", true],
    ["example.net:443", false],
    ["ssh.example:443", false],
    ["ssh.example:22", true],
    ["[2001:db8::1]:443", false],
    ["evil-example.com:443", false],
  ])("denies by host and port: %s is %s", (target, denied) => {
    const deny = ["*.example.com", "*:25", "ssh.example:22", "[2001:db8::1]:22", "127.0.0.1"];
    expect(decide([policy({ deny })], target).kind).toBe(denied ? "denied" : "allowed");
  });

  it("allows what is on an allow list only", () => {
    const rules = [policy({ allow: ["*.example.com:443", "git.example:22", "*:853"] })];
    expect(decide(rules, "api.example.com:443").kind).toBe("allowed");
    expect(decide(rules, "git.example:22").kind).toBe("allowed");
    expect(decide(rules, "other.example:853").kind).toBe("allowed");
    expect(decide(rules, "api.example.com:80")).toMatchObject({ reason: "not-allow-listed", policy: 0 });
    expect(decide(rules, "git.example:443")).toMatchObject({ reason: "not-allow-listed", policy: 0 });
  });

  it("lets deny win over allow, in one policy and across them", () => {
    const both = policy({ allow: ["*.example.com", "*"], deny: ["evil.example.com"] });
    const explain = expect.stringContaining("evil.example.com");
    expect(decide([both], "evil.example.com:443")).toEqual({
      kind: "denied",
      reason: "deny-listed",
      policy: 0,
      explain,
    });
    const sandbox = policy({ deny: ["evil.example.com"] });
    expect(decide([policy({ allow: ["*"] }), sandbox], "evil.example.com:443")).toMatchObject({ policy: 1 });
    expect(decide([both], "good.example.com:443").kind).toBe("allowed");
  });

  it("lets a sandbox narrow what the deployment allows, never widen it", () => {
    const deployment = policy({ allow: ["*.example.com"] });
    const sandbox = policy({ allow: ["api.example.com", "example.net"] });
    expect(decide([deployment, sandbox], "api.example.com:443").kind).toBe("allowed");
    expect(decide([deployment, sandbox], "www.example.com:443")).toMatchObject({ policy: 1 });
    expect(decide([deployment, sandbox], "example.net:443")).toMatchObject({ policy: 0 });
  });

  it("allows exactly what every policy allows and none denies", () => {
    const entry = fc
      .tuple(fc.constantFrom("*", "a.example", "*.example", "*.a.example", "b.test"), fc.constantFrom("", ":1", ":2"))
      .map((parts) => parts.join(""));
    const lists = fc.record({ allow: fc.array(entry, { maxLength: 3 }), deny: fc.array(entry, { maxLength: 2 }) });
    const covers = (text: string, host: string, port: string) => {
      const [name = "", wanted] = text.split(":");
      const base = name.slice(2);
      const named =
        name === "*" || name === host || (name.startsWith("*.") && (host === base || host.endsWith(`.${base}`)));
      return named && (wanted === undefined || wanted === port);
    };
    fc.assert(
      fc.property(
        fc.array(lists, { maxLength: 2 }),
        fc.constantFrom("a.example", "x.a.example", "b.example", "b.test", "example", "aa.example.test"),
        fc.constantFrom("1", "2", "3"),
        (all, host, port) => {
          const hit = (texts: readonly string[]) => texts.some((text) => covers(text, host, port));
          const expected = all.every(({ allow, deny }) => !hit(deny) && (allow.length === 0 || hit(allow)));
          expect(decide(all.map(policy), `${host}:${port}`).kind).toBe(expected ? "allowed" : "denied");
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe("decideIntercept", () => {
  const base = { granted: false, mode: "granted", tunnelListed: false, blocks: false } as const;

  it("tunnels a host that no grant matches", () => {
    expect(decideIntercept(base)).toMatchObject({ kind: "tunnel", reason: "host-not-granted" });
  });

  it("intercepts where a grant matches, where all is intercepted, and where violations are blocked", () => {
    for (const change of [{ granted: true }, { mode: "all" as const }, { blocks: true }]) {
      expect(decideIntercept({ ...base, ...change }).kind).toBe("intercept");
    }
  });

  it("never opens up a host that is listed for tunnelling", () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.constantFrom("granted" as const, "all" as const),
        fc.boolean(),
        (granted, mode, blocks) => {
          const decision = decideIntercept({ granted, mode, tunnelListed: true, blocks });
          expect(decision).toMatchObject({ kind: "tunnel", reason: "tunnel-listed" });
        },
      ),
    );
  });

  it("explains itself", () => {
    for (const granted of [true, false]) {
      for (const tunnelListed of [true, false]) {
        expect(decideIntercept({ ...base, granted, tunnelListed }).explain).not.toBe("");
      }
    }
  });
});

describe("one pattern", () => {
  it.each([
    ["a.example", "a.example:8443", true],
    ["A.Example:8443", "a.example:8443", true],
    ["a.example:443", "a.example:8443", false],
    ["*.example", "a.example:1", true],
    ["*.example:2", "a.example:1", false],
    ["*", "a.example:1", true],
    ["*:2", "a.example:1", false],
    ["b.example", "a.example:1", false],
    ["[::1]", "[::1]:1", true],
  ])("%s for %s: %s", (text, target, wanted) => {
    const [pattern] = policy({ allow: [text] }).allow;
    expect(egressPatternMatches(pattern!, authority(target))).toBe(wanted);
  });
});
