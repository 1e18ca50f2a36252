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
const unreadable = { kind: "unreadable" } as const;

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

/**
 * The coding of single messages that gRPC and Connect name in fields of their own; undefined: none. Whether a message
 * has it is said by its flags.
 */
export function parseMessageCoding(
  fields: readonly Field[],
): { readonly kind: "coding"; readonly coding: ContentCoding | undefined } | { readonly kind: "unreadable" } {
  let coding: ContentCoding | undefined;
  for (const field of fields) {
    if (field.key !== "grpc-encoding" && field.key !== "connect-content-encoding") continue;
    const token = field.value.trim().toLowerCase();
    if (!byToken.has(token) || coding !== undefined) return unreadable;
    coding = byToken.get(token);
  }
  return coding === undefined ? noMessageCoding : { kind: "coding", coding };
}

const noMessageCoding = { kind: "coding", coding: undefined } as const;
