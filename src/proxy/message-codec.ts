// Codings of single messages (gRPC, Connect). Messages are bounded and answers to one another, so they are coded at once.

import zlib from "node:zlib";
import type { MessageCodec } from "../core/substitution/messages.ts";

export const messageCodec: MessageCodec = {
  decode(coding, bytes, maxOutputLength) {
    try {
      switch (coding) {
        case "gzip":
          return zlib.gunzipSync(bytes, { maxOutputLength });
        case "deflate":
          return zlib.inflateSync(bytes, { maxOutputLength });
        case "br":
          return zlib.brotliDecompressSync(bytes, { maxOutputLength });
        case "zstd":
          return zlib.zstdDecompressSync(bytes, { maxOutputLength });
        default:
          return coding satisfies never;
      }
    } catch {
      // Not what the coding says, or beyond the bound: zlib's errors say no more that counts here.
      return undefined;
    }
  },

  // Fast levels, as for whole bodies.
  encode(coding, bytes) {
    switch (coding) {
      case "gzip":
        return zlib.gzipSync(bytes, { level: 1 });
      case "deflate":
        return zlib.deflateSync(bytes, { level: 1 });
      case "br":
        return zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 3 } });
      case "zstd":
        return zlib.zstdCompressSync(bytes, { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } });
      default:
        return coding satisfies never;
    }
  },
};
