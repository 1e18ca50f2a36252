// Undoes content codings one after the other. Every stage holds the one before it back, so memory stays constant.
//
// Node's decoders end by themselves where bytes are left behind the coding's end. The chain ends once it was told to and
// all of its input was read. Zeros behind a coding's end are padding and dropped; anything else is malformed, for nobody
// would have looked at it.

import { finished, type Transform } from "node:stream";
import zlib from "node:zlib";
import type { ContentCoding } from "../core/substitution/codings.ts";

export interface DecoderChainListener {
  onDecoded(bytes: Buffer): void;
  /** A piece of input was decoded as far as it can be. */
  onDecodedPiece(): void;
  onDecodedEnd(): void;
  /** Feeding can go on after `write` answered false. */
  onDecoderDrain(): void;
  /** The input is not what the codings say. */
  onMalformed(): void;
}

type Decoder = Transform & zlib.Zlib;

/** Coded input that waits for the decoder before the feeder is told to hold back. */
const maxWaitingBytes = 64 * 1024;

/** Of 8 MiB: RFC 9659 allows no larger ones as a content coding. What we write has 512 KiB. */
const maxZstdWindowLog = 23;

const NOTHING = Buffer.alloc(0);

export class DecoderChain {
  readonly #listener: DecoderChainListener;
  readonly #stages: readonly Decoder[];
  /** What was written to each stage. */
  readonly #writtenBytes: number[];

  /** `codings`: in the order in which they were applied, one at least. `firstBytes`: they tell how deflate is wrapped. */
  constructor(codings: readonly ContentCoding[], firstBytes: Buffer, listener: DecoderChainListener) {
    this.#listener = listener;
    this.#stages = codings.toReversed().map((coding, at) => makeDecoder(coding, at === 0 ? firstBytes : NOTHING));
    this.#writtenBytes = this.#stages.map(() => 0);
    for (const [at, decoder] of this.#stages.entries()) this.#connect(decoder, at);
  }

  /** False: hold back until `onDecoderDrain`. */
  write(bytes: Buffer): boolean {
    this.#write(bytes, 0);
    return (this.#stages[0]?.writableLength ?? 0) <= maxWaitingBytes;
  }

  end(): void {
    this.#stages[0]?.end();
  }

  /** Stops and restarts what comes out. */
  pause(): void {
    this.#stages.at(-1)?.pause();
  }

  resume(): void {
    this.#stages.at(-1)?.resume();
  }

  destroy(): void {
    for (const decoder of this.#stages) decoder.destroy();
  }

  #connect(decoder: Decoder, at: number): void {
    const next = this.#stages[at + 1];
    decoder.on("data", (bytes: Buffer) => {
      if (next === undefined) this.#listener.onDecoded(bytes);
      else if (!this.#write(bytes, at + 1)) decoder.pause();
    });
    const previous = this.#stages[at - 1];
    decoder.on("drain", () => {
      if (previous === undefined) this.#listener.onDecoderDrain();
      else previous.resume();
    });
    // Both of its sides: what comes out may end long before what goes in.
    finished(decoder, (error) => {
      if (error) this.#listener.onMalformed();
      else if (next === undefined) this.#listener.onDecodedEnd();
      else next.end();
    });
  }

  #write(bytes: Buffer, at: number): boolean {
    const decoder = this.#stages[at];
    if (decoder === undefined) return true;
    const writtenBytes = (this.#writtenBytes[at] ?? 0) + bytes.length;
    this.#writtenBytes[at] = writtenBytes;
    return decoder.write(bytes, (error) => {
      // `finished` hears of it.
      if (error) return;
      const unreadBytes = Math.min(writtenBytes - decoder.bytesWritten, bytes.length);
      if (unreadBytes > 0 && !isZero(bytes.subarray(bytes.length - unreadBytes))) this.#listener.onMalformed();
      else if (at === this.#stages.length - 1) this.#listener.onDecodedPiece();
    });
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

function makeDecoder(coding: ContentCoding, firstBytes: Buffer): Decoder {
  switch (coding) {
    case "gzip":
      return zlib.createGunzip();
    case "deflate":
      return hasZlibHeader(firstBytes) ? zlib.createInflate() : zlib.createInflateRaw();
    case "br":
      return zlib.createBrotliDecompress();
    case "zstd":
      return zlib.createZstdDecompress({ params: { [zlib.constants.ZSTD_d_windowLogMax]: maxZstdWindowLog } });
    default:
      return coding satisfies never;
  }
}

/** "deflate" means the zlib format (RFC 9110 section 8.4.1.2), but some senders leave its wrapper out. */
function hasZlibHeader(bytes: Buffer): boolean {
  const first = bytes[0];
  if (first === undefined) return true;
  return (first & 0x0f) === 8 && (bytes.length < 2 || bytes.readUInt16BE(0) % 31 === 0);
}
