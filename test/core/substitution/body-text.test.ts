import { describe, expect, it } from "vitest";
import { type BodyRules, type Locator, TextTransform } from "../../../src/core/substitution/body-text.ts";
import { grant, placeholder, run, scopeFor } from "./requests.ts";

const A = placeholder("a");
const RAW: BodyRules = { spelling: "plain", context: "raw", equalLength: false };

/** Writes down what it was shown. */
class Recorder implements Locator {
  seen = "";

  advance(bytes: Buffer, from: number, to: number): void {
    this.seen += bytes.toString("latin1", from, to);
  }

  part(): string {
    return String(this.seen.length);
  }
}

describe("the rewrite of a text", () => {
  it("shows its locator every byte once, as the client sent them", () => {
    const body = Buffer.from(`ab${A}cd${placeholder("z")}${A}e`);
    for (const step of [1, 3, 40, 1000]) {
      const locator = new Recorder();
      const scope = scopeFor([grant("A", "value", { locations: ["body:2"] })]);
      const transform = new TextTransform({ ...RAW, locator }, scope);
      const cuts = Array.from({ length: Math.floor(body.length / step) }, (_, i) => i * step);
      const out = run(transform, body, scope, cuts);
      expect(locator.seen).toBe(body.toString());
      expect(out.toString()).toBe(`abvaluecd${placeholder("z")}${A}e`);
    }
  });

  it("keeps the place in mind when another layer writes", () => {
    const locator = new Recorder();
    const scope = scopeFor([]);
    const transform = new TextTransform({ ...RAW, locator }, scope);
    const out: string[] = [];
    const emit = (bytes: Buffer): void => void out.push(bytes.toString());
    transform.push(Buffer.from("one dtn_"), emit);
    transform.end(emit);
    transform.skip(Buffer.from("two"));
    transform.push(Buffer.from("three"), emit);
    expect(out.join("")).toBe("one dtn_three");
    expect(locator.seen).toBe("one dtn_twothree");
  });

  it("writes nothing where the place is closed, and says why", () => {
    const scope = scopeFor([grant("A", "v"), grant("B", "v", { hosts: ["other.test"] })], { onViolation: "block" });
    const transform = new TextTransform({ ...RAW, closed: "body-signed" }, scope);
    const body = Buffer.from(A + placeholder("b"));
    expect(run(transform, body, scope).equals(body)).toBe(true);
    expect(transform.changed).toBe(false);
    expect(scope.blocked).toBe(true);
    expect(scope.notSubstituted.map((one) => one.reason)).toEqual(["body-signed", "host-not-allowed"]);
  });

  it("writes no value that holds a boundary", () => {
    const scope = scopeFor([grant("A", "x--edge")]);
    const transform = new TextTransform({ ...RAW, boundaries: [Buffer.from("--edge")] }, scope);
    expect(run(transform, Buffer.from(A), scope).toString()).toBe(A);
    expect(scope.notSubstituted).toEqual([{ secret: "A", surface: "body", reason: "unwritable-value" }]);
  });

  it("writes an empty value as nothing", () => {
    const scope = scopeFor([grant("A", "")]);
    expect(run(new TextTransform(RAW, scope), Buffer.from(`<${A}>`), scope).toString()).toBe("<>");
  });

  it("never looks at what it has put in", () => {
    const scope = scopeFor([grant("A", placeholder("b")), grant("B", "leak")]);
    const body = Buffer.from(`${A}${A}`);
    for (const cuts of [[], [10], [41], [60]]) {
      expect(run(new TextTransform(RAW, scope), body, scope, cuts).toString()).toBe(placeholder("b").repeat(2));
    }
    // Nor at what its beginning and the text after it make together.
    const half = scopeFor([grant("A", A.slice(0, 20)), grant("B", "leak")]);
    expect(run(new TextTransform(RAW, half), Buffer.from(A + A.slice(20)), half).toString()).toBe(A);
  });

  it("asks for each unknown key before it goes on", () => {
    const scope = scopeFor([]);
    const transform = new TextTransform(RAW, scope);
    const out: string[] = [];
    const emit = (bytes: Buffer): void => void out.push(bytes.toString());
    expect(transform.push(Buffer.from(`1${A}2${placeholder("b")}3`), emit)).toBe("a".repeat(25));
    expect(out).toEqual(["1"]);
    scope.markAsked("a".repeat(25));
    expect(transform.push(Buffer.alloc(0), emit)).toBe("b".repeat(25));
    expect(out.join("")).toBe(`1${A}2`);
    scope.markAsked("b".repeat(25));
    expect(transform.push(Buffer.alloc(0), emit)).toBeUndefined();
    expect(out.join("")).toBe(`1${A}2${placeholder("b")}3`);
  });
});
