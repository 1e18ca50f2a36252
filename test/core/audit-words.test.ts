import { describe, expect, it } from "vitest";
import type { AuditEvent, ExchangeEvent } from "../../src/core/audit.ts";
import { describeEvent, describeNotSubstituted, hostOf, outcomeOf } from "../../src/core/audit-words.ts";
import { type NotSubstitutedReason, notSubstitutedReasons } from "../../src/core/reasons.ts";
import { commonFields, exchangeEvent } from "../support/audit-events.ts";

const exchange = (more: Partial<ExchangeEvent>): ExchangeEvent =>
  exchangeEvent({ authority: "api.evil.test:443", ...more });
const withheld = { secret: "OPENAI", surface: "header", reason: "host-not-allowed" } as const;
const tunnel: AuditEvent = {
  ...commonFields,
  authority: "a.test:443",
  type: "tunnel",
  reason: "host-not-granted",
  sentBytes: 1,
  receivedBytes: 1,
  durationMs: 1,
};

describe("the words of an event", () => {
  it("name the secret and the host that is not on its list", () => {
    expect(describeEvent(exchange({ notSubstituted: [withheld] }))).toEqual([
      "not substituted: host api.evil.test is not on OPENAI's list",
    ]);
  });

  it("tell all that happened, in order", () => {
    const event = exchange({
      substituted: [{ secret: "A", surface: "basic" }],
      notSubstituted: [{ reason: "unknown-placeholder" }],
      scrubbed: ["A"],
      error: "upstream-timeout",
    });
    expect(describeEvent(event)).toEqual([
      "A was written into Basic credentials",
      "not substituted: no secret mounted in this sandbox has this placeholder",
      "scrubbed from the answer: A",
      "failed: The destination did not answer in time.",
    ]);
  });

  it("say so where there was nothing to substitute", () => {
    expect(describeEvent(exchange({}))).toEqual(["no placeholder in the request"]);
    expect(describeEvent(tunnel)).toEqual(["not opened up: no secret of this sandbox is for this host"]);
  });

  it("tell a refusal with what to do about it", () => {
    const refusal: AuditEvent = {
      ...commonFields,
      authority: undefined,
      type: "refusal",
      error: "egress-denied",
      detail: "x",
    };
    expect(describeEvent(refusal)).toEqual([
      "refused: The egress policy does not let this sandbox reach this host. (x)",
    ]);
  });

  it.each(Object.keys(notSubstitutedReasons) as NotSubstitutedReason[])(
    "exist for %s, with and without names",
    (reason) => {
      const named = describeNotSubstituted({ secret: "OPENAI", surface: "body", reason }, "h.test");
      const bare = describeNotSubstituted({ reason }, undefined);
      for (const words of [named, bare]) expect(words).toMatch(/^[^\s].{15,}[^.\s]$/);
      expect(named).not.toContain("undefined");
      expect(bare).not.toContain("undefined");
    },
  );
});

it.each([
  [exchange({}), "passed"],
  [exchange({ substituted: [{ secret: "A", surface: "path" }] }), "substituted"],
  [exchange({ substituted: [{ secret: "A", surface: "path" }], notSubstituted: [withheld] }), "withheld"],
  [exchange({ notSubstituted: [withheld], error: "violation-blocked" }), "refused"],
  [exchange({ substituted: [{ secret: "A", surface: "path" }], error: "upstream-closed" }), "failed"],
  [tunnel, "tunnelled"],
  [{ ...commonFields, authority: undefined, type: "refusal", error: "proxy-auth-required" }, "refused"],
  [{ ...commonFields, authority: undefined, type: "refusal", error: "internal" }, "failed"],
] satisfies [AuditEvent, string][])("what wants attention gives the outcome %#", (event, outcome) => {
  expect(outcomeOf(event)).toBe(outcome);
});

it("the host of an authority is without its port", () => {
  expect([hostOf("a.test:443"), hostOf("[::1]:443"), hostOf(undefined)]).toEqual(["a.test", "[::1]", undefined]);
});
