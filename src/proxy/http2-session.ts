// What both legs' HTTP/2 sessions agree on: settings, bounds, and how a stream's end is told from a stream's loss.

import { constants, type Http2Session, type Http2Stream, type SessionOptions, type Settings } from "node:http2";
import { Duplex } from "node:stream";
import type { Clock } from "../core/ports.ts";
import type { MessageLimits } from "../core/wire/message-reader.ts";

/** Streams of one session at a time; what RFC 9113 section 5.1.2 recommends as the least. */
export const maxStreams = 100;
/** A stream's bytes in flight towards us: the most that a paused stream holds. */
const streamWindowBytes = 256 * 1024;
/** A session's bytes in flight towards us, which never wait for a slow stream. */
export const sessionWindowBytes = 1024 * 1024;

/** PING and SETTINGS frames of the other side within a period; gRPC measures its bandwidth with a PING per round trip. */
const maxControlFrames = 2_000;
const controlPeriodMs = 10_000;

export function sessionSettings(limits: MessageLimits): Settings {
  return {
    enablePush: false,
    initialWindowSize: streamWindowBytes,
    maxConcurrentStreams: maxStreams,
    maxHeaderListSize: limits.maxHeadBytes,
  };
}

/** Bounds on what the other side may do. nghttp2 itself bounds CONTINUATION frames and unread PING and SETTINGS answers. */
export function sessionLimits(limits: MessageLimits): SessionOptions & {
  readonly maxSessionInvalidFrames: number;
  readonly maxSessionRejectedStreams: number;
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
  readonly strictSingleValueFields: boolean;
} {
  return {
    // MiB of native memory: beyond it new streams are refused.
    maxSessionMemory: 32,
    // Four pseudo-headers come on top.
    maxHeaderListPairs: limits.maxFields + 4,
    maxOutstandingPings: 2,
    maxSettings: 32,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    // Rapid reset: so many cancelled streams at once, and then so many a second.
    streamResetBurst: 1_000,
    streamResetRate: 100,
    // Heads are checked by us: one field more must not throw.
    strictSingleValueFields: false,
  };
}

/** Counts frames that cost an answer and carry nothing; ends the session that sends too many. */
export function boundControlFrames(session: Http2Session, clock: Clock): void {
  let count = 0;
  let since = clock();
  const onFrame = (): void => {
    const now = clock();
    if (now - since > controlPeriodMs) {
      since = now;
      count = 0;
    }
    count += 1;
    if (count > maxControlFrames) session.destroy(new Error("control frames"), constants.NGHTTP2_ENHANCE_YOUR_CALM);
  };
  session.on("ping", onFrame);
  session.on("remoteSettings", onFrame);
}

/**
 * Has a stream remember whether its end was said by the other side. A reset with NO_ERROR ends the readable side too, and
 * nothing public tells the two apart; but a reset closes the stream first.
 */
export function watchEnd(stream: Http2Stream): void {
  stream.push = pushWatched;
}

/** Whether END_STREAM came; for a watched stream. */
export function endCame(stream: Http2Stream): boolean {
  return (stream as Watched)[cameToEnd] === true;
}

const cameToEnd = Symbol("END_STREAM came");

/** A stream that carries our mark; a WeakSet of ended ones costs more than all else here. */
type Watched = Http2Stream & { [cameToEnd]?: true };

function pushWatched(this: Watched, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk === null && !this.closed) this[cameToEnd] = true;
  return Duplex.prototype.push.call(this, chunk, encoding);
}
