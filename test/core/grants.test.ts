import { inspect } from "node:util";
import { describe, expect, expectTypeOf, it } from "vitest";
import type { Grant, SandboxGrants } from "../../src/core/grants.ts";
import { SecretValue } from "../../src/core/secret-value.ts";

describe("Grant", () => {
  const grant: Grant = {
    env: "OPENAI_API_KEY",
    name: "OPENAI",
    placeholder: "dtn_secret_0123456789abcdefghijklmno",
    value: new SecretValue("OPENAI", "v4lue"),
    hosts: [],
    locations: undefined,
    onViolation: undefined,
  };

  it("can be printed without its value", () => {
    for (const shown of [inspect(grant, { depth: 10, showHidden: true }), JSON.stringify(grant)]) {
      expect(shown).toContain("[secret OPENAI]");
      expect(shown).not.toContain("v4lue");
    }
  });

  it("holds its value as a SecretValue and nothing else", () => {
    expectTypeOf<Grant["value"]>().toEqualTypeOf<SecretValue>();
    expectTypeOf<string>().not.toExtend<Grant["value"]>();
  });

  it("is never changed in place, nor is the set that it belongs to", () => {
    expectTypeOf<Grant>().toEqualTypeOf<Readonly<Grant>>();
    expectTypeOf<SandboxGrants>().toEqualTypeOf<Readonly<SandboxGrants>>();
    expectTypeOf<SandboxGrants["grants"]>().toEqualTypeOf<readonly Grant[]>();
    expectTypeOf<SandboxGrants["retired"]>().toEqualTypeOf<readonly Grant[]>();
  });
});
