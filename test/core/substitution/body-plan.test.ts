import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BodyPlan, planRequestBody } from "../../../src/core/substitution/body-plan.ts";
import type { SubstitutionScope } from "../../../src/core/substitution/scope.ts";
import { cutsOf, grant, placeholder, request, run, scopeFor } from "./requests.ts";
import { type Expectation, readVectors, recordOf } from "./vectors.ts";

interface BodyCase extends Expectation {
  readonly type?: string;
  readonly crlf?: boolean;
  readonly body: string;
  readonly expect?: string;
}

const vectors = readVectors<BodyCase>("bodies.json");
const A = placeholder("a");
const E = "equalequalequalequalequalequalequalequalx";
const limits = { bufferBytes: 1000 };
const long = 1_000_000;

type Rewrite = Exclude<BodyPlan, { kind: "untouched" }>;

function rewrite(plan: BodyPlan): Rewrite {
  if (plan.kind === "untouched") throw new Error("untouched");
  return plan;
}

function typed(type: string | undefined, ...fields: readonly (readonly [string, string])[]) {
  return request("/", ...(type === undefined ? [] : [["Content-Type", type] as const]), ...fields);
}

function bytes(vector: BodyCase, text: string): Buffer {
  const filled = vectors.fill(text);
  return Buffer.from(vector.crlf === true ? filled.replaceAll("\n", "\r\n").replaceAll("\r\r", "\r") : filled, "utf8");
}

