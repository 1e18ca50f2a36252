import { describe, expect, it } from "vitest";
import type { Sighting, SubstitutionScope } from "../../../src/core/substitution/scope.ts";
import { grant, scopeFor } from "./requests.ts";

const body = { surface: "body", part: undefined } as const;

function sight(scope: SubstitutionScope, letter: string, altered = false): Sighting {
  const key = letter.repeat(25);
  return { key, grant: scope.view.index.byKey(key), altered };
}

describe("a scope", () => {
  const grants = [
    grant("A", "1"),
    grant("B", "2", { hosts: ["other.test"] }),
    grant("C", "3", { locations: ["header"] }),
  ];

  it("judges in a fixed order", () => {
    const scope = scopeFor(grants);
    expect(scope.judge(sight(scope, "z"), body)).toBe("unknown-placeholder");
    expect(scope.judge(sight(scope, "a", true), body)).toBe("placeholder-altered");
    expect(scope.judge(sight(scope, "b"), body)).toBe("host-not-allowed");
    expect(scope.judge(sight(scope, "c"), body)).toBe("surface-not-allowed");
    expect(scope.judge(sight(scope, "a"), { ...body, closed: "body-signed" })).toBe("body-signed");
    expect(scope.judge(sight(scope, "a"), body)).toBe(sight(scope, "a").grant);
  });

  it("writes nothing without TLS", () => {
    const scope = scopeFor(grants, { secure: false });
    expect(scope.judge(sight(scope, "a"), body)).toBe("plain-http");
    expect(scope.judge(sight(scope, "b"), body)).toBe("host-not-allowed");
  });

  it("asks for an unknown key once", () => {
    const scope = scopeFor(grants);
    expect(scope.isOpen(sight(scope, "z"))).toBe(true);
    expect(scope.isOpen(sight(scope, "a"))).toBe(false);
    scope.markAsked("z".repeat(25));
    expect(scope.isOpen(sight(scope, "z"))).toBe(false);
  });

  it("stops asking at its bound", () => {
    const scope = scopeFor(grants);
    for (let i = 0; i < 1000; i++) scope.markAsked(`key${i}`);
    expect(scope.isOpen(sight(scope, "z"))).toBe(false);
  });

  it("records each thing once, and no more than 64", () => {
    const scope = scopeFor(grants);
    const { grant: found } = sight(scope, "a");
    scope.recordSubstituted(found!, "body");
    scope.recordSubstituted(found!, "body");
    scope.recordSubstituted(found!, "query");
    expect(scope.substituted).toEqual([
      { secret: "A", surface: "body" },
      { secret: "A", surface: "query" },
    ]);
    for (let i = 0; i < 3; i++) scope.recordRefused(sight(scope, "z"), "body", "unknown-placeholder");
    scope.recordRefused(sight(scope, "b"), "body", "host-not-allowed");
    expect(scope.notSubstituted).toEqual([
      { surface: "body", reason: "unknown-placeholder" },
      { secret: "B", surface: "body", reason: "host-not-allowed" },
    ]);
    const many = scopeFor(
      Array.from({ length: 100 }, (_, i) => grant(`N${i}`, "1", { placeholder: `sk-own-placeholder-${i}` })),
    );
    for (const own of many.view.index.own)
      many.recordRefused({ key: "", grant: own, altered: false }, "body", "plain-http");
    expect(many.notSubstituted).toHaveLength(64);
  });

  it("blocks by the policy of the grant, or of the sandbox where the placeholder is nobody's", () => {
    const strict = scopeFor([grant("A", "1", { onViolation: "pass" })], { onViolation: "block" });
    strict.recordRefused(sight(strict, "a"), "body", "surface-not-allowed");
    expect(strict.blocked).toBe(false);
    strict.recordRefused(sight(strict, "z"), "body", "unknown-placeholder");
    expect(strict.blocked).toBe(true);
    const lax = scopeFor([grant("A", "1", { onViolation: "block" })]);
    lax.recordRefused(sight(lax, "z"), "body", "unknown-placeholder");
    lax.recordUnread("body", "coding-unreadable");
    expect(lax.blocked).toBe(false);
    lax.recordRefused(sight(lax, "a"), "body", "surface-not-allowed");
    expect(lax.blocked).toBe(true);
  });
});
