import { describe, expect, it } from "vitest";
import { closedField } from "../../../src/core/substitution/header-rules.ts";

describe("header rules", () => {
  it.each([
    "user-agent",
    "referer",
    "origin",
    "via",
    "forwarded",
    "x-forwarded-for",
    "traceparent",
    "baggage",
    "x-b3-traceid",
  ])("close %s as a sink", (key) => expect(closedField(key)).toBe("sink-header"));

  it.each([
    "host",
    "connection",
    "te",
    "upgrade",
    "transfer-encoding",
    "content-length",
    "content-encoding",
    ":authority",
  ])("close %s, which the proxy reads itself", (key) => expect(closedField(key)).toBe("surface-not-allowed"));

  it.each(["authorization", "x-api-key", "cookie", "x-goog-api-key", "private-token"])("leave %s to the grant", (key) =>
    expect(closedField(key)).toBeUndefined(),
  );
});
