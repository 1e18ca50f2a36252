// SETTINGS (RFC 9113 section 6.5): what we say of ourselves, and what the other side may say.

import { errorCode, frameHeadBytes, frameType, maxFrameBytes, maxWindowBytes, setting } from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";

export interface OwnSettings {
  /** Streams that the other side may have open. */
  readonly maxStreams: number;
  /** Bytes that the other side may send ahead on a stream. */
  readonly streamWindowBytes: number;
  /** Bytes of a head, counted as section 6.5.2 does. */
  readonly maxHeadBytes: number;
}

export function writeSettings(own: OwnSettings, isServer: boolean): Buffer {
  const settings: readonly (readonly [number, number])[] = [
    // Nobody pushes; a server may not even say so.
    ...(isServer ? [] : ([[setting.enablePush, 0]] as const)),
    [setting.maxConcurrentStreams, own.maxStreams],
    [setting.initialWindowSize, own.streamWindowBytes],
    [setting.maxHeaderListSize, own.maxHeadBytes],
  ];
  const frame = new FrameWriter(frameHeadBytes + 6 * settings.length);
  frame.frame(6 * settings.length, frameType.settings, 0, 0);
  for (const [name, value] of settings) {
    frame.uint16(name);
    frame.uint32(value);
  }
  return frame.take();
}

/** What is changed; undefined: not mentioned. Their MAX_FRAME_SIZE is of no use: what everybody takes is what we send. */
export interface PeerSettings {
  tableBytes?: number;
  windowBytes?: number;
  maxStreams?: number;
}

/** Reads the payload `bytes[from, to)`, whole settings; a number is the error that the connection ends with. */
export function readSettings(bytes: Buffer, from: number, to: number, isServer: boolean): PeerSettings | number {
  const read: PeerSettings = {};
  for (let at = from; at < to; at += 6) {
    const value = bytes.readUInt32BE(at + 2);
    switch (bytes.readUInt16BE(at)) {
      case setting.headerTableSize:
        read.tableBytes = value;
        break;
      case setting.enablePush:
        // Only a client may want it.
        if (value > (isServer ? 1 : 0)) return errorCode.protocolError;
        break;
      case setting.maxConcurrentStreams:
        read.maxStreams = value;
        break;
      case setting.initialWindowSize:
        if (value > maxWindowBytes) return errorCode.flowControlError;
        read.windowBytes = value;
        break;
      case setting.maxFrameSize:
        if (value < maxFrameBytes || value > 0xff_ffff) return errorCode.protocolError;
        break;
      default:
      // Settings of other names are for others.
    }
  }
  return read;
}
