// Content codings by name. Decoding and encoding are the proxy's: core only says which.

import type { Field } from "../message.ts";

/** Those that can be read and written. */
export type ContentCoding = "gzip" | "deflate" | "br" | "zstd";

export type Codings =
  /** In the order in which they were applied; empty: none. */
  { readonly kind: "codings"; readonly codings: readonly ContentCoding[] } | { readonly kind: "unreadable" };

/** More of them stacked is no server's habit, but an attack on the decoder. */
const maxStacked = 2;

const byToken: ReadonlyMap<string, ContentCoding | undefined> = new Map([
  ["gzip", "gzip"],
  // RFC 9110 section 8.4.1.3: the same.
  ["x-gzip", "gzip"],
  ["deflate", "deflate"],
  ["br", "br"],
  ["zstd", "zstd"],
  ["identity", undefined],
  ["", undefined],
]);

const noCodings: Codings = { kind: "codings", codings: [] };
const unreadable: Codings = { kind: "unreadable" };

/** What all Content-Encoding fields together say (RFC 9110 section 8.4). */
export function parseCodings(fields: readonly Field[]): Codings {
  let codings: ContentCoding[] | undefined;
  for (const field of fields) {
    if (field.key !== "content-encoding") continue;
    for (const item of field.value.split(",")) {
      const token = item.trim().toLowerCase();
      if (!byToken.has(token)) return unreadable;
      const coding = byToken.get(token);
      if (coding === undefined) continue;
      codings ??= [];
      if (codings.push(coding) > maxStacked) return unreadable;
    }
  }
  return codings === undefined ? noCodings : { kind: "codings", codings };
}

/** Whether a coding of single messages (gRPC, Connect) is the one that can be read: none. */
export function isIdentity(token: string): boolean {
  const name = token.trim().toLowerCase();
  return name === "identity" || name === "";
}
