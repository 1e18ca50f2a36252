// WebSocket frames against ws's own receiver: for any bytes and any cut both say the same messages and control frames, and
// refuse at the same place. One difference is meant: ws takes lengths in more bytes than they need, which RFC 6455 forbids
// (section 5.2).

import type { Writable } from "node:stream";
import fc from "fast-check";
import * as ws from "ws";
import { type MessageKind, opcodes, WebSocketReader } from "../../src/core/wire/websocket.ts";
import { applyMask } from "../../src/core/wire/websocket-mask.ts";
import { cuts, offsetsOf } from "./cuts.ts";
import type { FuzzTarget } from "./target.ts";

// Exported by ws, but not by its types.
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable };

/** A frame as the generator wants it, right or wrong. */
const frame = fc.record({
  first: fc.oneof(
    { arbitrary: fc.constantFrom(0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a), weight: 12 },
    { arbitrary: fc.constant(0x88), weight: 1 },
    { arbitrary: fc.integer({ min: 0, max: 255 }), weight: 1 },
  ),
  payload: fc.oneof(
    { arbitrary: fc.uint8Array({ maxLength: 20 }), weight: 8 },
    fc.integer({ min: 120, max: 130 }).map((length) => new Uint8Array(length).fill(7)),
    fc
      .constantFrom(1000, 1005, 1006, 1014, 1015, 2999, 3000, 5000)
      .map((code) => Uint8Array.of(code >> 8, code & 255, 33)),
  ),
  key: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  /** Where to flip which bits, or nowhere. */
  flaw: fc.option(fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 255 })), { freq: 20 }),
});

const cases = fc.record({ isMasked: fc.boolean(), frames: fc.array(frame, { maxLength: 12 }), cuts });
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

interface Transcript {
  readonly said: readonly string[];
  readonly refused: boolean;
  readonly detail: string | undefined;
}

function bytesOf({ frames, isMasked }: Case): Buffer {
  const parts = frames.map(({ first, payload, key, flaw }) => {
    const { length } = payload;
    const mask = isMasked ? 0x80 : 0;
    const head = length < 126 ? [first, mask | length] : [first, mask | 126, length >> 8, length & 255];
    const content = Buffer.from(payload);
    const bytes = Buffer.concat([
      Buffer.from(head),
      ...(isMasked ? [Buffer.from(key), applyMask(content, Buffer.from(key), 0)] : [content]),
    ]);
    if (flaw !== null) bytes[flaw[0] % bytes.length]! ^= flaw[1];
    return bytes;
  });
  return Buffer.concat(parts);
}

function readOurs(isMasked: boolean, chunks: readonly Buffer[]): Transcript {
  const said: string[] = [];
  let message: Buffer[] = [];
  let detail: string | undefined;
  const reader = new WebSocketReader(
    {
      onMessagePart(kind: MessageKind, content: Buffer, ends: boolean) {
        message.push(content);
        if (!ends) return;
        said.push(`${kind} ${Buffer.concat(message).toString("latin1")}`);
        message = [];
      },
      onControl: (opcode, payload) => said.push(controlText(opcode, payload)),
      onFault: (_code, fault) => {
        detail = fault;
      },
    },
    isMasked,
  );
  for (const chunk of chunks) reader.push(chunk);
  return { said, refused: detail !== undefined, detail };
}

function controlText(opcode: number, payload: Buffer): string {
  if (opcode !== opcodes.close) return `${opcode} ${payload.toString("latin1")}`;
  return payload.length === 0
    ? "close 1005 "
    : `close ${payload.readUInt16BE(0)} ${payload.subarray(2).toString("latin1")}`;
}

/** Its events come within `write`; an error in a turn of its own. */
async function readTheirs(isMasked: boolean, chunks: readonly Buffer[]): Promise<Transcript> {
  const said: string[] = [];
  let refused = false;
  const receiver = new Receiver({ isServer: isMasked, skipUTF8Validation: true });
  receiver.on("error", () => {
    refused = true;
  });
  receiver.on("message", (data: Buffer, isBinary: boolean) => {
    said.push(`${isBinary ? "binary" : "text"} ${data.toString("latin1")}`);
  });
  receiver.on("ping", (data: Buffer) => said.push(`${opcodes.ping} ${data.toString("latin1")}`));
  receiver.on("pong", (data: Buffer) => said.push(`${opcodes.pong} ${data.toString("latin1")}`));
  receiver.on("conclude", (code: number, reason: Buffer) => said.push(`close ${code} ${reason.toString("latin1")}`));
  for (const chunk of chunks) {
    // A copy: it unmasks in place. Behind a close it has ended itself.
    if (!receiver.destroyed && !receiver.writableEnded) receiver.write(Buffer.from(chunk));
  }
  await new Promise((resolve) => setImmediate(resolve));
  receiver.removeAllListeners("message");
  receiver.destroy();
  return { said, refused, detail: undefined };
}

async function check(made: Case): Promise<void> {
  const bytes = bytesOf(made);
  const places = [0, ...offsetsOf(made.cuts, bytes.length), bytes.length];
  const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
  const ours = readOurs(made.isMasked, chunks);
  const theirs = await readTheirs(made.isMasked, chunks);
  const text = `${JSON.stringify(ours)} ≠ ${JSON.stringify(theirs)} for ${bytes.toString("hex")}`;
  if (ours.detail === "a length in more bytes than it needs") {
    if (!ours.said.every((event, index) => event === theirs.said[index])) throw new Error(text);
    return;
  }
  if (ours.refused !== theirs.refused || ours.said.join("\n") !== theirs.said.join("\n")) throw new Error(text);
}

export const websocketFrames: FuzzTarget = {
  name: "websocket-frames",
  open: () => ({
    property: fc.asyncProperty(cases, check),
  }),
};
