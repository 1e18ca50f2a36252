import { format, inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { SecretValue } from "../../src/core/secret-value.ts";

const text = "v4lue-\u00e9-of-the-secret";
const secret = new SecretValue("OPENAI", text);

describe("SecretValue", () => {
  it("reveals its bytes", () => {
    expect(secret.reveal().toString("utf8")).toBe(text);
    expect(secret.byteLength).toBe(Buffer.byteLength(text));
    expect(new SecretValue("A", Buffer.of(0, 255)).reveal()).toEqual(Buffer.of(0, 255));
  });

  it("copies bytes that it is given", () => {
    const bytes = Buffer.from("before");
    const copy = new SecretValue("A", bytes);
    bytes.fill("x");
    expect(copy.reveal().toString()).toBe("before");
  });

  it.each([
    ["string conversion", String(secret)],
    ["a template", `${secret}`],
    ["joined text", [secret, secret].join()],
    ["JSON", JSON.stringify({ secret })],
    ["util.inspect", inspect(secret, { showHidden: true, depth: 10 })],
    ["util.inspect within an object", inspect({ a: [secret] }, { depth: 10 })],
    ["util.format", format("%s %o %O %j", secret, secret, secret, secret)],
    ["an error's message", new Error(`${secret}`, { cause: secret }).message],
    ["its own properties", JSON.stringify(Object.getOwnPropertyNames(secret)) + JSON.stringify({ ...secret })],
    ["a stack trace", inspect(new Error("failed", { cause: secret }))],
  ])("shows its name and not its value in %s", (_how, shown) => {
    expect(shown).not.toContain("v4lue");
    expect(shown).not.toContain(Buffer.from(text).toString("hex").slice(0, 12));
    // Buffers print as hex pairs.
    expect(shown).not.toContain("76 34 6c");
    expect(shown).toMatch(/OPENAI|name/);
  });

  it("is lost in a structured clone", () => {
    expect(inspect(structuredClone(secret))).not.toContain("v4lue");
  });

  it("compares values, not names", () => {
    expect(secret.equals(new SecretValue("OTHER", text))).toBe(true);
    expect(secret.equals(new SecretValue("OPENAI", `${text}x`))).toBe(false);
    expect(new SecretValue("A", "").equals(new SecretValue("B", Buffer.alloc(0)))).toBe(true);
  });
});
