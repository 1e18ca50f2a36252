// WebSocket frames as they go on the wire (RFC 6455 section 5.2).

import { maxControlBytes, type Opcode } from "./websocket.ts";
import { applyMask } from "./websocket-mask.ts";

/** The head and the payload of a frame. With a `key` (four random bytes, fresh for each frame) it is masked, as a client's. */
export function writeFrame(
  opcode: Opcode,
  payload: Buffer,
  options: { readonly isFinal: boolean; readonly key?: Buffer | undefined },
): readonly [Buffer, Buffer] {
  const { isFinal, key } = options;
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = Buffer.allocUnsafe(2 + extended + (key === undefined ? 0 : 4));
  head[0] = opcode | (isFinal ? 0x80 : 0);
  head[1] = (extended === 0 ? length : extended === 2 ? 126 : 127) | (key === undefined ? 0 : 0x80);
  if (extended === 2) head.writeUInt16BE(length, 2);
  else if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
  if (key === undefined) return [head, payload];
  head.set(key, 2 + extended);
  return [head, applyMask(payload, key, 0)];
}

/** A close frame's payload. `reason` is ASCII; what is too long for a control frame is cut. */
export function closePayload(code: number, reason = ""): Buffer {
  const payload = Buffer.alloc(Math.min(2 + reason.length, maxControlBytes));
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2, "latin1");
  return payload;
}
