// HTTP/2 frames of hostile clients and destinations: whatever the bytes and however they are cut, the connection says the same, never
// throws, stays within its bounds, and a connection that failed says nothing more.

import fc from "fast-check";
import { clientPreface } from "../../src/core/http2/frame.ts";
import { End, get, post, settingsFrame } from "../support/http2-ends.ts";
import { encodeFields, encodeFrame, flag, frameType } from "../support/http2-frames.ts";
import { type Cuts, cuts, offsetsOf } from "./cuts.ts";
import { damage, damaged } from "./damage.ts";
import type { FuzzTarget } from "./target.ts";

const ok: readonly (readonly [string, string])[] = [[":status", "200"]];
const ids = fc.constantFrom(0, 1, 1, 3, 5, 7, 2, 0x7fff_ffff);
const flags = fc.constantFrom(
  0,
  flag.endStream,
  flag.endHeaders,
  flag.endHeaders | flag.endStream,
  0x08,
  0x20,
  0x2d,
  0xff,
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((made) => Buffer.from(made)),
  fc.constantFrom(
    encodeFields(get),
    encodeFields(post),
    encodeFields([[":status", "200"]]),
    encodeFields([[":status", "103"]]),
    Buffer.from([0x82, 0x87, 0x84, 0xbe, 0x3f, 0xe1, 0x1f]),
  ),
  fc.constantFrom(0, 1, 1_000, 0x7fff_ffff).map((value) => {
    const word = Buffer.alloc(4);
    word.writeUInt32BE(value);
    return word;
  }),
);

const frames = fc.oneof(
  {
    arbitrary: fc
      .tuple(fc.nat(11), flags, ids, bytes)
      .map(([type, flag, id, payload]) => encodeFrame(type, flag, id, payload)),
    weight: 2,
  },
  {
    arbitrary: fc
      .tuple(fc.constantFrom(1, 3, 5, 7, 9), fc.constantFrom(get, post, ok), fc.constantFrom(0, flag.endStream))
      .map(([id, fields, ends]) => encodeFrame(frameType.headers, flag.endHeaders | ends, id, encodeFields(fields))),
    weight: 3,
  },
  {
    arbitrary: fc
      .tuple(fc.constantFrom(1, 3, 5), flags, bytes)
      .map(([id, flag, content]) => encodeFrame(frameType.data, flag, id, content)),
    weight: 3,
  },
  fc
    .tuple(fc.nat(8), fc.constantFrom(0, 1, 100, 16_384, 2 ** 31))
    .map(([name, value]) => settingsFrame([[name, value]])),
);

const cases = fc.record({
  made: fc.array(frames, { maxLength: 25 }),
  damage,
  cuts,
  answers: fc.boolean(),
  role: fc.constantFrom("server" as const, "client" as const),
});

/** What one end says of these bytes. */
function say(wire: Buffer, made: Cuts, answers: boolean, role: "server" | "client"): string {
  const end = new End(role, { maxStreams: 3 });
  if (role === "client") for (let at = 0; at < 3; at++) ask(end);
  let from = 0;
  let sent = end.pullBytes().length;
  for (const to of [...offsetsOf(made, wire.length), wire.length]) {
    const { failed } = end.connection;
    const { length } = end.requests;
    end.connection.receive(wire.subarray(from, to));
    if (failed && end.requests.length > length) throw new Error("a request after the connection had failed");
    if (end.connection.streams > 3) throw new Error("more streams than the bound");
    from = to;
  }
  // Output depends on where it was pulled; so it is, once.
  if (answers && role === "server") {
    for (const { stream } of end.requests) {
      stream.sendHead([":status", "200", "x", "y".repeat(50)]);
      stream.sendData(Buffer.alloc(100));
      stream.sendEnd();
      stream.flush();
    }
  }
  sent += end.pullBytes().length;
  const heard = end.requests.map(({ lines, body }) => [...lines, body.toString("hex")]);
  return JSON.stringify([end.lines, end.controlFrames, heard, sent]);
}

function ask(end: End): void {
  const stream = end.connection.open();
  end.onRequest(stream, [], false);
  stream.sendHead(get.flat());
  stream.sendEnd();
  stream.flush();
}

export const http2Frames: FuzzTarget = {
  name: "http2-frames",
  open: () => ({
    property: fc.property(cases, ({ made, damage, cuts, answers, role }) => {
      const preface = role === "server" ? clientPreface : Buffer.alloc(0);
      const wire = Buffer.concat([preface, settingsFrame([]), damaged(Buffer.concat(made), damage)]);
      const whole = say(wire, [], answers, role);
      const cut = say(wire, cuts, answers, role);
      if (whole !== cut) throw new Error(`cut: ${cut}\nwhole: ${whole}`);
    }),
  }),
};
