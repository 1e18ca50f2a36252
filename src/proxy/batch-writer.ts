// Gathers what is written to a socket within one turn of the event loop into one write: one TLS record, one system call.

import type { Duplex } from "node:stream";

/** Up to this size parts are copied together; beyond it copying costs more than another write. */
const copyBytes = 32 * 1024;
/** Beyond this the parts go out at once, not at the turn's end. */
const flushBytes = 256 * 1024;

/** Owned by one connection. Every turn that wrote something ends with `flush`. */
export class BatchWriter {
  readonly #socket: Duplex;
  #parts: (string | Buffer)[] = [];
  #pendingBytes = 0;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** Latin-1 text: heads and chunk framing. */
  text(text: string): void {
    if (text.length === 0) return;
    this.#parts.push(text);
    this.#add(text.length);
  }

  /** Bytes are not copied yet: they must not change afterwards. */
  bytes(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#add(bytes.length);
  }

  /** Writes what was gathered. False: the receiver is slower than the sender; wait for the socket's `drain`. */
  flush(): boolean {
    const socket = this.#socket;
    const parts = this.#parts;
    if (parts.length === 0) return !socket.writableNeedDrain;
    const total = this.#pendingBytes;
    this.#pendingBytes = 0;
    if (socket.destroyed || socket.writableEnded) {
      parts.length = 0;
      return true;
    }
    let more: boolean;
    if (parts.length === 1) {
      more = write(socket, parts[0]);
    } else if (total <= copyBytes) {
      const joined = Buffer.allocUnsafe(total);
      let pos = 0;
      for (const part of parts) {
        if (typeof part === "string") pos += joined.write(part, pos, "latin1");
        else {
          joined.set(part, pos);
          pos += part.length;
        }
      }
      more = socket.write(joined);
    } else {
      socket.cork();
      more = true;
      for (const part of parts) more = write(socket, part);
      socket.uncork();
    }
    parts.length = 0;
    return more;
  }

  #add(bytes: number): void {
    this.#pendingBytes += bytes;
    if (this.#pendingBytes >= flushBytes) this.flush();
  }
}

function write(socket: Duplex, part: string | Buffer | undefined): boolean {
  if (part === undefined) return true;
  return typeof part === "string" ? socket.write(part, "latin1") : socket.write(part);
}
