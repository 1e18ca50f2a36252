// What one side of an HTTP/2 stream sends: gathered within a turn, so that head, body and end go out together where they
// are at hand together. Whether trailers may follow has to be said with the head.

import type { Http2Stream } from "node:http2";
import type { Field } from "../core/message.ts";
import { writeHttp2Fields } from "../core/wire/http2-head.ts";

/** How a head goes out, in node:http2's words. */
export interface HeadOptions {
  /** Nothing comes behind it. */
  readonly endStream: boolean;
  /** The stream's end is held back until trailers are there, or known not to come. */
  readonly waitForTrailers: boolean;
  /** Dates are the destination's to give. */
  readonly sendDate: false;
}

export class Http2Writer {
  readonly #openStream: (options: HeadOptions) => Http2Stream | undefined;
  readonly #onDrain: () => void;
  #stream: Http2Stream | undefined;
  #parts: Buffer[] = [];
  #trailers: readonly Field[] | undefined;
  #headWaits = false;
  #endWritten = false;
  #drainHeard = false;
  /** All data so far. */
  takenBytes = 0;

  /** `openStream` sends the head; undefined where the stream is gone. */
  constructor(openStream: (options: HeadOptions) => Http2Stream | undefined, onDrain: () => void) {
    this.#openStream = openStream;
    this.#onDrain = onDrain;
  }

  head(): void {
    this.#headWaits = true;
  }

  data(content: Buffer): void {
    if (content.length === 0) return;
    this.takenBytes += content.length;
    this.#parts.push(content);
  }

  end(trailers: readonly Field[]): void {
    this.#trailers = trailers;
  }

  /** Everything was handed to the stream. */
  get ended(): boolean {
    return this.#endWritten;
  }

  /** Writes what was gathered. False: wait for `onDrain`. */
  flush(): boolean {
    if (this.#headWaits) {
      this.#headWaits = false;
      const endStream = this.#trailers?.length === 0 && this.#parts.length === 0;
      const waitForTrailers = this.#trailers?.length !== 0;
      this.#stream = this.#openStream({ endStream, waitForTrailers, sendDate: false });
      if (endStream) this.#endWritten = true;
    }
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed || stream.closed || this.#endWritten || stream.writableEnded) {
      this.#parts = [];
      return true;
    }
    const last = this.#writeParts(stream);
    if (this.#trailers !== undefined) this.#writeEnd(stream, this.#trailers, last);
    if (!stream.writableNeedDrain) return true;
    if (!this.#drainHeard) {
      this.#drainHeard = true;
      stream.on("drain", this.#onDrain);
    }
    return false;
  }

  /** Answers the last part where the end comes with it. */
  #writeParts(stream: Http2Stream): Buffer | undefined {
    const parts = this.#parts;
    if (parts.length === 0) return undefined;
    this.#parts = [];
    const ends = this.#trailers !== undefined;
    if (parts.length === 1 && ends) return parts[0];
    if (parts.length > 1) stream.cork();
    const count = ends ? parts.length - 1 : parts.length;
    for (let i = 0; i < count; i++) stream.write(parts[i]);
    if (parts.length > 1) stream.uncork();
    return ends ? parts.at(-1) : undefined;
  }

  #writeEnd(stream: Http2Stream, trailers: readonly Field[], last: Buffer | undefined): void {
    this.#endWritten = true;
    if (trailers.length > 0) {
      stream.once("wantTrailers", () => {
        if (!stream.destroyed && !stream.closed) stream.sendTrailers(writeHttp2Fields(trailers));
      });
    }
    if (last === undefined) stream.end();
    else stream.end(last);
  }
}
