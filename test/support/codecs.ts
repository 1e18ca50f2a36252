// Content codings by the names of a Content-Encoding field, at speed.

import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";

type Code = (bytes: Buffer) => Buffer;

const byName: Readonly<Record<string, readonly [Code, Code]>> = {
  gzip: [(bytes) => gzipSync(bytes, { level: 1 }), (bytes) => gunzipSync(bytes)],
  deflate: [(bytes) => deflateSync(bytes, { level: 1 }), (bytes) => inflateSync(bytes)],
  br: [
    (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }),
    (bytes) => brotliDecompressSync(bytes),
  ],
  zstd: [(bytes) => zstdCompressSync(bytes), (bytes) => zstdDecompressSync(bytes)],
};

function listOf(codings: string): (readonly [Code, Code])[] {
  const names = codings.split(",").map((name) => name.trim());
  return names
    .filter((name) => name !== "")
    .map((name) => {
      const codec = byName[name];
      if (codec === undefined) throw new Error(`no coding ${name}`);
      return codec;
    });
}

/** `codings` as in the field, in the order in which they are applied; empty: none. Nothing stays nothing. */
export const codecs = {
  encode: (codings: string, bytes: Buffer): Buffer => listOf(codings).reduce((coded, [encode]) => encode(coded), bytes),
  decode: (codings: string, bytes: Buffer): Buffer =>
    bytes.length === 0 ? bytes : listOf(codings).reduceRight((coded, [, decode]) => decode(coded), bytes),
};
