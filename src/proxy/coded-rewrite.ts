// A rewrite of a body with content codings: decoded, transformed, coded again with the same codings (RFC 9110 section
// 8.4). zlib does the coding on its own threads, so output comes in turns of its own; every stage holds the one before
// it back, so memory stays constant whatever the body expands to.

import type { Transform } from "node:stream";
import zlib from "node:zlib";
import type { BodyTransform } from "../core/message.ts";
import type { ContentCoding } from "../core/substitution/codings.ts";
import { DecoderChain, type DecoderChainListener } from "./decoder-chain.ts";
import type { Rewrite, RewriteListener } from "./rewrite.ts";

export interface CodedRewriteOptions {
  /** In the order in which they were applied. */
  readonly codings: readonly ContentCoding[];
  /** A body may decode to at most so many times its coded size, once it is beyond `freeBytes`. */
  readonly maxExpansion: number;
  /** Output is flushed with each piece of input: nothing waits for the next one. */
  readonly flushEach: boolean;
}

/** A decoded size below this is never called an expansion attack. */
const freeBytes = 1024 * 1024;
const NOTHING = Buffer.alloc(0);

export class CodedRewrite implements Rewrite, DecoderChainListener {
  readonly ownTurns = true;
  readonly #transform: BodyTransform;
  readonly #listener: RewriteListener;
  readonly #options: CodedRewriteOptions;
  readonly #encoders: Transform[];
  /** Made with the first input: whether deflate comes with a zlib wrapper shows in its first byte. */
  #decoders: DecoderChain | undefined;
  #codedBytes = 0;
  #decodedBytes = 0;
  #fedBack = false;
  #stopped: "no" | "lookup" | "lookup-at-end" = "no";
  #held = false;
  #ended = false;

  constructor(transform: BodyTransform, listener: RewriteListener, options: CodedRewriteOptions) {
    this.#transform = transform;
    this.#listener = listener;
    this.#options = options;
    this.#encoders = options.codings.map(makeEncoder);
    const [first] = this.#encoders;
    const last = this.#encoders.at(-1);
    for (const [at, encoder] of this.#encoders.entries()) {
      encoder.on("error", () => this.#fault());
      const next = this.#encoders[at + 1];
      if (next !== undefined) encoder.pipe(next);
    }
    last?.on("data", (bytes: Buffer) => this.#ended || listener.onRewritten(bytes));
    last?.on("end", () => this.#finish());
    first?.on("drain", () => this.#stopped === "no" && this.#decoders?.resume());
  }

  push(content: Buffer): boolean {
    if (this.#ended || content.length === 0) return true;
    this.#codedBytes += content.length;
    this.#decoders ??= new DecoderChain(this.#options.codings, content, this);
    if (this.#decoders.write(content)) return true;
    this.#fedBack = true;
    return false;
  }

  end(): void {
    if (this.#ended) return;
    // A body of no bytes is no coded body: it stays empty.
    if (this.#decoders === undefined) this.#finish();
    else this.#decoders.end();
  }

  resume(): void {
    if (this.#ended || this.#stopped === "no") return;
    const atEnd = this.#stopped === "lookup-at-end";
    this.#stopped = "no";
    if (atEnd) this.#endTransform();
    else this.#rewrite(NOTHING);
    if (this.#isFlowing()) this.#decoders?.resume();
    // Where the decoder is full, its drain says this.
    if (this.#stopped === "no" && !this.#fedBack) this.#listener.onRewriteDrain();
  }

  hold(): void {
    this.#held = true;
    this.#encoders.at(-1)?.pause();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#encoders.at(-1)?.resume();
  }

  destroy(): void {
    this.#ended = true;
    this.#decoders?.destroy();
    for (const encoder of this.#encoders) encoder.destroy();
  }

  // ---- DecoderChainListener

  onDecoded(bytes: Buffer): void {
    if (this.#ended) return;
    this.#decodedBytes += bytes.length;
    if (this.#decodedBytes > freeBytes && this.#decodedBytes > this.#codedBytes * this.#options.maxExpansion) {
      this.#ended = true;
      this.#listener.onRewriteFault("too-large");
      return;
    }
    this.#rewrite(bytes);
    if (!this.#isFlowing()) this.#decoders?.pause();
  }

  onDecodedPiece(): void {
    if (this.#options.flushEach && !this.#ended) this.#flushEncoders(0);
  }

  onDecodedEnd(): void {
    this.#endTransform();
  }

  onDecoderDrain(): void {
    if (!this.#fedBack || this.#ended) return;
    this.#fedBack = false;
    this.#listener.onRewriteDrain();
  }

  onMalformed(): void {
    this.#fault();
  }

  // ---- inside

  #isFlowing(): boolean {
    return this.#stopped === "no" && !(this.#encoders[0]?.writableNeedDrain ?? false);
  }

  #rewrite(bytes: Buffer): void {
    const key = this.#transform.push(bytes, this.#encode);
    if (key === undefined) return;
    this.#stopped = "lookup";
    this.#decoders?.pause();
    this.#listener.onUnknownKey(key);
  }

  #endTransform(): void {
    if (this.#ended) return;
    const key = this.#transform.end(this.#encode);
    if (key !== undefined) {
      this.#stopped = "lookup-at-end";
      this.#listener.onUnknownKey(key);
      return;
    }
    this.#encoders[0]?.end();
  }

  readonly #encode = (bytes: Buffer): void => {
    // The transform may hand out views that it goes on using.
    if (bytes.length > 0) this.#encoders[0]?.write(bytes);
  };

  /** Flushes one encoder after the other, so that what the first gives out goes through the next. */
  #flushEncoders(at: number): void {
    const encoder = this.#encoders[at] as (Transform & { flush?: (done: () => void) => void }) | undefined;
    if (encoder === undefined || encoder.destroyed || encoder.writableEnded) return;
    encoder.flush?.(() => this.#flushEncoders(at + 1));
  }

  #fault(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#listener.onRewriteFault("malformed-coding");
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#listener.onRewriteEnd();
  }
}

// Levels: fast ones, as re-encoding is on the path of every byte (MiB/s measured: gzip 6 42, brotli 11 0.65, brotli 4 59).
function makeEncoder(coding: ContentCoding): Transform {
  switch (coding) {
    case "gzip":
      return zlib.createGzip({ level: 1 });
    case "deflate":
      return zlib.createDeflate({ level: 1 });
    case "br":
      return zlib.createBrotliCompress({ params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 3 } });
    case "zstd":
      return zlib.createZstdCompress({ params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } });
    default:
      return coding satisfies never;
  }
}
