import { describe, expect, expectTypeOf, it } from "vitest";
import { type ChangeAction, changeActions } from "../../src/core/change-actions.ts";
import type { AuditEntry } from "../../src/core/store.ts";

describe("change actions", () => {
  it("are each named once, as what was done to what", () => {
    expect(new Set(changeActions).size).toBe(changeActions.length);
    for (const action of changeActions) expect(action).toMatch(/^[a-z]+(?:_[a-z]+)*\.[a-z]+(?:_[a-z]+)*$/);
  });

  it("are all that an entry of the trail can hold", () => {
    expectTypeOf<AuditEntry["action"]>().toEqualTypeOf<ChangeAction>();
  });
});
