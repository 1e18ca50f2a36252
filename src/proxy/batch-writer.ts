// Gathers what is written to a socket within one turn of the event loop into one write: one TLS record, one system call.
// When it goes out: turn-end.ts.

import type { Duplex } from "node:stream";
import { chunkEnd, chunkOpening } from "../core/wire/writer.ts";
import { passedThrough } from "./dead-buffers.ts";
import { type DueWriter, writeAtTurnEnd } from "./turn-end.ts";

/** Up to this size parts are copied together: TLS would copy them anyway, one by one. */
const copyBytes = 128 * 1024;
/** Beyond this the parts go out at once, not at the turn's end. */
const flushBytes = 256 * 1024;

/** Places for parts that stay after a write: an array that was cut to nothing has to grow anew, one that is large is not kept. */
const keptPlaces = 32;

/** Owned by one connection. Every turn that wrote something calls `flush`; a socket is ended with `end`. */
export class BatchWriter implements DueWriter {
  readonly #socket: Duplex;
  /** The first `#count` are waiting. */
  readonly #parts: (string | Buffer)[] = [];
  #count = 0;
  #pendingBytes = 0;
  /** Where the open chunk's first line belongs among the parts; -1: none is open. */
  #chunkAt = -1;
  #chunkBytes = 0;
  #isDue = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** Latin-1 text: heads and chunk framing. */
  text(text: string): void {
    if (text.length === 0) return;
    this.#closeChunk();
    this.#parts[this.#count++] = text;
    this.#add(text.length);
  }

  /** Bytes are not copied yet: they must not change afterwards. */
  bytes(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#parts[this.#count++] = bytes;
    this.#add(bytes.length);
  }

  /** Content of a chunked body: what comes of it within one write goes out as one chunk. Not to be changed afterwards. */
  chunk(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (this.#chunkAt < 0) {
      this.#chunkAt = this.#count;
      this.#parts[this.#count++] = "";
    }
    this.#chunkBytes += bytes.length;
    this.bytes(bytes);
  }

  /**
   * Has what was gathered written at the end of this turn. `isAll`: nothing more comes of the callback that runs now. False:
   * the receiver is slower than the sender; wait for the socket's `drain`. (A write that turns out to be too much shows at
   * the next flush: one turn's bytes more are held.)
   */
  flush(isAll = false): boolean {
    if (this.#count > 0 && !this.#isDue) {
      this.#isDue = true;
      writeAtTurnEnd(this, isAll);
    }
    return !this.#socket.writableNeedDrain;
  }

  /** Ends the socket behind what was gathered. */
  end(): void {
    this.flushNow();
    // Ending twice makes an error that nobody looks at.
    if (!this.#socket.writableEnded) this.#socket.end();
  }

  /** Writes what was gathered. */
  flushNow(): void {
    this.#isDue = false;
    if (this.#count === 0) return;
    this.#closeChunk();
    const socket = this.#socket;
    const total = this.#pendingBytes;
    this.#pendingBytes = 0;
    passedThrough(total);
    if (!socket.destroyed && !socket.writableEnded) this.#write(total);
    // Nothing is held longer than it waits.
    if (this.#count > keptPlaces) this.#parts.length = 0;
    else for (let at = 0; at < this.#count; at++) this.#parts[at] = "";
    this.#count = 0;
  }

  #write(total: number): void {
    const socket = this.#socket;
    const parts = this.#parts;
    const count = this.#count;
    if (count === 1) {
      write(socket, parts[0]);
    } else if (total <= copyBytes) {
      const joined = Buffer.allocUnsafe(total);
      let pos = 0;
      for (let at = 0; at < count; at++) {
        const part = parts[at]!;
        if (typeof part === "string") pos += joined.write(part, pos, "latin1");
        else {
          joined.set(part, pos);
          pos += part.length;
        }
      }
      socket.write(joined);
    } else {
      socket.cork();
      for (let at = 0; at < count; at++) write(socket, parts[at]);
      socket.uncork();
    }
  }

  #closeChunk(): void {
    if (this.#chunkAt < 0) return;
    const opening = chunkOpening(this.#chunkBytes);
    this.#parts[this.#chunkAt] = opening;
    this.#parts[this.#count++] = chunkEnd;
    this.#pendingBytes += opening.length + chunkEnd.length;
    this.#chunkAt = -1;
    this.#chunkBytes = 0;
  }

  #add(bytes: number): void {
    this.#pendingBytes += bytes;
    if (this.#pendingBytes >= flushBytes) this.flushNow();
  }
}

function write(socket: Duplex, part: string | Buffer | undefined): void {
  if (typeof part === "string") socket.write(part, "latin1");
  else if (part !== undefined) socket.write(part);
}
