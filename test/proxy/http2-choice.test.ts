// What a request of HTTP/2 goes out as, where the destination speaks both protocols.

import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import {
  exchange as ask,
  connectHttp2,
  type Http2Answer,
  type Http2Ask,
  type Http2Origin,
  startHttp2Origin,
} from "../support/http2-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { startRawOrigin } from "../support/raw-origin.ts";
import { waitUntil } from "../support/wait.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let origin: Http2Origin;

beforeAll(async () => {
  keyswap = await startKeyswap();
  secret = await keyswap.secret("the real value", [host]);
  origin = await startHttp2Origin({ pki: keyswap.pki, names: [host], speaks: "both" });
});

beforeEach(async () => {
  origin.seen.length = 0;
  origin.handler = (response) => {
    response.writeHead(200);
    response.end("ok");
  };
  // Its own connections upstream.
  sandbox = await keyswap.sandbox([secret]);
});

afterAll(async () => {
  await keyswap.settled();
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

async function askAll(asked: readonly Http2Ask[], port = origin.port): Promise<Http2Answer[]> {
  const session = await connectHttp2(keyswap, sandbox, host, port);
  try {
    return await Promise.all(asked.map((one) => ask(session, one)));
  } finally {
    session.close();
  }
}

it.each<[string, Http2Ask]>([
  ["GET", { fields: [["authorization", "KEY"]] }],
  ["HEAD", { method: "HEAD" }],
  ["DELETE, which must not be done twice", { method: "DELETE" }],
  ["POST with a body", { method: "POST", body: "x" }],
  ["GET that wants trailers", { fields: [["te", "trailers"]] }],
  ["a gRPC call", { method: "POST", body: "\0\0\0\0\0", fields: [["content-type", "application/grpc"]] }],
])("%s stays HTTP/2", async (_name, asked) => {
  const fields = asked.fields?.map(([name, value]) => [name, value.replace("KEY", secret.placeholder)] as const);
  const [answer] = await askAll([fields === undefined ? asked : { ...asked, fields }]);
  expect(answer?.status).toBe(200);
  expect(origin.last().protocol).toBe("h2");
  const authorization = origin.last().fields.find(([name]) => name === "authorization")?.[1];
  if (asked.fields?.[0]?.[1] === "KEY") expect(authorization).toBe(secret.value);
});

it("has many requests at a time share one connection, and later ones too", async () => {
  const held: (() => void)[] = [];
  origin.handler = (response) => {
    held.push(() => response.end("ok"));
    if (held.length === 60) for (const release of held) release();
  };
  const before = origin.sockets.size;
  const answers = await askAll(Array.from({ length: 60 }, (_, at) => ({ path: `/${at}` })));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  expect(new Set(origin.seen.map(({ target }) => target)).size).toBe(60);
  origin.handler = (response) => response.end("ok");
  await askAll(Array.from({ length: 10 }, () => ({})));
  expect(origin.seen).toHaveLength(70);
  expect(origin.seen.every(({ protocol }) => protocol === "h2")).toBe(true);
  expect(origin.sockets.size - before).toBe(1);
});

it("sends a GET again on a new connection where kept ones turn out to be closed", async () => {
  const names: string[] = [];
  const stale = await startRawOrigin({ pki: keyswap.pki, names: [host], alpn: ["http/1.1"] }, async (connection) => {
    for (let request = 0; request < 10; request++) {
      const { line } = await connection.readRequest();
      if (connection.index < 2 && request > 0) {
        connection.socket.destroy();
        return;
      }
      names.push(`${line.split(" ")[1]} on ${connection.index}`);
      // Both have to be there before either is answered.
      if (connection.index < 2) await waitUntil(() => expect(names.length).toBeGreaterThanOrEqual(2));
      connection.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  try {
    const firsts = await askAll([{ path: "/a" }, { path: "/b" }], stale.port);
    expect(firsts.map(({ status }) => status)).toEqual([200, 200]);
    const [third] = await askAll([{ path: "/c" }], stale.port);
    expect(third?.status).toBe(200);
    expect(names.at(-1)).toBe("/c on 2");
  } finally {
    await stale.close();
  }
});

it("needs one connection to a destination that speaks nothing but HTTP/2", async () => {
  const http2 = createServer((_request, response) => response.end("spoken"));
  const { certPem, keyPem } = keyswap.pki.issue([host]);
  let dials = 0;
  const server = createTlsServer(
    {
      cert: certPem,
      key: keyPem,
      ALPNCallback: ({ protocols }) => protocols.find((protocol) => protocol === "h2"),
    },
    (socket) => {
      socket.on("error", () => {});
      http2.emit("connection", socket);
    },
  );
  server.on("connection", () => {
    dials += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const answers = await askAll(
      Array.from({ length: 20 }, () => ({})),
      port,
    );
    expect(answers.map(({ body }) => body.toString())).toEqual(Array.from({ length: 20 }, () => "spoken"));
    expect(dials).toBe(1);
  } finally {
    http2.close();
    server.close();
  }
});
