// The client's side of one exchange, whatever the protocol: what the exchange sees of it.

import type { Socket } from "node:net";
import type { Field, ResponseHead } from "../core/message.ts";
import type { BodyLength } from "../core/wire/framing.ts";

/** A connection that changed its protocol: its socket, paused, and what had come of the new protocol already. */
export interface Switched {
  readonly socket: Socket;
  readonly rest: Buffer | undefined;
}

/** Takes the answer. Nothing is on the wire before `flush`. */
export interface Downstream {
  readonly protocol: "http/1.1" | "h2";
  /** 1xx but 101. */
  sendInterim(head: ResponseHead): void;
  /** `length` undefined: there is no body and the framing fields stand as they came (HEAD, 204, 304). */
  sendHead(head: ResponseHead, length: BodyLength | undefined): void;
  sendData(content: Buffer): void;
  sendEnd(trailers: readonly Field[]): void;
  /** `isAll`: nothing more comes of the callback that runs now. False: wait for `Exchange.onClientDrain`. */
  flush(isAll?: boolean): boolean;
  /** The answer cannot be completed: the client must not take it for whole. `resetCode`: why, in the words of HTTP/2. */
  abort(resetCode?: number): void;
  /** Stops and restarts the request's body. */
  pauseRequest(): void;
  resumeRequest(): void;
  /** Answers with a 101 and gives the connection away; the exchange hears of its close. Absent where it is shared. */
  switchProtocols?(head: ResponseHead): Switched;
  /** The exchange is over. `requestComplete`: the whole request was read. */
  onExchangeEnd(requestComplete: boolean): void;
}
