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
/** Requests that a client gives up within a period; browsers give up what a page that is left was loading. */
const maxResets = 1_000;
const periodMs = 10_000;
/** How long a session that was told to calm down is still there, so that it can read why. */
const calmMs = 250;

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
    // Rapid reset: so many cancelled streams at once, and then so many a second. Ours is the lower bound.
    streamResetBurst: 2 * maxResets,
    streamResetRate: 200,
    // Heads are checked by us: one field more must not throw.
    strictSingleValueFields: false,
  };
}

/** Faults by which node:http2 says that the other side has done too much of something; the rest is broken framing. */
const excesses: ReadonlySet<unknown> = new Set([
  "ERR_HTTP2_TOO_MANY_INVALID_FRAMES",
  "ERR_HTTP2_TOO_MANY_CUSTOM_SETTINGS",
  // Of nghttp2: NGHTTP2_ERR_FLOODED and NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.
  -904,
  -905,
  // NGHTTP2_ERR_CALLBACK_FAILURE: more streams were refused than node:http2 bears.
  -902,
]);

/**
 * Has a session that ends because of the other side's excess say so (RFC 9113 section 10.5): node:http2 calls all faults
 * internal errors of its own.
 */
function nameExcess(session: Http2Session): void {
  const destroy = session.destroy.bind(session);
  session.destroy = (error, code) => {
    const { code: text, errno } = (error ?? {}) as { readonly code?: unknown; readonly errno?: unknown };
    const isExcess = code === undefined && (excesses.has(text) || excesses.has(errno));
    destroy(error, isExcess ? constants.NGHTTP2_ENHANCE_YOUR_CALM : code);
  };
}

/**
 * Counts what costs work and carries nothing, and ends the session of a side that does too much of it. Frames of no
 * consequence (PRIORITY, WINDOW_UPDATE) cost no more than the bytes they come in.
 */
export class SessionBounds {
  readonly #session: Http2Session;
  readonly #clock: Clock;
  #controlFrames = 0;
  #resets = 0;
  #since: number;
  #calmed = false;

  constructor(session: Http2Session, clock: Clock) {
    this.#session = session;
    this.#clock = clock;
    this.#since = clock();
    nameExcess(session);
    const onFrame = (): void => {
      this.#advance();
      this.#controlFrames += 1;
      if (this.#controlFrames > maxControlFrames) this.#calm();
    };
    session.on("ping", onFrame);
    session.on("remoteSettings", onFrame);
  }

  /** The other side gave a request up. */
  onReset(): void {
    this.#advance();
    this.#resets += 1;
    if (this.#resets > maxResets) this.#calm();
  }

  #advance(): void {
    const now = this.#clock();
    if (now - this.#since <= periodMs) return;
    this.#since = now;
    this.#controlFrames = 0;
    this.#resets = 0;
  }

  /** A connection that is closed with bytes unread takes its last words along: those get a head start. */
  #calm(): void {
    const session = this.#session;
    if (this.#calmed || session.destroyed) return;
    this.#calmed = true;
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    const last = (): void => session.destroy(new Error("excess"), constants.NGHTTP2_ENHANCE_YOUR_CALM);
    setTimeout(last, calmMs);
  }
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
