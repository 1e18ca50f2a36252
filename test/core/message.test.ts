import { describe, expect, it } from "vitest";
import { findField, makeField } from "../../src/core/message.ts";

describe("makeField", () => {
  it("keeps name and value as they are, and makes a key for comparing", () => {
    expect(makeField("X-API-Key", " a ")).toEqual({ name: "X-API-Key", key: "x-api-key", value: " a " });
  });
});

describe("findField", () => {
  const fields = [makeField("A", "1"), makeField("b", "2"), makeField("a", "3")];

  it("finds the first of a name, in any case", () => {
    expect(findField(fields, "a")).toBe(fields[0]);
    expect(findField(fields, "b")).toBe(fields[1]);
  });

  it("answers undefined where there is none", () => {
    expect(findField(fields, "c")).toBeUndefined();
    expect(findField([], "a")).toBeUndefined();
  });
});
