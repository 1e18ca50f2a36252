import { describe, expect, it } from "vitest";
import { natureOf } from "../../../src/core/substitution/response-nature.ts";

describe("natureOf", () => {
  it("leaves it to the bytes where there is no type", () => {
    expect(natureOf(undefined)).toEqual({ mode: "sniffed", isEvents: false });
  });

  it.each([
    "text/html; charset=utf-8",
    "application/json",
    "application/problem+json",
    "application/xml",
    "image/svg+xml",
    "application/javascript",
    "application/x-www-form-urlencoded",
  ])("%s is text", (type) => {
    expect(natureOf(type)).toEqual({ mode: "exact", isEvents: false });
  });

  it.each([
    "application/octet-stream",
    "image/png",
    "application/x-protobuf",
    "application/zip",
    "application/vnd.acme.unknown",
    "multipart/form-data; boundary=x",
    "text/plain; charset=utf-16",
  ])("%s is not", (type) => {
    expect(natureOf(type)).toEqual({ mode: "in-place", isEvents: false });
  });

  it.each([
    "text/event-stream",
    "application/x-ndjson",
    "application/jsonl",
    "application/json-seq",
    "application/stream+json",
  ])("%s is a stream of text", (type) => {
    expect(natureOf(type)).toEqual({ mode: "exact", isEvents: true });
  });

  it.each([
    "application/grpc",
    "application/grpc-web+proto",
    "application/grpc+json",
    "application/connect+json",
    "application/x-git-upload-pack-result",
    "application/vnd.amazon.eventstream",
    "multipart/x-mixed-replace; boundary=x",
  ])("%s is a stream in which lengths count", (type) => {
    expect(natureOf(type)).toEqual({ mode: "in-place", isEvents: true });
  });

  it("answers the same the second time, and after many other types", () => {
    const first = natureOf("text/csv; header=present");
    expect(natureOf("text/csv; header=present")).toBe(first);
    for (let i = 0; i < 1000; i++) natureOf(`text/x-${i}`);
    expect(natureOf("text/csv; header=present")).toEqual(first);
  });
});
