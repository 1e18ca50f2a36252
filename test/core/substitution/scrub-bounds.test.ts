import { describe, expect, it } from "vitest";
import { SecretValue } from "../../../src/core/secret-value.ts";
import { shortValueWarning } from "../../../src/core/substitution/scrub-bounds.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";

/** What of a value of this length the scrubber takes out of an answer's body and of its fields. */
function scrubbed(bytes: number): { readonly body: boolean; readonly field: boolean } {
  const value = "Q".repeat(bytes);
  const placeholder = "dtn_secret_aaaaaaaaaaaaaaaaaaaaaaaaa";
  const grant = { env: "E", name: "N", placeholder, value: new SecretValue("N", value), hosts: [] };
  const scrubber = new Scrubber([{ ...grant, locations: undefined, onViolation: undefined }]);
  const session = { carried: new Set<string>(), found: () => {} };
  const head = { status: 200, reason: value, minor: 1 as const, fields: [] };
  return { body: scrubber.longestForm > 0, field: scrubber.scrubHead(head, session).reason !== value };
}

describe("shortValueWarning", () => {
  it.each([1, 3])("says that %i bytes are not scrubbed at all", (bytes) => {
    expect(scrubbed(bytes)).toEqual({ body: false, field: false });
    expect(shortValueWarning(bytes)).toContain("fewer than 4 bytes and is not scrubbed at all");
  });

  it.each([4, 7])("says that %i bytes are not scrubbed from bodies", (bytes) => {
    expect(scrubbed(bytes)).toEqual({ body: false, field: true });
    expect(shortValueWarning(bytes)).toContain("fewer than 8 bytes and is not scrubbed from bodies");
  });

  it("says nothing of 8 bytes", () => {
    expect(scrubbed(8)).toEqual({ body: true, field: true });
    expect(shortValueWarning(8)).toBeUndefined();
  });
});
