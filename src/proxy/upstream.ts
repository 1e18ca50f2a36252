// One request on its way to the destination, whatever the protocol: what the exchange sees of the upstream leg.

import type { KeyswapError } from "../core/errors.ts";
import type { Field, RequestHead, ResponseHead } from "../core/message.ts";
import type { BodyLength } from "../core/wire/framing.ts";
import type { Switched } from "./downstream.ts";

/** How an HTTP/2 stream was given up by the other side. */
export interface StreamReset {
  /** RFC 9113 section 7. */
  readonly code: number;
  /** The other side promises that it did nothing with the request (section 8.7). */
  readonly unprocessed: boolean;
}

/** Hears the answer. Called within the upstream socket's own turn; `onAnswerFlush` ends each turn that brought something. */
export interface UpstreamListener {
  /** 1xx but 101. */
  onInterim(head: ResponseHead): void;
  onAnswerHead(head: ResponseHead, length: BodyLength): void;
  onAnswerData(content: Buffer): void;
  /** `requestGoesOn`: the leg still takes what is left of the request; `onUpstreamClosed` follows. */
  onAnswerEnd(trailers: readonly Field[], requestGoesOn?: boolean): void;
  onAnswerFlush(): void;
  /** The request can go on after `flush` answered false. */
  onUpstreamDrain(): void;
  /**
   * The leg is gone. `stale`: a pooled connection had been closed by the other side before it saw the request, as far as
   * can be told; the request may be sent again on a fresh one if it can be repeated.
   */
  onUpstreamLost(error: KeyswapError, stale: boolean, reset?: StreamReset): void;
  /** After an answer that came before the request was complete: the leg takes no more of it. */
  onUpstreamClosed(): void;
}

/** Sends one request. After `sendEnd` and the answer's end it must not be used again; it goes back to its pool by itself. */
export interface UpstreamStream {
  /** Takes the leg for one request; before anything else. */
  begin(listener: UpstreamListener): void;
  sendHead(head: RequestHead, target: string, length: BodyLength): void;
  sendData(content: Buffer): void;
  sendEnd(trailers: readonly Field[]): void;
  /** Writes what was gathered. False: wait for `onUpstreamDrain`. */
  flush(): boolean;
  /** Stops and restarts the answer. */
  pause(): void;
  resume(): void;
  /** After a 101: gives the connection away. Absent where it is shared. */
  switchProtocols?(): Switched;
  /** Gives the request up; nothing more is heard. */
  abort(): void;
}
