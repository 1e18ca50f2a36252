// Heads and chunks as they go on the wire (RFC 9112). Heads are Latin-1 strings; fields keep their case and order.

import type { Field, RequestHead, ResponseHead } from "../message.ts";
import type { BodyLength } from "./framing.ts";
import { listHas, withoutBlanks } from "./head.ts";

export const CRLF = Buffer.from("\r\n", "latin1");

/**
 * Writes a request head: hop-by-hop fields are left out, the framing fields are ours, everything else is as it was.
 * `target` replaces the head's. Content-Length stays at its place where the length is still a number.
 */
export function writeRequestHead(head: RequestHead, target: string, length: BodyLength): string {
  const fields = writeFields(head.fields, length, head.method);
  return `${head.method} ${target} HTTP/1.1\r\n${fields}${head.upgrade === undefined ? "" : UPGRADE}\r\n`;
}

/**
 * Writes a response head. `length` is "close" where the body ends with the connection, undefined where there is no body
 * and the framing fields stand as they came (HEAD, 304). 1xx and 204 go out without a length whatever it says (RFC 9110
 * section 8.6): a client might wait for a body. `close` tells the client not to use the connection again.
 * Proxy-Authenticate is written: it is our own challenge, whoever forwards an answer takes that of others out. A 101
 * changes to WebSocket, the one protocol that is changed to.
 */
export function writeResponseHead(head: ResponseHead, length: BodyLength | undefined, close: boolean): string {
  const bodiless = head.status < 200 || head.status === 204;
  const fields = writeFields(head.fields, bodiless ? "close" : length, undefined);
  const connection = head.status === 101 ? UPGRADE : close ? "Connection: close\r\n" : "";
  return `HTTP/1.1 ${head.status} ${head.reason}\r\n${fields}${connection}\r\n`;
}

const UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

/** The line that opens a chunk of `size` bytes. */
export function chunkOpening(size: number): string {
  return `${size.toString(16)}\r\n`;
}

/** What ends a chunk's content. */
export const chunkEnd = "\r\n";

/** The last chunk with its trailers. */
export function lastChunk(trailers: readonly Field[]): string {
  if (trailers.length === 0) return "0\r\n\r\n";
  let text = "0\r\n";
  for (const field of trailers) if (!isForbiddenTrailer(field.key)) text += `${field.name}: ${field.value}\r\n`;
  return `${text}\r\n`;
}

/** Fields that say something about one connection and are never forwarded (RFC 9110 section 7.6.1, and Proxy-*). */
export function isHopByHop(key: string): boolean {
  return HOP_BY_HOP.has(key);
}

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "proxy-authenticate",
  "proxy-authentication-info",
  "te",
  "transfer-encoding",
  "upgrade",
]);

// What frames or routes a message cannot be said after it (RFC 9110 section 6.5.1).
const NEVER_TRAILERS: ReadonlySet<string> = new Set(["content-length", "host", "trailer", ...HOP_BY_HOP]);

/** Whether a trailer of this name must be dropped. */
export function isForbiddenTrailer(key: string): boolean {
  return NEVER_TRAILERS.has(key);
}

/** Methods whose requests have a body by definition: without one they say so (RFC 9110 section 8.6). */
function expectsBody(method: string): boolean {
  return method === "POST" || method === "PUT" || method === "PATCH";
}

function writeFields(fields: readonly Field[], length: BodyLength | undefined, method: string | undefined): string {
  let text = "";
  let lengthWritten = false;
  const named = namedByConnection(fields);
  for (const field of fields) {
    if (field.key === "content-length") {
      if (length !== undefined) {
        if (typeof length !== "number" || lengthWritten) continue;
        lengthWritten = true;
        text += `${field.name}: ${length}\r\n`;
        continue;
      }
    } else if (HOP_BY_HOP.has(field.key) && (method !== undefined || field.key !== "proxy-authenticate")) {
      // gRPC over HTTP/1.1 and trailers at large need this one word; every other transfer coding is ours to choose.
      if (field.key === "te" && listHas(field.value, "trailers")) text += "TE: trailers\r\n";
      continue;
    } else if (named !== undefined && field.key !== "host" && named.has(field.key)) {
      continue;
    }
    text += `${field.name}: ${field.value}\r\n`;
  }
  if (length === "chunked") return `${text}Transfer-Encoding: chunked\r\n`;
  if (typeof length === "number" && !lengthWritten && (length > 0 || method === undefined || expectsBody(method))) {
    return `${text}Content-Length: ${length}\r\n`;
  }
  return text;
}

/** The fields that Connection says are for this connection alone; undefined in the usual case that it names none. */
export function namedByConnection(fields: readonly Field[]): ReadonlySet<string> | undefined {
  let named: Set<string> | undefined;
  for (const { key, value } of fields) {
    if (key !== "connection" || value === "") continue;
    const list = value.toLowerCase();
    if (list === "close" || list === "keep-alive") continue;
    // A set, because sender's choice is both the list's length and the number of fields.
    named ??= new Set();
    for (const element of list.split(",")) named.add(withoutBlanks(element));
  }
  return named;
}
