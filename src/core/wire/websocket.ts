// WebSocket frames (RFC 6455 section 5): bytes in, parts of messages and control frames out. No I/O, no extensions: a peer
// that sets a reserved bit fails the connection, as does whatever else the RFC forbids. Whether text is UTF-8 is for its
// receiver to judge.
//
//   websocket-handshake.ts (the upgrade) → WebSocketReader (this file) → websocket-writer.ts; websocket-mask.ts for both

import { applyMask } from "./websocket-mask.ts";

/** RFC 6455 section 5.2. */
export const opcodes = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;

export type ControlOpcode = typeof opcodes.close | typeof opcodes.ping | typeof opcodes.pong;
export type Opcode = (typeof opcodes)[keyof typeof opcodes];
export type MessageKind = "text" | "binary";

/** RFC 6455 section 7.4.1, as far as they are ours to send; the last two are of IANA's registry. */
export const closeCodes = {
  goingAway: 1001,
  protocolError: 1002,
  policyViolation: 1008,
  tooBig: 1009,
  internalError: 1011,
  tryAgainLater: 1013,
  badGateway: 1014,
} as const;

/** Bytes of a control frame's payload, at most (section 5.5). */
export const maxControlBytes = 125;

/** What a reader says. It may `hold` the reader from within these. */
export interface FrameHandler {
  /**
   * A stretch of a message; the next one begins after `ends`. A view into the pushed bytes, where these are masked a copy.
   * Empty only where it ends the message.
   */
  onMessagePart(kind: MessageKind, content: Buffer, ends: boolean): void;
  /** A control frame, also in the middle of a message. After a close nothing more is read. */
  onControl(opcode: ControlOpcode, payload: Buffer): void;
  /** The peer broke the protocol: the connection has to fail with this close code. The reader is dead. */
  onFault(code: typeof closeCodes.protocolError | typeof closeCodes.tooBig, detail: string): void;
}

const keyBytes = 4;
/** Flags and length (2), extended length (8), masking key. */
const maxHeadBytes = 10 + keyBytes;
const nothing = Buffer.alloc(0);
const notShortest = "a length in more bytes than it needs";
const tooLong = "a frame beyond what can be counted";

/** Reads one direction of one connection. */
export class WebSocketReader {
  readonly #handler: FrameHandler;
  readonly #isMasked: boolean;
  #state: "head" | "payload" | "dead" = "head";
  /** Not yet read: `#input` from `#pos` on. */
  #input: Buffer = nothing;
  #pos = 0;
  #isHeld = false;
  #reading = false;

  readonly #head = Buffer.alloc(maxHeadBytes);
  #headLength = 0;
  #headNeeded = 2;
  /** Of the frame that is being read. */
  #opcode = 0;
  #isFinal = false;
  #key: Buffer | undefined;
  #payloadLength = 0;
  #payloadRead = 0;
  #control: Buffer[] = [];
  /** Of the message whose fragments are arriving. */
  #kind: MessageKind | undefined;

  /** `isMasked`: the peer is a client, whose frames have to be masked; a server's must not be (section 5.1). */
  constructor(handler: FrameHandler, isMasked: boolean) {
    this.#handler = handler;
    this.#isMasked = isMasked;
  }

  /** Stops reading behind the current event. What is pushed meanwhile is kept: the source should pause. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Reads on in what was kept. */
  release(): void {
    this.#isHeld = false;
    this.#read();
  }

