// Which header fields may carry a value.

import type { NotSubstitutedReason } from "../reasons.ts";

/** Framing and routing: what the proxy itself reads or writes must be the same for both sides. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "http2-settings",
  "content-length",
  "content-encoding",
  "content-type",
]);

/** Fields that servers and intermediaries commonly echo, log or forward. */
const SINK_FIELDS: ReadonlySet<string> = new Set([
  "user-agent",
  "referer",
  "origin",
  "via",
  "forwarded",
  "from",
  "traceparent",
  "tracestate",
  "baggage",
  "b3",
  "x-request-id",
  "x-correlation-id",
  "x-amzn-trace-id",
  "x-cloud-trace-context",
  "uber-trace-id",
  "sentry-trace",
  "x-real-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "access-control-request-headers",
  "access-control-request-method",
]);

const SINK_PREFIXES = ["x-forwarded-", "x-b3-", "x-datadog-", "uberctx-", "x-ot-span-", "proxy-"];

/** Why no value is ever written into this field, or undefined where the grant decides. `key` is the lower-case name. */
export function closedField(key: string): NotSubstitutedReason | undefined {
  if (CONNECTION_FIELDS.has(key) || key.startsWith(":")) return "surface-not-allowed";
  if (SINK_FIELDS.has(key) || SINK_PREFIXES.some((prefix) => key.startsWith(prefix))) return "sink-header";
  return undefined;
}
