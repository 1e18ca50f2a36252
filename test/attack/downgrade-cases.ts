// HTTP/2 on one side and HTTP/1.1 on the other: what is a field or a length in the one must not become framing in the
// other. Frames are written by hand, for libraries do not send such.

import { encodeFields, errorCode, type Frame, flag, frameType, Http2Wire } from "../support/http2-frames.ts";
import { startRawOrigin } from "../support/raw-origin.ts";
import type { WireClient } from "../support/wire-client.ts";
import { exchange, intercepted } from "./ways.ts";
import { type AttackCase, goodHost, holds, type Sandbox, same, until, type World } from "./world.ts";

type Fields = readonly (readonly [string, string])[];

const smuggled = `GET /smuggled HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`;

async function armed(world: World): Promise<Sandbox> {
  return world.sandbox([await world.secret("a value behind the framing", [goodHost])]);
}

async function wireTo(world: World, port: number): Promise<Http2Wire> {
  const client = await intercepted(world, await armed(world), goodHost, port, { alpn: ["h2"] });
  client.socket.removeAllListeners("data");
  return new Http2Wire(client.socket, "client");
}

function head(method: string, more: Fields, changed: Readonly<Record<string, string>> = {}): Fields {
  const pseudo = { ":method": method, ":scheme": "https", ":authority": goodHost, ":path": "/", ...changed };
  return [...Object.entries(pseudo), ...more];
}

/** What says that a request was refused: a reset, the connection's end, or an answer of 4xx. */
function refusal(wire: Http2Wire): Frame | "closed" | undefined {
  if (wire.isClosed || wire.goawayCode !== undefined) return "closed";
  return wire.find(frameType.rstStream, 1) ?? wire.find(frameType.headers, 1);
}

/** ":status 200" is the first byte 0x88 (RFC 7541 appendix A, index 8). */
function isSuccess(frame: Frame): boolean {
  return frame.type === frameType.headers && frame.payload[0] === 0x88;
}

const oddHeads: Readonly<Record<string, Fields>> = {
  "transfer-encoding": head("POST", [["transfer-encoding", "chunked"]]),
  "transfer-encoding in odd case": head("POST", [["Transfer-Encoding", "chunked"]]),
  connection: head("POST", [["connection", "content-length"]]),
  "proxy-connection": head("POST", [["proxy-connection", "keep-alive"]]),
  "upgrade: h2c": head("POST", [["upgrade", "h2c"]]),
  "a request line in :path": head("GET", [], { ":path": `/ HTTP/1.1\r\nHost: ${goodHost}\r\n\r\nGET /smuggled` }),
  "a blank in :path": head("GET", [], { ":path": "/ HTTP/1.1" }),
  "a request line in :method": head("GET", [], { ":method": "GET /smuggled HTTP/1.1\r\nx:" }),
  "CR LF in :authority": head("GET", [], { ":authority": `${goodHost}\r\nx: y` }),
  "two lengths": head("POST", [
    ["content-length", "3"],
    ["content-length", "4"],
  ]),
  "a signed length": head("POST", [["content-length", "+3"]]),
  "a second Host": head("GET", [["host", "evil.test"]]),
  "a pseudo-header behind a field": [...head("GET", [["x", "y"]]), [":path", "/smuggled"]],
};

/** Fields with bytes that no field may have: the request is refused, or goes on without them. */
const oddFields: Fields = [
  ["x-odd", `a\r\nHost: evil.test\r\n\r\n${smuggled}`.slice(0, 120)],
  ["x-odd", "a\nTransfer-Encoding: chunked"],
  ["x-odd", "a\rb"],
  ["x-odd", "a\0b"],
  ["x-odd: y\r\ntransfer-encoding", "chunked"],
  ["transfer-encoding: chunked\nx-odd", "y"],
  ["content-length ", "5"],
  ["x-odd:", "y"],
  ["", "x-odd"],
];
const oddTraces = /odd|evil\.test|smuggled|transfer-encoding|content-length|\0/i;

/** Bodies that are not as long as they say. */
const lying: Readonly<Record<string, (wire: Http2Wire) => void>> = {
  "longer than its length": (wire) => {
    wire.headers(1, head("POST", [["content-length", "2"]]));
    wire.send(frameType.data, flag.endStream, 1, `ok${smuggled}`);
  },
  "shorter than its length": (wire) => {
    wire.headers(1, head("POST", [["content-length", "500"]]));
    wire.send(frameType.data, flag.endStream, 1, smuggled);
  },
  "that is missing, of a length": (wire) => {
    wire.headers(1, head("POST", [["content-length", "5"]]), flag.endStream);
  },
};

/** Answers of a destination's that speaks HTTP/2, to a client that does not. */
const oddAnswers: Readonly<Record<string, (wire: Http2Wire, stream: number) => void>> = {
  "transfer-encoding": (wire, stream) => answer(wire, stream, [["transfer-encoding", "chunked"]]),
  "two lengths": (wire, stream) =>
    answer(wire, stream, [
      ["content-length", "2"],
      ["content-length", "10"],
    ]),
  "more bytes than its length": (wire, stream) => answer(wire, stream, [["content-length", "2"]]),
  "fewer bytes than its length": (wire, stream) => answer(wire, stream, [["content-length", "200"]]),
  "a status of four digits": (wire, stream) => {
    wire.send(frameType.headers, flag.endHeaders | flag.endStream, stream, encodeFields([[":status", "2000"]]));
  },
  "a pseudo-header as trailer": (wire, stream) => {
    wire.headers(stream, [[":status", "200"]]);
    wire.send(frameType.data, 0, stream, "ok");
    wire.headers(stream, [[":status", "200"]], flag.endStream);
  },
};