  push(bytes: Buffer): void {
    if (this.#state === "dead") return;
    this.#input = this.#pos === this.#input.length ? bytes : Buffer.concat([this.#input.subarray(this.#pos), bytes]);
    this.#pos = 0;
    this.#read();
  }

  #read(): void {
    // A handler that releases or pushes has this loop go on, not another one begin.
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (!this.#isHeld && this.#pos < this.#input.length) {
        if (this.#state === "head") this.#readHead();
        else if (this.#state === "payload") this.#readPayload();
        else this.#pos = this.#input.length;
      }
    } finally {
      this.#reading = false;
    }
  }

  #readHead(): void {
    const end = Math.min(this.#input.length, this.#pos + this.#headNeeded - this.#headLength);
    this.#input.copy(this.#head, this.#headLength, this.#pos, end);
    this.#headLength += end - this.#pos;
    this.#pos = end;
    if (this.#headLength < this.#headNeeded) return;
    if (this.#headNeeded === 2) {
      const fault = this.#judgeHead();
      if (fault !== undefined) {
        this.#fault(closeCodes.protocolError, fault);
        return;
      }
      this.#headNeeded += extendedBytes(this.#head[1]!);
      if (this.#headNeeded > 2) return;
    }
    if (this.#headNeeded === 2 + extendedBytes(this.#head[1]!)) {
      // Without waiting for the key: whoever sent such a length may send nothing more.
      const fault = this.#readLength();
      if (fault !== undefined) {
        this.#fault(fault === tooLong ? closeCodes.tooBig : closeCodes.protocolError, fault);
        return;
      }
      if (this.#isMasked) {
        this.#headNeeded += keyBytes;
        return;
      }
    }
    this.#beginFrame();
  }

  /** What the first two bytes must not say. */
  #judgeHead(): string | undefined {
    const [first, second] = [this.#head[0]!, this.#head[1]!];
    const opcode = first & 0x0f;
    this.#opcode = opcode;
    this.#isFinal = (first & 0x80) !== 0;
    if ((first & 0x70) !== 0) return "a reserved bit is set";
    if (((second & 0x80) !== 0) !== this.#isMasked) {
      return this.#isMasked ? "a client's frame is not masked" : "a server's frame is masked";
    }
    if (opcode === opcodes.continuation) return this.#kind === undefined ? "a continuation of no message" : undefined;
    if (opcode === opcodes.text || opcode === opcodes.binary) {
      return this.#kind === undefined ? undefined : "a message within a message";
    }
    if (opcode < opcodes.close || opcode > opcodes.pong) return "an opcode that is not defined";
    if (!this.#isFinal) return "a fragmented control frame";
    if ((second & 0x7f) > maxControlBytes) return "a control frame of more than 125 bytes";
    if (opcode === opcodes.close && (second & 0x7f) === 1) return "half a close code";
    return undefined;
  }

  #beginFrame(): void {
    const end = this.#headNeeded;
    this.#key = this.#isMasked ? Buffer.from(this.#head.subarray(end - keyBytes, end)) : undefined;
    this.#headLength = 0;
    this.#headNeeded = 2;
    this.#payloadRead = 0;
    if (this.#opcode === opcodes.text) this.#kind = "text";
    else if (this.#opcode === opcodes.binary) this.#kind = "binary";
    if (this.#payloadLength > 0) this.#state = "payload";
    else this.#take(nothing);
  }

  /** Sets the payload's length, or tells what is wrong with it: only its shortest form is right (section 5.2). */
  #readLength(): string | undefined {
    const head = this.#head;
    const short = head[1]! & 0x7f;
    this.#payloadLength = short;
    if (short < 126) return undefined;
    if (short === 126) {
      this.#payloadLength = head.readUInt16BE(2);
      return this.#payloadLength < 126 ? notShortest : undefined;
    }
    const high = head.readUInt32BE(2);
    this.#payloadLength = high * 2 ** 32 + head.readUInt32BE(6);
    if (this.#payloadLength < 65_536) return notShortest;
    if (high >= 2 ** 31) return "a negative length";
    // Beyond what a double counts.
    return high >= 2 ** 21 ? tooLong : undefined;
  }

  #readPayload(): void {
    const end = Math.min(this.#input.length, this.#pos + this.#payloadLength - this.#payloadRead);
    const bytes = this.#input.subarray(this.#pos, end);
    const content = this.#key === undefined ? bytes : applyMask(bytes, this.#key, this.#payloadRead);
    this.#pos = end;
    this.#payloadRead += content.length;
    this.#take(content);
  }

  /** Payload of the frame, possibly its last. The handler is told last, for it may call back. */
  #take(content: Buffer): void {
    const isWhole = this.#payloadRead === this.#payloadLength;
    if (isWhole) this.#state = "head";
    if (this.#opcode >= opcodes.close) {
      this.#control.push(content);
      if (isWhole) this.#endControl();
      return;
    }
    const ends = isWhole && this.#isFinal;
    // Set by the message's first frame.
    const kind = this.#kind!;
    if (ends) this.#kind = undefined;
    if (content.length > 0 || ends) this.#handler.onMessagePart(kind, content, ends);
  }

  #endControl(): void {
    const payload = Buffer.concat(this.#control);
    this.#control = [];
    if (this.#opcode === opcodes.close) {
      const fault = closeFault(payload);
      if (fault !== undefined) {
        this.#fault(closeCodes.protocolError, fault);
        return;
      }
      this.#state = "dead";
    }
    // Judged above: a control frame's opcode is one of the three.
    this.#handler.onControl(this.#opcode as ControlOpcode, payload);
  }

  #fault(code: typeof closeCodes.protocolError | typeof closeCodes.tooBig, detail: string): void {
    this.#state = "dead";
    this.#input = nothing;
    this.#pos = 0;
    this.#handler.onFault(code, detail);
  }
}

/** What is wrong with a close frame's payload: nothing, or a code and a reason (section 5.5.1). */
function closeFault(payload: Buffer): string | undefined {
  if (payload.length === 0) return undefined;
  return isCloseCode(payload.readUInt16BE(0)) ? undefined : "a close code that must not be sent";
}

/** Whether an endpoint may send this code (section 7.4, and IANA's registry up to 1014). */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code < 5000;
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

/** Of the length, beyond a head's second byte. */
function extendedBytes(second: number): number {
  const short = second & 0x7f;
  return short === 127 ? 8 : short === 126 ? 2 : 0;
}
