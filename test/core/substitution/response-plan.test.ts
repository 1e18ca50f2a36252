import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  planResponseBody,
  type ScrubPlan,
  withoutBodyFields,
  withoutDigests,
} from "../../../src/core/substitution/response-plan.ts";
import { fieldsOf, headOf } from "./scrub-support.ts";

interface Vector {
  readonly name: string;
  readonly method?: string;
  /** Content-Type of the request. */
  readonly sent?: string;
  readonly status?: number;
  readonly fields?: Record<string, string>;
  readonly length: number | "chunked" | "close";
  readonly plan: Partial<ScrubPlan>;
}

// The file is ours.
const vectors = JSON.parse(
  readFileSync(new URL("../../vectors/scrub/plans.json", import.meta.url), "utf8"),
) as Vector[];

/** No vector's request has a range: what comes is what was asked for. */
function partOf(plan: Partial<ScrubPlan>): unknown {
  return "edges" in plan ? { kind: "whole", edges: plan.edges } : undefined;
}

describe("planResponseBody", () => {
  it.each(vectors)("$name", ({ method = "GET", sent, status = 200, fields = {}, length, plan }) => {
    const isBody = plan.kind !== "none" && plan.kind !== "refuse";
    const expected = isBody
      ? { codings: [], edges: undefined, holdBytes: 0, messages: undefined, part: partOf(plan), ...plan }
      : plan;
    const request = {
      method,
      target: "/",
      minor: 1 as const,
      fields: fieldsOf(sent === undefined ? {} : { "Content-Type": sent }),
    };
    expect(planResponseBody(request, headOf(fields, status), length, { bufferBytes: 1000 })).toEqual(expected);
  });
});

describe("planResponseBody of compressed messages", () => {
  const request = {
    method: "POST",
    target: "/",
    minor: 1 as const,
    fields: fieldsOf({ "Content-Type": "application/grpc" }),
  };
  const plan = (fields: Record<string, string>) =>
    planResponseBody(request, headOf(fields), "close", { bufferBytes: 1000 });

  it("streams them, one by one", () => {
    for (const type of [
      "application/grpc",
      "application/grpc+proto",
      "application/grpc-web+proto",
      "application/connect+json",
    ]) {
      expect(plan({ "Content-Type": type, "grpc-encoding": "gzip" })).toEqual({
        kind: "streamed",
        mode: "in-place",
        codings: [],
        edges: undefined,
        part: undefined,
        holdBytes: 0,
        messages: { coding: "gzip" },
      });
    }
  });

  it("refuses what it cannot take apart", () => {
    const refused = { kind: "refuse", code: "coding-unreadable" };
    expect(plan({ "Content-Type": "application/grpc", "grpc-encoding": "snappy" })).toEqual(refused);
    expect(plan({ "Content-Type": "application/grpc-web-text", "grpc-encoding": "gzip" })).toEqual(refused);
    expect(plan({ "Content-Type": "text/plain", "grpc-encoding": "gzip" })).toEqual(refused);
    expect(plan({ "Content-Type": "application/grpc", "grpc-encoding": "gzip", "Content-Encoding": "gzip" })).toEqual(
      refused,
    );
  });
});

describe("withoutBodyFields", () => {
  it("drops length and digests, and keeps ETag and coding", () => {
    const fields = fieldsOf({
      "Content-Length": "5",
      "Content-Type": "text/plain",
      "Content-Encoding": "gzip",
      "Content-Digest": "sha-256=:x:",
      "Repr-Digest": "sha-256=:x:",
      Digest: "sha-256=x",
      "Content-MD5": "x",
      "x-amz-checksum-crc32": "x",
      "x-goog-hash": "crc32c=x",
      ETag: '"x"',
    });
    expect(withoutBodyFields(fields).map(({ name }) => name)).toEqual(["Content-Type", "Content-Encoding", "ETag"]);
    expect(withoutDigests(fields).map(({ name }) => name)).toEqual([
      "Content-Length",
      "Content-Type",
      "Content-Encoding",
      "ETag",
    ]);
  });

  it("gives back the same list where there is nothing to drop", () => {
    const fields = fieldsOf({ "Content-Type": "text/plain", ETag: '"x"' });
    expect(withoutBodyFields(fields)).toBe(fields);
    expect(withoutDigests(fields)).toBe(fields);
  });
});
