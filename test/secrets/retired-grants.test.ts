import { describe, expect, it } from "vitest";
import { parseHostPattern } from "../../src/core/authority/pattern.ts";
import type { Grant } from "../../src/core/grants.ts";
import { SecretValue } from "../../src/core/secret-value.ts";
import { maxRetired, RetiredGrants, retiredForMs } from "../../src/secrets/retired-grants.ts";

function grant(name: string, value: string, hosts: string[] = ["a.example"]): Grant {
  return {
    env: name,
    name,
    placeholder: `dtn_secret_${name.toLowerCase().padEnd(25, "0")}`,
    value: new SecretValue(name, value),
    hosts: hosts.map((text) => {
      const result = parseHostPattern(text);
      if (result.kind !== "pattern") throw new Error(result.detail);
      return result.pattern;
    }),
    locations: undefined,
    onViolation: undefined,
  };
}

const texts = (grants: readonly Grant[]) => grants.map((each) => each.value.reveal().toString());

describe("retired grants", () => {
  it("are what the next answer no longer has", () => {
    const retired = new RetiredGrants();
    expect(retired.replace([], [grant("A", "1")], 0)).toEqual([]);
    expect(texts(retired.replace([grant("A", "1"), grant("B", "1")], [grant("A", "2")], 0))).toEqual(["1", "1"]);
  });

  it("are none where only the variable's name or the limits changed", () => {
    const retired = new RetiredGrants();
    const before = grant("A", "1");
    expect(retired.replace([before], [{ ...before, env: "OTHER", locations: [], onViolation: "block" }], 0)).toEqual(
      [],
    );
  });

  it("keep the hosts that a secret no longer has", () => {
    const retired = new RetiredGrants();
    const wide = grant("A", "1", ["a.example", "b.example"]);
    const narrow = grant("A", "1", ["b.example"]);
    expect(retired.replace([wide], [narrow], 0)).toEqual([wide]);
    // Widened again: what is granted covers what was retired.
    expect(retired.replace([narrow], [wide], 0)).toEqual([]);
  });

  it("take an unrestricted secret for wider than any", () => {
    const [anywhere, somewhere] = [grant("A", "1", []), grant("A", "1")];
    expect(new RetiredGrants().replace([somewhere], [anywhere], 0)).toEqual([]);
    expect(new RetiredGrants().replace([anywhere], [somewhere], 0)).toEqual([anywhere]);
  });

  it("tell a wildcard from its base", () => {
    const [wildcard, exact] = [grant("A", "1", ["*.a.example"]), grant("A", "1", ["a.example"])];
    expect(new RetiredGrants().replace([wildcard], [exact], 0)).toEqual([wildcard]);
  });

  it("leave after an hour, each in its time", () => {
    const retired = new RetiredGrants();
    retired.replace([grant("A", "1")], [grant("A", "2")], 0);
    retired.replace([grant("A", "2")], [grant("A", "3")], 1000);
    expect(retired.expiresAt).toBe(retiredForMs);
    expect(texts(retired.expire(retiredForMs))).toEqual(["2"]);
    expect(retired.expiresAt).toBe(retiredForMs + 1000);
    expect(retired.expire(retiredForMs + 1000)).toEqual([]);
    expect(retired.expiresAt).toBe(Number.POSITIVE_INFINITY);
  });

  it("count once however often a value came and went", () => {
    const retired = new RetiredGrants();
    const a = grant("A", "1");
    for (let i = 0; i < 5; i++) {
      retired.replace([a], [], i);
      retired.replace([], [a], i);
    }
    expect(retired.replace([a], [], 10)).toEqual([a]);
  });

  it("are bounded, the oldest forgotten first", () => {
    const retired = new RetiredGrants();
    let last: readonly Grant[] = [];
    for (let i = 0; i <= maxRetired; i++) last = retired.replace([grant("A", `${i}`)], [grant("A", `${i + 1}`)], i);
    expect(last).toHaveLength(maxRetired);
    expect(texts(last)[0]).toBe("1");
  });
});
