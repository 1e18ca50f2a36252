import { describe, expect, it } from "vitest";
import { CompiledGrant } from "../../../src/core/substitution/compiled-grant.ts";
import { grant, parseLocation, placeholder } from "./requests.ts";

const compile = (locations: readonly string[], value = "a/b"): CompiledGrant =>
  new CompiledGrant(grant("A", value), locations.map(parseLocation), "pass");

describe("a compiled grant", () => {
  it("allows a whole surface, or only the named part of it", () => {
    const compiled = compile(["header:x-api-key", "query"]);
    expect(compiled.allows("header", "x-api-key")).toBe(true);
    expect(compiled.allows("header", "authorization")).toBe(false);
    expect(compiled.allows("header", undefined)).toBe(false);
    expect(compiled.allows("query", "any")).toBe(true);
    expect(compiled.allows("body", undefined)).toBe(false);
    expect([compiled.allowsSome("header"), compiled.allowsSome("body")]).toEqual([true, false]);
    expect([compiled.isNarrow("header"), compiled.isNarrow("query")]).toEqual([true, false]);
  });

  it("writes its value once for each context", () => {
    const compiled = compile(["query"]);
    expect(compiled.text("query")).toBe("a%2Fb");
    expect(compiled.bytes("query")).toBe(compiled.bytes("query"));
    expect(compile(["header"], "a\nb").text("header")).toBeUndefined();
  });

  it("has a key only if the placeholder is of our grammar", () => {
    expect(compile([]).key).toBe("a".repeat(25));
    const own = grant("A", "v", { placeholder: "sk-0123456789abcdefghij" });
    expect(new CompiledGrant(own, [], "pass").key).toBeUndefined();
    // What Daytona's own API hands out.
    const short = grant("A", "v", { placeholder: "dtn_secret_a7f3b2c1e9d4f6g8" });
    expect(new CompiledGrant(short, [], "pass").key).toBeUndefined();
    expect(placeholder("a").length).toBe(41);
  });
});
