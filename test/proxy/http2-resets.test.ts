// How HTTP/2 connections and streams end on one leg, and what the other leg hears of it.

import type { ClientHttp2Session } from "node:http2";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { errorCode, flag, frameType, Http2Wire } from "../support/http2-frames.ts";
import { answerOf, exchange as ask, connectHttp2, open, tunnelTls } from "../support/http2-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { waitUntil } from "../support/wait.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let origin: RawOrigin;
let session: ClientHttp2Session;
/** The destination's end of each connection. */
let ends: Http2Wire[];
/** Settings that it begins with. */
let settings: (readonly [number, number])[];
/** What it does with a request. */
let serve: (wire: Http2Wire, stream: number, connection: number) => void;

beforeAll(async () => {
  keyswap = await startKeyswap();
  secret = await keyswap.secret("the real value", [host]);
  origin = await startRawOrigin({ pki: keyswap.pki, names: [host], alpn: ["h2"] }, async ({ socket }) => {
    // The connection's own reader would take the bytes away.
    socket.removeAllListeners("data");
    const wire = new Http2Wire(socket, "server", settings);
    const at = ends.push(wire) - 1;
    let seen = 0;
    socket.on("data", () => {
      for (; seen < wire.frames.length; seen++) {
        const frame = wire.frames[seen];
        if (frame?.type === frameType.headers) serve(wire, frame.stream, at);
      }
    });
  });
});

beforeEach(async () => {
  ends = [];
  settings = [];
  // Its own connections upstream.
  sandbox = await keyswap.sandbox([secret]);
  session?.destroy();
  session = await connectHttp2(keyswap, sandbox, host, origin.port);
});

afterAll(async () => {
  session?.destroy();
  await keyswap.settled();
  await keyswap.close();
  await origin.close();
  expect(origin.faults).toEqual([]);
  expect(keyswap.errors).toEqual([]);
});

/** Held until it is complete, so that it can be sent again. */
const post = {
  method: "POST",
  body: "x",
  fields: [
    ["content-length", "1"],
    ["content-type", "text/plain"],
  ],
} as const;
const get = { fields: [["te", "trailers"]] } as const;

function answer(wire: Http2Wire, stream: number, body = "ok"): void {
  wire.headers(stream, [[":status", "200"]]);
  wire.send(frameType.data, flag.endStream, stream, body);
}

/** A body of so many frames of 16 KiB. */
function answerData(wire: Http2Wire, stream: number, frames: number): void {
  for (let at = 1; at <= frames; at++) {
    wire.send(frameType.data, at === frames ? flag.endStream : 0, stream, Buffer.alloc(16_384, 120));
  }
}

