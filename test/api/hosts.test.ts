import { expect, it } from "vitest";
import { judgeHost } from "../../src/api/hosts.ts";

it.each([
  "api.example.com",
  "API.Example.Com",
  "*.example.com",
  "*.example.co.uk",
  "*.internal",
  "com",
  "localhost",
  "192.0.2.1",
])("accepts %s", (text) => expect(judgeHost(text)).toEqual({ kind: "accepted" }));

it.each(["*.com", "*.COM", "*.co.uk", "*.xn--p1ai", "*.рф"])("refuses %s: it covers a public suffix", (text) => {
  expect(judgeHost(text)).toMatchObject({ kind: "refused", detail: expect.stringContaining("public suffix") });
});

it.each(["*.github.io", "*.s3.amazonaws.com", "*.vercel.app"])("accepts %s with a warning", (text) => {
  expect(judgeHost(text)).toMatchObject({ kind: "accepted", warning: expect.stringContaining("many owners") });
});

it.each(["", "*", "https://a.example", "a.example/x", "a.example:1", "::1"])("refuses %j as core does", (text) => {
  expect(judgeHost(text).kind).toBe("refused");
});
