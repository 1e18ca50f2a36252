import { describe, expect, it } from "vitest";
import { makeField, type RequestHead } from "../../../src/core/message.ts";
import { substituteHead, substituteTrailers } from "../../../src/core/substitution/head.ts";
import { grant, placeholder, request, scopeFor } from "./requests.ts";
import { type Expectation, readVectors, recordOf } from "./vectors.ts";

interface HeadCase extends Expectation {
  readonly target?: string;
  readonly fields?: readonly (readonly [string, string])[];
  readonly expectTarget?: string;
  readonly expectFields?: readonly (readonly [string, string])[];
  readonly unknown?: readonly string[];
}

const vectors = readVectors<HeadCase>("head.json");
const A = placeholder("a");

function build(target: string, fields: readonly (readonly [string, string])[]): RequestHead {
  const filled = fields.map(([name, value]) => [name, vectors.fill(value)] as const);
  return request(vectors.fill(target), ...filled);
}

describe("substitution in a head", () => {
  it.each(vectors.cases)("$name", (vector) => {
    const scope = vectors.scope();
    const target = vector.target ?? "/";
    const fields = vector.fields ?? [];
    const head = build(target, fields);
    if (vector.unknown !== undefined) {
      expect(substituteHead(head, scope)).toEqual({ kind: "unknown", keys: vector.unknown });
      expect(recordOf(scope)).toEqual({ substituted: [], notSubstituted: [] });
      for (const key of vector.unknown) scope.markAsked(key);
    }
    const result = substituteHead(head, scope);
    expect(result).toEqual({
      kind: "done",
      head: build(vector.expectTarget ?? target, vector.expectFields ?? fields),
    });
    if (vector.expectTarget === undefined && vector.expectFields === undefined) {
      expect(result.kind === "done" && result.head).toBe(head);
    }
    expect(recordOf(scope)).toEqual({
      substituted: [...(vector.substituted ?? [])].sort(),
      notSubstituted: [...(vector.notSubstituted ?? [])].sort(),
    });
  });

  it("gives back the same object where there is nothing to do", () => {
    const head = request("/a?b=%20", ["Authorization", "Basic dXNlcjpwYXNz"], ["X", "dtn_secret_short"]);
    expect(substituteHead(head, scopeFor([]))).toEqual({ kind: "done", head });
    const result = substituteHead(head, scopeFor([grant("A", "1")]));
    expect(result.kind === "done" && result.head).toBe(head);
  });

  it("names every unknown key once and records nothing until they were looked up", () => {
    const [y, z] = [placeholder("y"), placeholder("z")];
    const basic = `Basic ${Buffer.from(`u:${z}`).toString("base64")}`;
    const head = request(`/${y}`, ["X", `${z}${y}${A}`], ["Authorization", basic]);
    const scope = scopeFor([grant("A", "1")]);
    expect(substituteHead(head, scope)).toEqual({ kind: "unknown", keys: ["y".repeat(25), "z".repeat(25)] });
    expect(scope.substituted).toEqual([]);
    // The grants were fetched anew and have one of them now.
    scope.view = scopeFor([grant("A", "1"), grant("Y", "2")]).view;
    scope.markAsked("y".repeat(25));
    scope.markAsked("z".repeat(25));
    const result = substituteHead(head, scope);
    expect(result.kind === "done" && result.head.target).toBe("/2");
    expect(result.kind === "done" && result.head.fields[0]?.value).toBe(`${z}21`);
  });

  it("asks for a bounded number of keys", () => {
    const text = Array.from({ length: 40 }, (_, i) => placeholder(`q${i + 10}`)).join("");
    const result = substituteHead(request("/", ["X", text]), scopeFor([]));
    expect(result.kind === "unknown" && result.keys.length).toBe(16);
  });

  it("never looks at what it has put in", () => {
    const scope = scopeFor([grant("A", placeholder("b")), grant("B", "leak")]);
    const result = substituteHead(request(`/${A}`, ["X", A]), scope);
    expect(result.kind === "done" && result.head.fields[0]?.value).toBe(placeholder("b"));
    expect(result.kind === "done" && result.head.target).toBe(`/${placeholder("b")}`);
  });
});

describe("substitution in trailers", () => {
  it("obeys the rules of header fields", () => {
    const scope = scopeFor([grant("A", "v")]);
    const fields = [makeField("X-Token", A), makeField("User-Agent", A)];
    const result = substituteTrailers(fields, scope);
    expect(result).toEqual({ kind: "done", fields: [makeField("X-Token", "v"), fields[1]] });
    const clean = [makeField("X", "y")];
    const untouched = substituteTrailers(clean, scope);
    expect(untouched.kind === "done" && untouched.fields).toBe(clean);
  });

  it("asks for unknown keys", () => {
    const result = substituteTrailers([makeField("X", placeholder("z"))], scopeFor([]));
    expect(result).toEqual({ kind: "unknown", keys: ["z".repeat(25)] });
  });
});
