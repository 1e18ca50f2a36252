import { describe, expect, it } from "vitest";
import { Draft } from "../../../src/core/substitution/draft.ts";
import type { Sighting, SubstitutionScope } from "../../../src/core/substitution/scope.ts";
import { grant, scopeFor } from "./requests.ts";

const place = { surface: "header", part: "x" } as const;

function sight(scope: SubstitutionScope, letter: string): Sighting {
  const key = letter.repeat(25);
  return { key, grant: scope.view.index.byKey(key), altered: false };
}

describe("a draft", () => {
  it("records nothing while a key is open", () => {
    const scope = scopeFor([grant("A", "value")], { onViolation: "block" });
    const first = new Draft(scope);
    expect(first.write(sight(scope, "a"), place, (found) => found.text("header"))).toBe("value");
    expect(first.write(sight(scope, "z"), place, () => "never")).toBeUndefined();
    expect(first.finish()).toEqual(["z".repeat(25)]);
    expect([scope.substituted, scope.notSubstituted, scope.blocked]).toEqual([[], [], false]);

    scope.markAsked("z".repeat(25));
    const second = new Draft(scope);
    second.write(sight(scope, "a"), place, (found) => found.text("header"));
    second.write(sight(scope, "z"), place, () => "never");
    expect(second.finish()).toEqual([]);
    expect(scope.substituted).toEqual([{ secret: "A", surface: "header" }]);
    expect(scope.notSubstituted).toEqual([{ surface: "header", reason: "unknown-placeholder" }]);
    expect(scope.blocked).toBe(true);
  });

  it("says so when a value has no form", () => {
    const scope = scopeFor([grant("A", "value")]);
    const draft = new Draft(scope);
    expect(draft.write(sight(scope, "a"), place, () => undefined)).toBeUndefined();
    draft.finish();
    expect(scope.notSubstituted).toEqual([{ secret: "A", surface: "header", reason: "unwritable-value" }]);
  });
});
