// HTTP/2 on either leg, and the four combinations with HTTP/1.1: what goes through, and what other hosts see.

import { createHash, randomBytes } from "node:crypto";
import type { ClientHttp2Session } from "node:http2";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  exchange as askHttp2,
  connectHttp2,
  type Http2Answer,
  type Http2Ask,
  type Http2Origin,
  startHttp2Origin,
  tunnelTls,
  valuesOf,
} from "../support/http2-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let secret: MadeSecret;
let sandbox: MadeSandbox;
const origins = new Map<string, Http2Origin>();
const sessions: ClientHttp2Session[] = [];

beforeAll(async () => {
  keyswap = await startKeyswap();
  secret = await keyswap.secret('real "value"/100%', [host]);
  // Its hosts do not hold evil.test; another secret does, so that it is intercepted.
  const other = await keyswap.secret("some other value", ["evil.test"]);
  sandbox = await keyswap.sandbox([secret, other]);
  for (const speaks of ["h2", "http/1.1"] as const) {
    origins.set(speaks, await startHttp2Origin({ pki: keyswap.pki, names: [host, "evil.test"], speaks }));
  }
});

beforeEach(() => {
  for (const origin of origins.values()) {
    origin.seen.length = 0;
    origin.early = undefined;
    origin.handler = (response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end('{"ok":true}');
    };
  }
});

afterAll(async () => {
  for (const session of sessions) session.destroy();
  await keyswap.settled();
  await keyswap.close();
  for (const origin of origins.values()) await origin.close();
  expect(keyswap.errors).toEqual([]);
});

interface Ask extends Http2Ask {
  readonly to?: string;
}

type Asker = (origin: Http2Origin, ask: Ask) => Promise<Http2Answer>;

const askers: Readonly<Record<string, Asker>> = {
  h2: async (origin, ask) => {
    const session = await connectHttp2(keyswap, sandbox, ask.to ?? host, origin.port);
    sessions.push(session);
    try {
      return await askHttp2(session, ask);
    } finally {
      session.close();
    }
  },
  "http/1.1": async (origin, ask) => {
    const to = ask.to ?? host;
    const client = new WireClient(await tunnelTls(keyswap, sandbox, to, origin.port, ["http/1.1"]));
    const method = ask.method ?? "GET";
    const fields = [["Host", ask.authority ?? to], ...(ask.fields ?? [])];
    const { trailers } = ask;
    if (trailers !== undefined) fields.push(["Transfer-Encoding", "chunked"]);
    else if (ask.body !== undefined) fields.push(["Content-Length", String(Buffer.byteLength(ask.body))]);
    client.send(`${method} ${ask.path ?? "/"} HTTP/1.1\r\n${fields.map((f) => `${f.join(": ")}\r\n`).join("")}\r\n`);
    if (trailers !== undefined) {
      const body = Buffer.from(ask.body ?? "");
      client.send(`${body.length.toString(16)}\r\n`);
      client.send(body);
      client.send(
        `\r\n0\r\n${Object.entries(trailers)
          .map((f) => `${f.join(": ")}\r\n`)
          .join("")}\r\n`,
      );
    } else if (ask.body !== undefined) client.send(Buffer.from(ask.body));
    try {
      const answer = await client.read(method);
      const lower = (list: readonly (readonly [string, string])[]) =>
        list.map(([name, value]) => [name.toLowerCase(), value] as const);
      return {
        ...answer,
        fields: lower(answer.fields),
        trailers: lower(answer.trailers),
        interim: [],
        rstCode: 0,
        ended: true,
      };
    } finally {
      client.close();
    }
  },
};

const combinations = [
  ["h2", "h2"],
  ["h2", "http/1.1"],
  ["http/1.1", "h2"],
  ["http/1.1", "http/1.1"],
] as const;

