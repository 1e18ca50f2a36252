// HTTP/2 clients that mean harm, frame by frame: each is sent away, and its neighbours do not notice.

import type { ClientHttp2Session } from "node:http2";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { encodeFields, errorCode, flag, frameType, Http2Wire } from "../support/http2-frames.ts";
import {
  exchange as ask,
  connectHttp2,
  type Http2Origin,
  type OriginRequest,
  open,
  startHttp2Origin,
  tunnelTls,
} from "../support/http2-peers.ts";
import { type MadeSandbox, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { waitUntil } from "../support/wait.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let sandbox: MadeSandbox;
let origin: Http2Origin;
let neighbour: ClientHttp2Session;
let wire: Http2Wire;
/** KEYSWAP_TEST_FIGURES=1: what each test cost this process, its client and destination included. */
const figures = process.env.KEYSWAP_TEST_FIGURES === "1";
let costBefore = { cpu: process.cpuUsage(), rss: 0 };

beforeAll(async () => {
  keyswap = await startKeyswap();
  sandbox = await keyswap.sandbox([await keyswap.secret("the real value", [host])]);
  origin = await startHttp2Origin({ pki: keyswap.pki, names: [host], speaks: "h2" });
  neighbour = await connectHttp2(keyswap, sandbox, host, origin.port);
});

beforeEach(async () => {
  origin.seen.length = 0;
  origin.handler = (response) => response.end("ok");
  wire = new Http2Wire(await tunnelTls(keyswap, sandbox, host, origin.port, ["h2"]), "client");
  costBefore = { cpu: process.cpuUsage(), rss: process.memoryUsage.rss() };
});

afterEach(({ task }) => {
  wire.socket.destroy();
  if (!figures) return;
  const { user, system } = process.cpuUsage(costBefore.cpu);
  const mib = (process.memoryUsage.rss() - costBefore.rss) / 1024 / 1024;
  const cost = `${Math.round((user + system) / 1000)} ms of CPU, RSS ${mib.toFixed(1)} MiB more`;
  process.stderr.write(`${task.name}: ${cost}\n`);
});

afterAll(async () => {
  neighbour?.destroy();
  await keyswap.settled();
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

function get(more: readonly (readonly [string, string])[] = []): (readonly [string, string])[] {
  return [[":method", "GET"], [":scheme", "https"], [":authority", host], [":path", "/"], ...more];
}

/** Sends until the other side has had enough; answers how many it took. */
async function flood(most: number, send: (at: number) => void): Promise<number> {
  for (let at = 0; at < most; at++) {
    if (wire.isClosed || wire.goawayCode !== undefined) return at;
    send(at);
    // Answers have to be read meanwhile.
    if (at % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
  return most;
}

async function expectSentAway(code?: number): Promise<void> {
  await wire.closed();
  if (code !== undefined) expect(wire.goawayCode).toBe(code);
  const answer = await ask(neighbour, {});
  expect(answer.status).toBe(200);
  expect(answer.body.toString()).toBe("ok");
}

describe("floods", () => {
  it("streams that are opened and reset at once (CVE-2023-44487)", async () => {
    const taken = await flood(20_000, (at) => {
      wire.headers(2 * at + 1, get(), flag.endStream);
      wire.reset(2 * at + 1, errorCode.cancel);
    });
    expect(taken).toBeLessThan(20_000);
    // nghttp2 itself may have had enough first. The connection then closes at once, and with bytes unread on it TCP
    // throws away what was not yet delivered.
    await expectSentAway();
    expect([errorCode.enhanceYourCalm, undefined]).toContain(wire.goawayCode);
  });

  it("a head that never ends (CVE-2024-27316)", async () => {
    wire.send(frameType.headers, flag.endStream, 1, encodeFields(get()));
    const piece = encodeFields([["x-more", "x".repeat(100)]]);
    expect(await flood(20_000, () => wire.send(frameType.continuation, 0, 1, piece))).toBeLessThan(20_000);
    await expectSentAway(errorCode.enhanceYourCalm);
  });

  it("PING", async () => {
    expect(await flood(20_000, () => wire.send(frameType.ping, 0, 0, "12345678"))).toBeLessThan(20_000);
    await expectSentAway(errorCode.enhanceYourCalm);
  });

  it("PING whose answers are not read", async () => {
    wire.socket.pause();
    for (let at = 0; at < 20_000; at++) wire.send(frameType.ping, 0, 0, "12345678");
    await new Promise((resolve) => wire.socket.once("drain", resolve));
    wire.socket.resume();
    // Whether it could still be told why is a matter of buffers.
    await expectSentAway();
  });

  it("SETTINGS", async () => {
    expect(await flood(20_000, () => wire.settings([[3, 100]]))).toBeLessThan(20_000);
    await expectSentAway(errorCode.enhanceYourCalm);
  });

  it("DATA without bytes", async () => {
    wire.headers(1, [[":method", "POST"], ...get().slice(1)]);
    expect(await flood(20_000, () => wire.send(frameType.data, 0, 1))).toBeLessThan(20_000);
    await expectSentAway(errorCode.enhanceYourCalm);
  });

  it.each<[string, (at: number) => void]>([
    ["WINDOW_UPDATE", () => wire.windowUpdate(0, 1)],
    ["PRIORITY", (at) => wire.send(frameType.priority, 0, 2 * at + 1, "\0\0\0\0\x10")],
    ["frames of a type that nobody knows", () => wire.send(0x77, 0, 0, "x")],
  ])("%s: costs what reading it costs", async (_name, send) => {
    const before = process.memoryUsage.rss();
    await flood(50_000, send);
    expect((await ask(neighbour, {})).status).toBe(200);
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024);
  });
});

describe("heads", () => {
  it("that unpack to a thousand times their size (HPACK bombs) are refused, each at the cost of its bytes", async () => {
    const before = process.memoryUsage.rss();
    // One field of 4,000 bytes goes into the dynamic table, and 16,000 references of a byte each follow.
    const field = Buffer.concat([
      Buffer.from([0x40, 1]),
      Buffer.from("x"),
      hpackLength(3_900),
      Buffer.alloc(3_900, "y"),
    ]);
    const bomb = Buffer.concat([encodeFields(get()), field, Buffer.alloc(12_000, 0xbe)]);
    for (let at = 0; at < 50 && !wire.isClosed; at++) {
      wire.send(frameType.headers, flag.endHeaders | flag.endStream, 2 * at + 1, bomb);
    }
    await waitUntil(() => {
      const refused = wire.frames.filter(({ type }) => type === frameType.rstStream || type === frameType.headers);
      if (refused.length < 50 && !wire.isClosed) throw new Error(`${refused.length} refused`);
    });
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
    expect(origin.seen).toHaveLength(0);
    expect((await ask(neighbour, {})).status).toBe(200);
  });
});

describe("peers that do not read", () => {
  const bodyBytes = 64 * 1024 * 1024;
  const most = 32 * 1024 * 1024;
  let http1: Http2Origin;

  beforeAll(async () => {
    http1 = await startHttp2Origin({ pki: keyswap.pki, names: [host], speaks: "http/1.1" });
  });

  afterAll(() => http1?.close());

  /** Resolves once a number has stopped growing. */
  async function standstill(count: () => number): Promise<number> {
    let last = -1;
    return waitUntil(async () => {
      const now = count();
      await new Promise((resolve) => setTimeout(resolve, 50));
      const stands = now === count() && last === now;
      last = now;
      if (!stands) throw new Error("it goes on");
      return now;
    });
  }

  it.each(["h2", "http/1.1"])("a client holds back destinations that speak %s", async (speaks) => {
    const sends = speaks === "h2" ? origin : http1;
    let sent = 0;
    sends.handler = (response) => {
      const piece = Buffer.alloc(64 * 1024);
      const write = (): void => {
        while (sent < 10 * bodyBytes && !response.destroyed) {
          sent += piece.length;
          if (!response.write(piece)) {
            response.once("drain", write);
            return;
          }
        }
        response.end();
      };
      write();
    };
    const slow = new Http2Wire(await tunnelTls(keyswap, sandbox, host, sends.port, ["h2"]), "client");
    const before = process.memoryUsage.rss();
    // Its streams' windows are closed: nothing but heads can come.
    slow.settings([[4, 0]]);
    for (let at = 0; at < 10; at++) slow.headers(2 * at + 1, get(), flag.endStream);
    await Promise.all(Array.from({ length: 10 }, (_, at) => slow.frame(frameType.headers, 2 * at + 1)));
    // Most of it is the kernel's.
    expect(await standstill(() => sent)).toBeLessThan(4 * most);
    expect(slow.find(frameType.data)).toBeUndefined();
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 * most);
    expect((await ask(neighbour, { method: "HEAD" })).status).toBe(200);
    // One of them reads after all.
    slow.windowUpdate(1, 1000);
    await slow.frame(frameType.data, 1);
    expect(slow.find(frameType.data)?.payload).toHaveLength(1000);
    slow.socket.destroy();
  });

  it.each(["h2", "http/1.1"])(
    "a destination that speaks %s holds back clients",
    async (speaks) => {
      const reads = speaks === "h2" ? origin : http1;
      const waiting = new Set<OriginRequest>();
      reads.early = (request) => request.method === "POST" && waiting.add(request) !== undefined;
      const session = await connectHttp2(keyswap, sandbox, host, reads.port);
      const stream = open(session, {
        method: "POST",
        body: "",
        fields: [["content-type", "application/octet-stream"]],
      });
      const before = process.memoryUsage.rss();
      const piece = Buffer.alloc(64 * 1024);
      let taken = 0;
      const write = (): void => {
        if (taken >= bodyBytes || stream.destroyed) return;
        stream.write(piece, () => {
          taken += piece.length;
          write();
        });
      };
      write();
      await waitUntil(() => {
        if (waiting.size === 0) throw new Error("not there yet");
      });
      expect(await standstill(() => taken)).toBeLessThan(most);
      expect(process.memoryUsage.rss() - before).toBeLessThan(2 * most);
      expect((await ask(neighbour, { method: "HEAD" })).status).toBe(200);
      // It reads after all.
      for (const request of waiting) request.resume();
      await waitUntil(() => {
        if (taken < bodyBytes) throw new Error(`${taken} taken`);
      }, 60_000);
      stream.close();
      session.destroy();
      reads.early = undefined;
    },
    90_000,
  );
});

/** A literal's length as HPACK writes it, for those from 127 on (RFC 7541 section 5.1). */
function hpackLength(length: number): Buffer {
  const rest = length - 127;
  return Buffer.from([0x7f, 0x80 | (rest & 0x7f), rest >> 7]);
}