describe("GOAWAY from the destination", () => {
  it("lets what it took end, and later requests go out on a new connection", async () => {
    serve = (wire, stream, at) => {
      if (at === 0) wire.goaway(stream, errorCode.noError);
      answer(wire, stream, `on ${at}`);
    };
    expect((await ask(session, get)).body.toString()).toBe("on 0");
    expect((await ask(session, get)).body.toString()).toBe("on 1");
    await ends[0]?.closed();
  });

  it("has what it did not take sent again, POST too", async () => {
    serve = (wire, stream, at) => {
      if (at === 0) wire.goaway(0, errorCode.noError);
      else answer(wire, stream, `on ${at}`);
    };
    const answers = await Promise.all([ask(session, get), ask(session, post)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers.map(({ body }) => body.toString()).every((body) => body !== "on 0")).toBe(true);
  });

  it("with an error ends what ran, without claiming an answer", async () => {
    serve = (wire, stream) => {
      wire.headers(stream, [[":status", "200"]]);
      wire.send(frameType.data, 0, stream, "half");
      wire.goaway(stream, errorCode.internalError);
    };
    const got = await ask(session, get);
    expect(got.ended).toBe(false);
    expect(got.rstCode).not.toBe(errorCode.noError);
  });
});

describe("RST_STREAM", () => {
  it.each([
    ["REFUSED_STREAM: GET is sent again", errorCode.refusedStream, get, true],
    ["REFUSED_STREAM: POST is sent again", errorCode.refusedStream, post, true],
    ["ENHANCE_YOUR_CALM: nothing is sent again, the client hears the code", errorCode.enhanceYourCalm, get, false],
  ])("%s", async (_name, code, asked, again) => {
    let requests = 0;
    serve = (wire, stream) => {
      requests += 1;
      if (requests === 1) wire.reset(stream, code);
      else answer(wire, stream);
    };
    const got = await ask(session, asked);
    expect(requests).toBe(again ? 2 : 1);
    if (again) expect(got.body.toString()).toBe("ok");
    else expect(got.rstCode).toBe(code);
  });

  it("is not an endless loop", async () => {
    let requests = 0;
    serve = (wire, stream) => {
      requests += 1;
      wire.reset(stream, errorCode.refusedStream);
    };
    const got = await ask(session, get);
    expect(requests).toBe(2);
    expect(got.ended && got.status === 200).toBe(false);
  });

  it("of a client that leaves reaches the destination", async () => {
    serve = (wire, stream) => {
      wire.headers(stream, [[":status", "200"]]);
      wire.send(frameType.data, 0, stream, "the first part");
    };
    const stream = open(session, get);
    await new Promise((resolve) => stream.once("data", resolve));
    stream.close(errorCode.cancel);
    const reset = await waitUntil(() => {
      const frame = ends[0]?.find(frameType.rstStream);
      if (frame === undefined) throw new Error("not reset");
      return frame;
    });
    expect(reset.payload.readUInt32BE()).toBe(errorCode.cancel);
  });

  it("behind the head ends the client's stream with the same code", async () => {
    serve = (wire, stream) => {
      wire.headers(stream, [[":status", "200"]]);
      wire.send(frameType.data, 0, stream, "half");
      wire.reset(stream, errorCode.internalError);
    };
    const got = await ask(session, get);
    expect(got.status).toBe(200);
    expect(got.ended).toBe(false);
    expect(got.rstCode).toBe(errorCode.internalError);
  });
});

it("keeps to the destination's bound on streams", async () => {
  settings = [[3, 2]];
  let [running, most] = [0, 0];
  serve = (wire, stream) => {
    running += 1;
    most = Math.max(most, running);
    setImmediate(() => {
      running -= 1;
      answer(wire, stream);
    });
  };
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(session, get)));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  expect(most).toBeGreaterThan(0);
  for (const wire of ends) expect(wire.find(frameType.rstStream)).toBeUndefined();
});

it("keeps to it from the first request on, though many come before it is known", async () => {
  settings = [[3, 2]];
  const running = new Map<number, number>();
  let refused = 0;
  serve = (wire, stream, at) => {
    const before = running.get(at) ?? 0;
    if (before === 2) {
      refused += 1;
      wire.reset(stream, errorCode.refusedStream);
      return;
    }
    running.set(at, before + 1);
    setImmediate(() => {
      running.set(at, (running.get(at) ?? 0) - 1);
      answer(wire, stream);
    });
  };
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(session, get)));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
  expect(refused).toBe(0);
});

it("a connection that breaks before its bound is known fails those who wait for it", async () => {
  serve = () => {};
  const mute = await startRawOrigin({ pki: keyswap.pki, names: [host], alpn: ["h2"] }, async ({ socket }) => {
    socket.once("data", () => socket.destroy());
  });
  const own = await connectHttp2(keyswap, sandbox, host, mute.port);
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask(own, get)));
  expect(answers.map(({ status }) => status)).toEqual([502, 502, 502, 502, 502]);
  expect(mute.connections).toHaveLength(1);
  own.destroy();
  await mute.close();
});

it("an answer that its client leaves while the rest is held gives its place back", async () => {
  settings = [[3, 1]];
  serve = (wire, stream) => {
    wire.headers(stream, [
      [":status", "200"],
      ["content-type", "image/png"],
    ]);
    if (stream === 3) answerData(wire, stream, 60);
    else wire.send(frameType.data, flag.endStream, stream, "ok");
    wire.send(frameType.ping, 0, 0, Buffer.alloc(8));
  };
  expect((await ask(session, get)).status).toBe(200);
  const stream = open(session, get);
  stream.pause();
  // The proxy has all of it, the client only what its window takes.
  await waitUntil(() => expect(ends[0]?.frames.filter(({ type }) => type === frameType.ping)).toHaveLength(2));
  stream.close(errorCode.cancel);
  await new Promise((resolve) => session.ping(() => resolve(undefined)));
  expect((await ask(session, get)).status).toBe(200);
  expect(ends).toHaveLength(1);
});

