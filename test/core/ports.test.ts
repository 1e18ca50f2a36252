import { describe, expectTypeOf, it } from "vitest";
import type { AuditEvent } from "../../src/core/audit.ts";
import type { SandboxGrants } from "../../src/core/grants.ts";
import type { AuditSink, Clock, GrantSource, GrantsAnswer } from "../../src/core/ports.ts";

// Types alone: these fail in `npm run types`.
describe("ports", () => {
  it("take Date.now for a clock", () => {
    expectTypeOf(Date.now).toExtend<Clock>();
  });

  it("have a sink that answers nothing, so nobody waits for it", () => {
    expectTypeOf<AuditSink["record"]>().toEqualTypeOf<(event: AuditEvent) => void>();
  });

  it("answer at once or later, always with a reason", () => {
    expectTypeOf<ReturnType<GrantSource["get"]>>().toEqualTypeOf<GrantsAnswer | Promise<GrantsAnswer>>();
    expectTypeOf<ReturnType<GrantSource["refresh"]>>().toEqualTypeOf<GrantsAnswer | Promise<GrantsAnswer>>();
    expectTypeOf<ReturnType<GrantSource["getCurrent"]>>().toEqualTypeOf<GrantsAnswer | Promise<GrantsAnswer>>();
    expectTypeOf<GrantsAnswer["kind"]>().toEqualTypeOf<"grants" | "unknown-sandbox" | "unavailable">();
    expectTypeOf<Extract<GrantsAnswer, { kind: "grants" }>["grants"]>().toEqualTypeOf<SandboxGrants>();
  });

  it("are met by structure", () => {
    const source = {
      get: (_sandboxId: string): GrantsAnswer => ({ kind: "unknown-sandbox" }),
      refresh: async (_sandboxId: string, _key: string): Promise<GrantsAnswer> => ({ kind: "unavailable", detail: "" }),
      getCurrent: (_sandboxId: string): GrantsAnswer => ({ kind: "unknown-sandbox" }),
      hold: () => () => {},
      onChange: () => () => {},
    };
    expectTypeOf(source).toExtend<GrantSource>();
    expectTypeOf<Omit<typeof source, "refresh">>().not.toExtend<GrantSource>();
  });
});