describe.each(combinations)("%s to a destination that speaks %s", (from, to) => {
  let origin: Http2Origin;
  let ask: (asked?: Ask) => Promise<Http2Answer>;

  beforeEach(() => {
    origin = origins.get(to)!;
    ask = (asked = {}) => askers[from]!(origin, asked);
  });

  it("substitutes in headers, path, query and body, and speaks the destination's protocol", async () => {
    const p = secret.placeholder;
    const body = `{"token":"${p}"}`;
    const answer = await ask({
      method: "POST",
      path: `/a%2Fb/${p}?key=${p}`,
      fields: [
        ["authorization", `Bearer ${p}`],
        ["content-type", "application/json"],
        ...(from === "h2" ? ([["content-length", String(body.length)]] as const) : []),
      ],
      body,
    });
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toBe('{"ok":true}');
    const seen = origin.last();
    expect(seen).toMatchObject({ protocol: to, method: "POST" });
    expect(seen.authority.split(":")[0]).toBe(host);
    expect(seen.target).toBe("/a%2Fb/real%20%22value%22%2F100%25?key=real%20%22value%22%2F100%25");
    expect(valuesOf(seen.fields, "authorization")).toEqual([`Bearer ${secret.value}`]);
    expect(JSON.parse(seen.body.toString())).toEqual({ token: secret.value });
    expect(valuesOf(seen.fields, "content-length")).toEqual([String(seen.body.length)]);
    const [event] = (await keyswap.exchanges(sandbox)).slice(-1);
    expect(event).toMatchObject({ protocol: from, status: 200, method: "POST" });
  });

  it("sends another host the placeholder only", async () => {
    const p = secret.placeholder;
    await ask({
      method: "POST",
      to: "evil.test",
      fields: [
        ["x-key", p],
        ["content-type", "text/plain"],
      ],
      body: p,
    });
    expect(valuesOf(origin.last().fields, "x-key")).toEqual([p]);
    expect(origin.last().body.toString()).toBe(p);
  });

  it("scrubs echoes in headers, body and trailers", async () => {
    origin.handler = (response) => {
      response.writeHead(200, { "content-type": "text/plain", "x-echo": `<${secret.value}>`, trailer: "x-after" });
      response.write(`you sent ${secret.value.slice(0, 5)}`);
      response.write(`${secret.value.slice(5)}.`);
      response.addTrailers({ "x-after": secret.value });
      response.end();
    };
    const answer = await ask();
    expect(valuesOf(answer.fields, "x-echo")).toEqual([`<${secret.placeholder}>`]);
    expect(answer.body.toString()).toBe(`you sent ${secret.placeholder}.`);
    expect(valuesOf(answer.trailers, "x-after")).toEqual([secret.placeholder]);
  });

  it("carries bodies far beyond the flow-control windows both ways", async () => {
    const body = randomBytes(3 * 1024 * 1024);
    origin.handler = (response, seen) => {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      response.end(seen.body);
    };
    const answer = await ask({ method: "PUT", fields: [["content-type", "application/octet-stream"]], body });
    expect(digest(origin.last().body)).toBe(digest(body));
    expect(digest(answer.body)).toBe(digest(body));
  });

  it("carries the request's trailers, with values written", async () => {
    await ask({ method: "POST", body: "x", trailers: { "x-sum": secret.placeholder } });
    expect(valuesOf(origin.last().trailers, "x-sum")).toEqual([secret.value]);
    expect(origin.last().body.toString()).toBe("x");
  });

  it("joins cookie crumbs where there is one field to be, and keeps each Set-Cookie", async () => {
    origin.handler = (response) => {
      response.writeHead(200, { "set-cookie": ["a=1", "b=2"] });
      response.end();
    };
    const crumbs =
      from === "h2"
        ? [
            ["cookie", "a=1"],
            ["cookie", `b=${secret.placeholder}`],
          ]
        : [["Cookie", `a=1; b=${secret.placeholder}`]];
    const answer = await ask({ fields: crumbs as [string, string][] });
    expect(valuesOf(answer.fields, "set-cookie")).toEqual(["a=1", "b=2"]);
    expect(valuesOf(origin.last().fields, "cookie").join("; ")).toMatch(/^a=1; b=/);
    if (to === "http/1.1") expect(valuesOf(origin.last().fields, "cookie")).toHaveLength(1);
  });

  it("keeps header bytes beyond ASCII, both ways", async () => {
    origin.handler = (response) => {
      response.setHeader("x-name", "caf\u00e9 \u0080\u00ff");
      response.end();
    };
    const answer = await ask({ fields: [["x-name", "na\u00efve \u00ff"]] });
    expect(valuesOf(origin.last().fields, "x-name")).toEqual(["na\u00efve \u00ff"]);
    expect(valuesOf(answer.fields, "x-name")).toEqual(["caf\u00e9 \u0080\u00ff"]);
  });

  it("answers HEAD, 204 and 304 without a body", async () => {
    origin.handler = (response, seen) => {
      const status = Number(seen.target.slice(1));
      response.writeHead(status, seen.method === "HEAD" ? { "content-length": "7" } : {});
      response.end();
    };
    const head = await ask({ method: "HEAD", path: "/200" });
    expect([head.status, valuesOf(head.fields, "content-length")]).toEqual([200, ["7"]]);
    for (const status of [204, 304]) {
      const answer = await ask({ path: `/${status}` });
      expect([answer.status, answer.body.length, answer.ended]).toEqual([status, 0, true]);
    }
  });

  it("does not pass a broken answer off as whole", async () => {
    origin.handler = (response, _seen, request) => {
      response.writeHead(200, { "content-type": "text/plain" });
      response.write("half");
      setTimeout(() => (request.stream === undefined ? request.socket.destroy() : request.stream.close(8)), 20);
    };
    const outcome = await ask().then(
      (answer) => (answer.rstCode === 0 ? "whole" : "reset"),
      () => "closed",
    );
    expect(outcome).toBe(from === "h2" ? "reset" : "closed");
  });

  it("refuses another authority", async () => {
    const answer = await ask({ authority: "evil.test" });
    expect(answer.status).toBe(421);
    expect(origin.seen).toHaveLength(0);
  });
});

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