function answer(wire: Http2Wire, stream: number, more: Fields): void {
  wire.headers(stream, [[":status", "200"], ...more]);
  wire.send(frameType.data, flag.endStream, stream, "okpoisoned");
}

/** A destination that speaks HTTP/2 and says this; `then` gets the way to it. */
async function toOrigin(
  world: World,
  say: (wire: Http2Wire, stream: number) => void,
  then: (client: WireClient) => Promise<void>,
): Promise<void> {
  const options = { pki: world.pki, names: [goodHost], alpn: ["h2"] };
  const origin = await startRawOrigin(options, async ({ socket, wire: reader }) => {
    socket.removeAllListeners("data");
    const wire = new Http2Wire(socket, "server");
    const { stream } = await wire.frame(frameType.headers);
    say(wire, stream);
    await reader.closed();
  });
  try {
    const client = await intercepted(world, await armed(world), goodHost, origin.port);
    client.send(`GET / HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`);
    await then(client);
    holds(!client.unread.includes("poisoned"), `behind it: ${client.unread}`);
    client.close();
  } finally {
    await origin.close();
  }
}

export const downgradeCases: readonly AttackCase[] = [
  ...Object.entries(oddHeads).map(([what, fields]) => ({
    name: `HTTP/2 to HTTP/1.1: a request with ${what} is refused, and nothing of it arrives`,
    run: async (world: World) => {
      const before = world.good.requests.length;
      const wire = await wireTo(world, world.good.port);
      wire.headers(1, fields, flag.endStream);
      await until(() => holds(refusal(wire) !== undefined, "no answer"));
      const told = refusal(wire);
      wire.socket.destroy();
      holds(told === "closed" || (told !== undefined && !isSuccess(told)), "it was answered with 200");
      same(world.good.requests.length, before, "requests at the origin");
    },
  })),
  {
    name: "HTTP/2 to HTTP/1.1: fields with bytes that no field may have go nowhere",
    run: async (world) => {
      for (const field of oddFields) {
        const before = world.good.requests.length;
        const wire = await wireTo(world, world.good.port);
        wire.headers(1, head("GET", [field]), flag.endStream);
        await until(() => holds(refusal(wire) !== undefined, "no answer"));
        wire.socket.destroy();
        const arrived = world.good.requests.slice(before);
        holds(arrived.length <= 1 && !oddTraces.test(arrived.join()), `arrived: ${JSON.stringify(arrived)}`);
      }
    },
  },
  ...Object.entries(lying).map(([what, send]) => ({
    name: `HTTP/2 to HTTP/1.1: a body ${what} is not passed on as a whole, nor as a request`,
    run: async (world: World) => {
      const before = world.good.requests.length;
      const wire = await wireTo(world, world.good.port);
      send(wire);
      await until(() => holds(refusal(wire) !== undefined, "no answer"));
      wire.socket.destroy();
      const client = await intercepted(world, await armed(world), goodHost, world.good.port);
      const next = await exchange(client, `GET /next HTTP/1.1\r\nHost: ${goodHost}\r\n\r\n`);
      client.close();
      holds(next.body.startsWith("GET /next "), "the next answer is another's");
      same(world.good.requests.length, before + 1, "whole requests at the origin");
    },
  })),
  ...Object.entries(oddAnswers).map(([what, say]) => ({
    name: `HTTP/2 to HTTP/1.1: an answer with ${what} is never a whole one, and frames no second`,
    run: (world: World) =>
      toOrigin(world, say, async (client) => {
        const got = await client.read().catch(() => undefined);
        holds(got === undefined || got.status === 502, `status ${got?.status}`);
      }),
  })),
  {
    name: "HTTP/2 to HTTP/1.1: an answer's fields with bytes that no field may have frame nothing",
    run: async (world) => {
      for (const field of [
        ["x", "a\r\nContent-Length: 0\r\n\r\npoisoned"],
        ["x: y\r\npoisoned", "1"],
        ["x", "a\npoisoned: b"],
      ] as const) {
        const say = (wire: Http2Wire, stream: number): void => {
          wire.headers(stream, [[":status", "200"], field], flag.endStream);
        };
        await toOrigin(world, say, async (client) => {
          const got = await client.read().catch(() => undefined);
          holds(got === undefined || !JSON.stringify(got.fields).includes("poisoned"), "the field came through");
          holds(got === undefined || got.status === 502 || got.body.length === 0, "a body came of it");
        });
      }
    },
  },
  {
    name: "HTTP/2: of more than 100 streams at a time the further ones are refused, and do not reach the destination",
    run: async (world) => {
      const stop = Promise.withResolvers<void>();
      world.good.serve = async ({ readRequest }) => {
        await readRequest();
        await stop.promise;
      };
      try {
        const before = world.good.origin.connections.length;
        const wire = await wireTo(world, world.good.port);
        await wire.frame(frameType.settings);
        for (let at = 0; at < 150; at++) wire.headers(2 * at + 1, head("POST", []), flag.endStream);
        const refused = () => wire.frames.filter(({ type }) => type === frameType.rstStream);
        await until(() => same(refused().length, 50, "streams that were refused"));
        same([...new Set(refused().map(({ payload }) => payload.readUInt32BE()))], [errorCode.refusedStream], "codes");
        await until(() => same(world.good.origin.connections.length - before, 100, "streams at the destination"));
        wire.socket.destroy();
        holds(world.good.origin.connections.length - before <= 100, "more than 100 at the destination");
      } finally {
        stop.resolve();
        world.good.serve = undefined;
      }
    },
  },
];