describe("what is not offered", () => {
  it("extended CONNECT and server push", async () => {
    const wire = new Http2Wire(await tunnelTls(keyswap, sandbox, host, origin.port, ["h2"]), "client");
    const { payload } = await wire.frame(frameType.settings);
    const offered = new Map<number, number>();
    for (let at = 0; at < payload.length; at += 6) offered.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    // RFC 8441 section 3; RFC 9113 section 6.5.2.
    expect(offered.get(8) ?? 0).toBe(0);
    expect(offered.get(3)).toBe(100);
    wire.socket.destroy();
  });

  it("CONNECT is answered 400, not tunnelled", async () => {
    serve = (wire, stream) => answer(wire, stream);
    const stream = session.request({ ":method": "CONNECT", ":authority": `${host}:443` });
    stream.on("error", () => {});
    const got = await answerOf(stream);
    expect(got.status === 400 || got.rstCode !== 0).toBe(true);
    expect(ends).toEqual([]);
  });
});

describe("a request that is answered before it was taken", () => {
  const upload = { method: "POST", body: "x".repeat(30_000), fields: [["content-type", "image/png"]] } as const;
  const [maxConcurrentStreams, initialWindowSize] = [3, 4];

  it("keeps its place until it is", async () => {
    settings = [
      [maxConcurrentStreams, 1],
      [initialWindowSize, 0],
    ];
    serve = (wire, stream, at) => wire.headers(stream, [[":status", `20${at}`]], flag.endStream);
    // The first one goes out ahead of the SETTINGS.
    expect((await ask(session, get)).status).toBe(200);
    expect((await ask(session, upload)).status).toBe(200);
    expect((await ask(session, get)).status).toBe(201);
    ends[0]?.windowUpdate(3, 100_000);
    await waitUntil(() => {
      if (!ends[0]?.frames.some(({ type, flags }) => type === frameType.data && flags & flag.endStream))
        throw new Error("the rest is not here");
    });
    expect((await ask(session, get)).status).toBe(200);
  });

  it("is given up where nothing of it is taken", async () => {
    const short = await startKeyswap({ pki: keyswap.pki, limits: { stallTimeoutMs: 400 } });
    const itsSandbox = await short.sandbox([await short.secret("the real value", [host])]);
    settings = [[initialWindowSize, 0]];
    serve = (wire, stream) => wire.headers(stream, [[":status", "200"]], flag.endStream);
    const own = await connectHttp2(short, itsSandbox, host, origin.port);
    expect((await ask(own, get)).status).toBe(200);
    expect((await ask(own, upload)).status).toBe(200);
    const reset = await ends[0]?.frame(frameType.rstStream, 3);
    expect(reset?.payload.readUInt32BE()).toBe(errorCode.cancel);
    own.destroy();
    await short.close();
  });
});

it("tells clients to go when the proxy drains, and lets them finish", async () => {
  const draining = await startKeyswap({ pki: keyswap.pki });
  const itsSecret = await draining.secret("the real value", [host]);
  const itsSandbox = await draining.sandbox([itsSecret]);
  const wire = new Http2Wire(await tunnelTls(draining, itsSandbox, host, origin.port, ["h2"]), "client");
  let finish: (() => void) | undefined;
  serve = (end, stream) => {
    finish = () => answer(end, stream);
  };
  const fields = [
    [":method", "GET"],
    [":scheme", "https"],
    [":authority", host],
    [":path", "/"],
    ["te", "trailers"],
  ];
  wire.headers(1, fields as [string, string][], flag.endStream);
  await waitUntil(() => {
    if (finish === undefined) throw new Error("not asked yet");
  });
  const closed = draining.proxy.close(5_000);
  const goaway = await wire.frame(frameType.goaway);
  expect(goaway.payload.readUInt32BE(4)).toBe(errorCode.noError);
  finish?.();
  expect((await wire.frame(frameType.data, 1)).payload.toString()).toBe("ok");
  await wire.closed();
  await closed;
  await draining.close();
});
