// HTTP/2 clients that keep a stream and do nothing with it: what is owed and does not come, what waits and is not taken.
// What is merely quiet stays.

import { afterEach, describe, expect, it } from "vitest";
import type { ProxyLimits } from "../../src/proxy/options.ts";
import { errorCode, flag, frameType, Http2Wire } from "../support/http2-frames.ts";
import { type Http2Origin, startHttp2Origin, tunnelTls } from "../support/http2-peers.ts";
import { type MadeSandbox, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { waitUntil } from "../support/wait.ts";

const host = "api.good.test";
const initialWindowSize = 4;
let keyswap: TestKeyswap;
let sandbox: MadeSandbox;
let origin: Http2Origin;
let wire: Http2Wire;
/** Streams that the destination has open, and those that were given up. */
let [opened, aborted] = [0, 0];

async function start(limits: Partial<ProxyLimits>, settings: readonly (readonly [number, number])[] = []) {
  [opened, aborted] = [0, 0];
  keyswap = await startKeyswap({ limits });
  sandbox = await keyswap.sandbox([await keyswap.secret("the real value", [host])]);
  origin = await startHttp2Origin({ pki: keyswap.pki, names: [host], speaks: "h2" });
  // No window limits the destination but the proxy's.
  origin.early = (request, response) => {
    opened += 1;
    request.stream.on("close", () => {
      aborted += 1;
    });
    return early(request, response);
  };
  wire = new Http2Wire(await tunnelTls(keyswap, sandbox, host, origin.port, ["h2"]), "client", settings);
}

let early: NonNullable<Http2Origin["early"]> = () => false;

afterEach(async () => {
  early = () => false;
  wire.socket.destroy();
  await keyswap.settled();
  expect(keyswap.proxy.counts).toMatchObject({ sockets: 0, clients: 0 });
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

function head(method: string, fields: readonly (readonly [string, string])[] = []): (readonly [string, string])[] {
  return [[":method", method], [":scheme", "https"], [":authority", host], [":path", "/"], ...fields];
}

const png = ["content-type", "image/png"] as const;
const grpc = ["content-type", "application/grpc"] as const;

/** A whole second exchange on the same connection: it is alive. */
async function expectAlive(stream: number): Promise<void> {
  const before = early;
  early = () => false;
  wire.headers(stream, head("GET"), flag.endStream);
  await wire.frame(frameType.headers, stream);
  early = before;
}

/** The code of the proxy's own answer. */
async function errorOn(stream: number): Promise<string> {
  const { payload } = await wire.frame(frameType.data, stream);
  return (JSON.parse(payload.toString()) as { error: string }).error;
}

function bytesOf(stream: number): number {
  return wire.frames
    .filter((frame) => frame.type === frameType.data && frame.stream === stream)
    .reduce((sum, { payload }) => sum + payload.length, 0);
}

/** Waits until the proxy has swept its deadlines so many times more. */
async function sweeps(count: number): Promise<void> {
  for (let at = 0; at < count; at++) await new Promise((resolve) => setTimeout(resolve, 500));
}

describe("an upload", () => {
  it("that stops coming gets 408 and NO_ERROR, its destination is let go, and the connection goes on", async () => {
    await start({ bodyTimeoutMs: 300 });
    wire.headers(1, head("POST", [png, ["content-length", "100"]]));
    wire.send(frameType.data, 0, 1, "half");
    await waitUntil(() => expect(opened).toBe(1));
    expect(await errorOn(1)).toBe("request-timeout");
    const reset = await wire.frame(frameType.rstStream, 1);
    expect(reset.payload.readUInt32BE()).toBe(errorCode.noError);
    await waitUntil(() => expect(aborted).toBe(1));
    expect((await keyswap.exchanges(sandbox))[0]).toMatchObject({ status: 408, error: "request-timeout" });
    await expectAlive(3);
  });

  it("without a length, of which not a byte came, gets 408", async () => {
    await start({ bodyTimeoutMs: 300 });
    wire.headers(1, head("POST", [png]));
    expect(await errorOn(1)).toBe("request-timeout");
    await wire.frame(frameType.rstStream, 1);
  });

  it("that goes on slowly is not cut off", async () => {
    await start({ bodyTimeoutMs: 1_500 });
    wire.headers(1, head("POST", [png, ["content-length", "8"]]));
    for (const letter of "slowpok") {
      await new Promise((resolve) => setTimeout(resolve, 300));
      wire.send(frameType.data, 0, 1, letter);
    }
    wire.send(frameType.data, flag.endStream, 1, "e");
    await wire.frame(frameType.headers, 1);
    expect(origin.last().body.toString()).toBe("slowpoke");
  });

  it("whose destination takes nothing is not the client's fault: it has the time of an answer", async () => {
    await start({ bodyTimeoutMs: 200, answerTimeoutMs: 2_000 });
    // Reads nothing and answers nothing.
    early = () => true;
    wire.headers(1, head("POST", [png]));
    await waitUntil(() => expect(opened).toBe(1));
    let sent = 0;
    // Until the proxy's window is closed, and a little for what was forwarded meanwhile.
    const windows = () =>
      wire.frames
        .filter(({ type, stream }) => type === frameType.windowUpdate && stream === 1)
        .reduce((sum, { payload }) => sum + payload.readUInt32BE(), 256 * 1024);
    await waitUntil(async () => {
      for (; sent + 16_384 <= windows(); sent += 16_384) wire.send(frameType.data, 0, 1, Buffer.alloc(16_384));
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(sent + 16_384).toBeGreaterThan(windows());
    });
    expect(await errorOn(1)).toBe("upstream-timeout");
  });

  it("of messages may be quiet for as long as it likes", async () => {
    await start({ bodyTimeoutMs: 100 });
    early = (request, response) => {
      request.once("data", () => {
        response.writeHead(200, { "content-type": "application/grpc" });
        response.end();
      });
      return true;
    };
    wire.headers(1, head("POST", [grpc]));
    await waitUntil(() => expect(opened).toBe(1));
    await sweeps(2);
    expect([wire.find(frameType.headers, 1), aborted]).toEqual([undefined, 0]);
    wire.send(frameType.data, 0, 1, Buffer.from([0, 0, 0, 0, 1, 7]));
    await wire.frame(frameType.headers, 1);
  });
});

describe("an answer", () => {
  const endless: NonNullable<Http2Origin["early"]> = (_request, response) => {
    response.writeHead(200, { "content-type": "image/png" });
    const write = (): void => {
      while (!response.stream.destroyed && response.write(Buffer.alloc(16_384)));
    };
    response.on("drain", write);
    write();
    return true;
  };

  it("that a client with a closed window does not take is reset, and its destination let go", async () => {
    await start({ stallTimeoutMs: 400 }, [[initialWindowSize, 1_000]]);
    early = endless;
    wire.headers(1, head("GET", [["te", "trailers"]]), flag.endStream);
    const reset = await wire.frame(frameType.rstStream, 1);
    expect(reset.payload.readUInt32BE()).toBe(errorCode.enhanceYourCalm);
    await waitUntil(() => expect(aborted).toBe(1));
    expect((await keyswap.exchanges(sandbox))[0]).toMatchObject({ status: 200, error: "client-stalled" });
    wire.settings([[initialWindowSize, 65_535]]);
    await expectAlive(3);
  });

  it("that is whole and is not taken does not hold its place for ever", async () => {
    await start({ stallTimeoutMs: 400 }, [[initialWindowSize, 0]]);
    wire.headers(1, head("GET"), flag.endStream);
    await wire.frame(frameType.headers, 1);
    const reset = await wire.frame(frameType.rstStream, 1);
    expect(reset.payload.readUInt32BE()).toBe(errorCode.enhanceYourCalm);
  });

  it("of a few bytes that are not taken ends, though its destination is quiet", async () => {
    await start({ stallTimeoutMs: 400 }, [[initialWindowSize, 0]]);
    early = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      return true;
    };
    wire.headers(1, head("GET", [["te", "trailers"]]), flag.endStream);
    const reset = await wire.frame(frameType.rstStream, 1);
    expect(reset.payload.readUInt32BE()).toBe(errorCode.enhanceYourCalm);
    await waitUntil(() => expect(aborted).toBe(1));
  });

  it("that is taken piece by piece goes on, though something always waits", async () => {
    await start({ stallTimeoutMs: 2_000 }, [[initialWindowSize, 0]]);
    let write: () => void = () => {};
    early = (_request, response) => {
      response.writeHead(200, { "content-type": "image/png" });
      write = () => response.write(Buffer.alloc(1_000));
      write();
      return true;
    };
    wire.headers(1, head("GET", [["te", "trailers"]]), flag.endStream);
    await wire.frame(frameType.headers, 1);
    for (let at = 1; at <= 3; at++) {
      write();
      await sweeps(2);
      wire.windowUpdate(1, 1_000);
      await waitUntil(() => expect(bytesOf(1)).toBe(1_000 * at));
    }
    expect(wire.find(frameType.rstStream, 1)).toBeUndefined();
  });

  it("that is quiet goes on", async () => {
    await start({ stallTimeoutMs: 100 });
    let say: (text: string) => void = () => {};
    early = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      say = (text) => response.end(text);
      return true;
    };
    wire.headers(1, head("GET", [["te", "trailers"]]), flag.endStream);
    await wire.frame(frameType.data, 1);
    await sweeps(3);
    say("data: 2\n\n");
    await waitUntil(() => {
      const data = wire.frames.filter(({ type }) => type === frameType.data);
      expect(Buffer.concat(data.map(({ payload }) => payload)).toString()).toBe("data: 1\n\ndata: 2\n\n");
    });
    expect(wire.find(frameType.rstStream, 1)).toBeUndefined();
  });

  it("on a connection that is not read at all takes the connection along", async () => {
    await start({ stallTimeoutMs: 400 });
    wire.settings([[initialWindowSize, 0x7fff_ffff]]);
    wire.windowUpdate(0, 0x7fff_0000);
    early = endless;
    wire.headers(1, head("GET", [["te", "trailers"]]), flag.endStream);
    await wire.frame(frameType.headers, 1);
    wire.socket.pause();
    await waitUntil(() => expect(aborted).toBe(1));
    await waitUntil(() => expect(keyswap.proxy.counts).toMatchObject({ sockets: 0, clients: 0 }));
  });
});
