import { describe, expect, expectTypeOf, it } from "vitest";
import type {
  AuditEvent,
  ExchangeEvent,
  NotSubstituted,
  RefusalEvent,
  Substitution,
  TunnelEvent,
} from "../../src/core/audit.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import type { Surface } from "../../src/core/grants.ts";
import type { NotSubstitutedReason } from "../../src/core/reasons.ts";
import type { SecretValue } from "../../src/core/secret-value.ts";

const common = { time: "2026-11-23T09:00:00.000Z", id: "1", sandbox: "s", way: "connect", authority: "a:443" } as const;
const events = [
  {
    ...common,
    type: "exchange",
    protocol: "h2",
    method: "GET",
    path: "/a",
    status: 200,
    error: undefined,
    requestBytes: 0,
    responseBytes: 5,
    firstByteMs: 1.5,
    durationMs: 2,
    substituted: [{ secret: "OPENAI", surface: "header" }],
    notSubstituted: [{ reason: "unknown-placeholder" }],
    scrubbed: ["OPENAI"],
  },
  { ...common, type: "tunnel", reason: "host-not-granted", sentBytes: 1, receivedBytes: 2, durationMs: 3 },
  { ...common, type: "refusal", error: "egress-denied", detail: "example.com" },
] as const satisfies readonly AuditEvent[];

describe("AuditEvent", () => {
  it.each(events)("$type is plain JSON", (event) => {
    expect(JSON.parse(JSON.stringify(event))).toEqual(event);
  });

  it("is told apart by its type, and there are three", () => {
    expectTypeOf<AuditEvent["type"]>().toEqualTypeOf<"exchange" | "tunnel" | "refusal">();
    expectTypeOf<Extract<AuditEvent, { type: "exchange" }>>().toEqualTypeOf<ExchangeEvent>();
    expectTypeOf<Extract<AuditEvent, { type: "tunnel" }>>().toEqualTypeOf<TunnelEvent>();
    expectTypeOf<Extract<AuditEvent, { type: "refusal" }>>().toEqualTypeOf<RefusalEvent>();
    expect(new Set(events.map((event) => event.type)).size).toBe(3);
  });

  it("speaks in the codes of the tables", () => {
    expectTypeOf<RefusalEvent["error"]>().toEqualTypeOf<ErrorCode>();
    expectTypeOf<NotSubstituted["reason"]>().toEqualTypeOf<NotSubstitutedReason>();
    expectTypeOf<Substitution["surface"]>().toEqualTypeOf<Surface>();
  });

  it("has no place for a value", () => {
    expectTypeOf<SecretValue>().not.toExtend<AuditEvent[keyof AuditEvent]>();
    expectTypeOf<SecretValue>().not.toExtend<Substitution["secret"]>();
    expectTypeOf<ExchangeEvent["scrubbed"]>().toEqualTypeOf<readonly string[]>();
  });
});
