// `locations` narrow a secret to places: the value stands there, and the placeholder everywhere else.

import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { connectThrough } from "../support/wire-client.ts";

const host = "api.good.test";
const value = "narrow-value-0123";
let keyswap: TestKeyswap;
let origin: Origin;

beforeAll(async () => {
  keyswap = await startKeyswap();
  origin = await startOrigin({ pki: keyswap.pki, names: [host] });
});

beforeEach(() => {
  origin.seen.length = 0;
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

/** One request with the placeholder `P` in every place; what reached the origin, value and placeholder as `V` and `P`. */
const everywhere = (placeholder: string, type: string, body: string): string => {
  const basic = Buffer.from(`user:${placeholder}`).toString("base64");
  return [
    `POST /p/${placeholder}?a=${placeholder}&key=${placeholder} HTTP/1.1`,
    `Host: ${host}`,
    `X-Api-Key: ${placeholder}`,
    `X-Other: ${placeholder}`,
    `Authorization: Basic ${basic}`,
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
};

const json = '{"auth":{"token":"P"},"list":["P","P"],"other":"P","data":"b64(P)"}';
const form = "token=P&other=P&data=b64(P)";

it.each([
  ["header", json, "x-api-key x-other"],
  ["header:x-api-key", json, "x-api-key"],
  ["header:X-API-Key", json, "x-api-key"],
  ["basic", json, "authorization"],
  ["path", json, "path"],
  ["query", json, "query:a query:key"],
  ["query:key", json, "query:key"],
  ["body", json, 'body:{"auth":{"token":"V"},"list":["V","V"],"other":"V","data":"b64(P)"}'],
  ["body:/auth/token", json, 'body:{"auth":{"token":"V"},"list":["P","P"],"other":"P","data":"b64(P)"}'],
  ["body:/list/1", json, 'body:{"auth":{"token":"P"},"list":["P","V"],"other":"P","data":"b64(P)"}'],
  ["body:token", form, "body:token=V&other=P&data=b64(P)"],
  ["base64", json, 'body:{"auth":{"token":"P"},"list":["P","P"],"other":"P","data":"b64(V)"}'],
  ["base64", form, "body:token=P&other=P&data=b64(V)"],
])("%s: %s", async (location, template, expected) => {
  const secret = await keyswap.secret(value, [host], { locations: [location] });
  const sandbox = await keyswap.sandbox([secret]);
  const fill = (text: string, inPlaces: string) =>
    text
      .replace(/\b[PV]\b(?!\))/g, (mark) => (mark === "P" ? secret.placeholder : inPlaces))
      .replace(/b64\(([PV])\)/g, (_, mark: string) => {
        const encoded = Buffer.from(`<${mark === "P" ? secret.placeholder : inPlaces}>`).toString("base64");
        return template === form ? encoded.replace(/[+/=]/g, encodeURIComponent) : encoded;
      });
  const type = template === json ? "application/json" : "application/x-www-form-urlencoded";
  const client = await connectThrough(keyswap, sandbox, host, origin.port);
  client.send(everywhere(secret.placeholder, type, fill(template, value)));
  expect((await client.read("POST")).status).toBe(200);
  client.close();

  const seen = origin.last();
  const url = new URL(seen.url, "http://x");
  const at = (place: string, text: unknown): string[] => (String(text).includes(value) ? [place] : []);
  const places = [
    ...at("path", url.pathname),
    ...["a", "key"].flatMap((name) => at(`query:${name}`, url.searchParams.get(name))),
    ...["x-api-key", "x-other"].flatMap((name) => at(name, seen.headers[name])),
    ...at("authorization", Buffer.from(String(seen.headers.authorization).slice(6), "base64")),
  ];
  const body = seen.body.toString();
  if (body !== fill(template, value)) places.push(`body:${body}`);
  expect(places.join(" ")).toBe(fill(expected, value));

  const [event] = await keyswap.exchanges(sandbox);
  expect(event?.substituted.length).toBeGreaterThan(0);
  const reasons = new Set(event?.notSubstituted.map(({ reason }) => reason));
  expect([...reasons]).toEqual(["surface-not-allowed"]);
});