describe("substitution in bodies", () => {
  it.each(vectors.cases)("$name", (vector) => {
    const body = bytes(vector, vector.body);
    const expected = bytes(vector, vector.expect ?? vector.body);
    const cuts = [[], ...[1, 2, 3, 7, 50].map((step) => steps(body.length, step)), ...each(body.length)];
    for (const at of cuts) {
      const scope = vectors.scope();
      const plan = rewrite(planRequestBody(typed(vector.type), "chunked", scope, limits));
      const out = run(plan.transform, body, scope, at);
      expect(out.toString("latin1")).toBe(expected.toString("latin1"));
      expect(recordOf(scope)).toEqual({
        substituted: [...(vector.substituted ?? [])].sort(),
        notSubstituted: [...(vector.notSubstituted ?? [])].sort(),
      });
      expect(plan.transform.changed).toBe(vector.expect !== undefined);
    }
  });

  it("gives the same for any cut of any mixture", () => {
    const pieces = fc.constantFrom(
      ...vectors.cases.flatMap((vector) =>
        bytes(vector, vector.body)
          .toString("latin1")
          .split(/(?=[{"&\n])/),
      ),
    );
    const types = fc.constantFrom(
      "application/json",
      "application/x-www-form-urlencoded",
      "text/plain",
      "application/octet-stream",
      "multipart/form-data; boundary=edge",
      undefined,
    );
    const input = fc
      .tuple(types, fc.array(pieces, { maxLength: 12 }))
      .map(([type, parts]) => ({ type, body: Buffer.from(parts.join(""), "latin1") }))
      .chain(({ type, body }) =>
        fc.record({ type: fc.constant(type), body: fc.constant(body), cuts: cutsOf(body.length) }),
      );
    fc.assert(
      fc.property(input, ({ type, body, cuts }) => {
        const results = [[], cuts].map((at) => {
          const scope = vectors.scope();
          const { transform } = rewrite(planRequestBody(typed(type), "chunked", scope, limits));
          return { out: run(transform, body, scope, at).toString("latin1"), ...recordOf(scope) };
        });
        expect(results[1]).toEqual(results[0]);
      }),
      { numRuns: 600 },
    );
  });

  it("passes random bytes unchanged", () => {
    const types = ["application/json", "application/x-www-form-urlencoded", "text/xml", undefined, "application/grpc"];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(...types), fc.nat(400), (data, type, cut) => {
        const body = Buffer.from(data);
        const scope = vectors.scope();
        const { transform } = rewrite(planRequestBody(typed(type), "chunked", scope, limits));
        expect(run(transform, body, scope, [Math.min(cut, body.length)]).equals(body)).toBe(true);
        expect(transform.changed).toBe(false);
      }),
    );
  });

  it("gives an unchanged chunk back without copying it", () => {
    const scope = scopeFor([grant("A", "1")]);
    const { transform } = rewrite(planRequestBody(typed("application/json"), "chunked", scope, limits));
    const chunk = Buffer.alloc(5000, "[1,2]");
    const out: Buffer[] = [];
    transform.push(chunk, (part) => out.push(part));
    expect(out).toHaveLength(1);
    expect(out[0]).toBe(chunk);
  });

  it("holds back no more than a placeholder's beginning", () => {
    const scope = vectors.scope();
    const { transform } = rewrite(planRequestBody(typed("application/json"), "chunked", scope, limits));
    let given = 0;
    transform.push(Buffer.from(`${"x".repeat(100)}dtn_sec`), (part) => {
      given += part.length;
    });
    expect(given).toBe(100);
  });

  it("uses grants that were fetched while it waited", () => {
    const scope = scopeFor([]);
    const { transform } = rewrite(planRequestBody(typed("text/plain"), 100, scope, limits));
    const out: Buffer[] = [];
    const emit = (part: Buffer): void => void out.push(Buffer.from(part));
    expect(transform.push(Buffer.from(`a ${A} b`), emit)).toBe("a".repeat(25));
    expect(Buffer.concat(out).toString()).toBe("a ");
    scope.view = scopeFor([grant("A", "fresh")]).view;
    scope.markAsked("a".repeat(25));
    expect(transform.push(Buffer.alloc(0), emit)).toBeUndefined();
    expect(transform.end(emit)).toBeUndefined();
    expect(Buffer.concat(out).toString()).toBe("a fresh b");
    expect(scope.substituted).toEqual([{ secret: "A", surface: "body" }]);
  });
});

describe("a body's plan", () => {
  const json = "application/json";
  const kind = (
    type: string | undefined,
    length: number | "chunked",
    scope: SubstitutionScope,
    ...fields: [string, string][]
  ) => planRequestBody(typed(type, ...fields), length, scope, limits).kind;
  const unequal = () => scopeFor([grant("A", "short")]);
  const equal = () => scopeFor([grant("A", E)]);

  it("leaves what is empty, media or archives untouched", () => {
    expect(kind(json, 0, unequal())).toBe("untouched");
    for (const type of ["image/png", "video/mp4", "application/zip", "application/gzip", "font/woff2"]) {
      expect(kind(type, 10, unequal())).toBe("untouched");
    }
  });

  it("buffers what fits, and keeps the length of longer bodies where it can", () => {
    expect(kind(json, 1000, unequal())).toBe("buffered");
    expect(kind(json, 1001, equal())).toBe("in-place");
    expect(kind(json, 1001, unequal())).toBe("streamed");
    expect(kind(json, "chunked", equal())).toBe("streamed");
    expect(kind("application/octet-stream", long, unequal())).toBe("in-place");
    expect(kind("multipart/form-data; boundary=x", long, equal())).toBe("in-place");
  });

  it("compares lengths as the value is written", () => {
    const scope = (): SubstitutionScope => scopeFor([grant("A", `"${E.slice(1)}`)]);
    expect(kind("text/plain", long, scope())).toBe("in-place");
    expect(kind(json, long, scope())).toBe("streamed");
    expect(kind("multipart/form-data; boundary=x", long, scope())).toBe("streamed");
  });

  it("looks only at grants that could be written there", () => {
    const grants = [grant("A", "short", { locations: ["header"] }), grant("B", "short", { hosts: ["other.test"] })];
    expect(kind(json, long, scopeFor(grants))).toBe("in-place");
    expect(kind(json, long, scopeFor([...grants, grant("C", "short", { locations: ["body:/a"] })]))).toBe("streamed");
  });

  it("keeps every length in place, whatever is found", () => {
    const scope = equal();
    const plan = rewrite(planRequestBody(typed(json), long, scope, limits));
    expect(plan.kind).toBe("in-place");
    const escaped = `\\u0064${A.slice(1)}`;
    scope.view = scopeFor([grant("A", E), grant("B", "short")]).view;
    const body = Buffer.from(`${A} ${escaped} ${placeholder("b")}`);
    const out = run(plan.transform, body, scope);
    expect(out.toString()).toBe(`${E} ${escaped} ${placeholder("b")}`);
    expect(scope.notSubstituted).toEqual([
      { secret: "A", surface: "body", reason: "length-differs" },
      { secret: "B", surface: "body", reason: "length-differs" },
    ]);
  });

  it("names the codings to undo", () => {
    const plan = rewrite(planRequestBody(typed(json, ["Content-Encoding", "gzip, br"]), 10, unequal(), limits));
    expect(plan).toMatchObject({ kind: "buffered", codings: ["gzip", "br"] });
    expect(kind(json, long, equal(), ["Content-Encoding", "zstd"])).toBe("streamed");
    expect(kind(json, long, scopeFor([]), ["Content-Encoding", "zstd"])).toBe("untouched");
    expect(kind(json, "chunked", scopeFor([]), ["Content-Encoding", "zstd"])).toBe("untouched");
  });

  it("reads a long coded body also where nothing may be written, if what is in it may be refused", () => {
    const zstd = ["Content-Encoding", "zstd"] as [string, string];
    const elsewhere = (onViolation: "pass" | "block") => grant("A", E, { hosts: ["other.test"], onViolation });
    expect(kind(json, long, scopeFor([elsewhere("block")]), zstd)).toBe("streamed");
    expect(kind(json, "chunked", scopeFor([], { onViolation: "block" }), zstd)).toBe("streamed");
    expect(kind(json, "chunked", scopeFor([elsewhere("pass")], { onViolation: "block" }), zstd)).toBe("streamed");
    expect(kind(json, long, scopeFor([elsewhere("pass")]), zstd)).toBe("untouched");
  });

  it("reads a short coded body that is signed, and lets it be", () => {
    const signed = ["Authorization", "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=0"] as [
      string,
      string,
    ];
    const plan = rewrite(planRequestBody(typed(json, signed, ["Content-Encoding", "gzip"]), 10, equal(), limits));
    expect(plan).toMatchObject({ kind: "buffered", codings: ["gzip"], digests: [] });
    expect(run(plan.transform, Buffer.from(A), equal()).toString()).toBe(A);
    expect(plan.transform.changed).toBe(false);
  });

  it("says so when it cannot read a coding", () => {
    const scope = unequal();
    expect(kind(json, 10, scope, ["Content-Encoding", "aws-chunked"])).toBe("untouched");
    expect(scope.notSubstituted).toEqual([{ surface: "body", reason: "coding-unreadable" }]);
    expect(scope.blocked).toBe(false);
    const indifferent = scopeFor([]);
    kind(json, 10, indifferent, ["Content-Encoding", "aws-chunked"]);
    expect(indifferent.notSubstituted).toEqual([]);
  });

  it("asks for the hashes of digest fields where the body is at hand", () => {
    const digest = ["Content-MD5", Buffer.alloc(16).toString("base64")] as [string, string];
    expect(rewrite(planRequestBody(typed(json, digest), 10, unequal(), limits)).digests).toEqual(["md5"]);
  });

  it.each([
    ["a signature", 10, "Authorization", "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=0"],
    ["a digest of a body that is not buffered", long, "Content-MD5", Buffer.alloc(16).toString("base64")],
    ["a digest of a body without length", "chunked", "Content-MD5", Buffer.alloc(16).toString("base64")],
  ] as const)("writes nothing where there is %s", (_, length, name, value) => {
    const scope = equal();
    const plan = rewrite(planRequestBody(typed(json, [name, value]), length, scope, limits));
    expect(plan.kind).toBe("in-place");
    const body = Buffer.from(`x${A}y`);
    expect(run(plan.transform, body, scope).equals(body)).toBe(true);
    expect(scope.notSubstituted).toEqual([{ secret: "A", surface: "body", reason: "body-signed" }]);
  });
});

function steps(length: number, step: number): number[] {
  return Array.from({ length: Math.floor(length / step) }, (_, i) => i * step);
}

/** Every way to cut in two. */
function each(length: number): number[][] {
  return Array.from({ length }, (_, i) => [i]);
}
