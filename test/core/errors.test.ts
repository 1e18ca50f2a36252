import { STATUS_CODES } from "node:http";
import { describe, expect, it } from "vitest";
import { type ErrorCode, errorTable, KeyswapError } from "../../src/core/errors.ts";

const codes = Object.keys(errorTable) as ErrorCode[];

describe("errorTable", () => {
  it.each(codes)("%s has an error status that exists and a hint that is a sentence", (code) => {
    const { status, hint } = errorTable[code];
    expect(status).toBeGreaterThanOrEqual(400);
    // 499 is nobody's answer: it stands in the audit where the client is gone.
    if (status !== 499) expect(STATUS_CODES[status]).toBeDefined();
    expect(hint).toMatch(/^\S.*\.$/);
    expect(code).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
  });
});

describe("KeyswapError", () => {
  it("says the hint, and the detail where there is one", () => {
    expect(new KeyswapError("dns-failed").message).toBe(errorTable["dns-failed"].hint);
    const error = new KeyswapError("connect-refused", "api.example.com:443");
    expect(error.message).toBe(`${errorTable["connect-refused"].hint} (api.example.com:443)`);
    expect(error).toMatchObject({ name: "KeyswapError", code: "connect-refused", detail: "api.example.com:443" });
  });

  it("knows its status and its cause", () => {
    const cause = new Error("ECONNRESET");
    const error = new KeyswapError("upstream-closed", undefined, { cause });
    expect(error.status).toBe(502);
    expect(error.cause).toBe(cause);
    expect(error).toBeInstanceOf(Error);
  });
});
