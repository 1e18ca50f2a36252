// The handshake that turns an HTTP/1.1 connection into a WebSocket (RFC 6455 section 4), as far as whoever stands between
// has to read it. Key and accept are for the two ends to compare.

import { findField, type RequestHead, type ResponseHead } from "../message.ts";
import type { BodyLength } from "./framing.ts";
import { listHas } from "./head.ts";

/**
 * Whether frames follow where this request is answered with 101. What asks for another protocol or version, or asks
 * wrongly, is an ordinary request: its Upgrade is not forwarded.
 */
export function asksForWebSocket(head: RequestHead, length: BodyLength): boolean {
  if (head.method !== "GET" || head.minor !== 1 || length !== 0) return false;
  return (
    fieldHas(head, "upgrade", "websocket") &&
    fieldHas(head, "connection", "upgrade") &&
    findField(head.fields, "sec-websocket-version")?.value === "13"
  );
}

/** The request that goes upstream: without extensions, which would hide messages from whoever stands between. */
export function toWebSocketRequest(head: RequestHead): RequestHead {
  const fields = head.fields.filter((field) => field.key !== "sec-websocket-extensions");
  return { ...head, fields, upgrade: "websocket" };
}

/** What is wrong with the 101 that answers such a request; undefined: frames follow. */
export function webSocketAnswerFault(head: ResponseHead): string | undefined {
  if (!fieldHas(head, "upgrade", "websocket")) return "101 to another protocol";
  if (findField(head.fields, "sec-websocket-extensions") !== undefined) return "an extension that was not offered";
  return undefined;
}

function fieldHas(head: RequestHead | ResponseHead, key: string, token: string): boolean {
  return head.fields.some((field) => field.key === key && listHas(field.value, token));
}
