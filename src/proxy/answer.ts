// Turns an error code into the proxy's own response.

import { type ErrorCode, errorTable } from "../core/errors.ts";
import { makeField, type ResponseHead } from "../core/message.ts";

export interface Answer {
  readonly head: ResponseHead;
  readonly body: Buffer;
}

/** Bounds free up steadily. */
const retryAfterSeconds = "1";

/** A JSON answer: `{"error", "message", "detail"?}`. Says what to do; never holds data of the exchange. */
export function errorAnswer(code: ErrorCode, detail?: string): Answer {
  const { status, hint } = errorTable[code];
  const body = Buffer.from(
    `${JSON.stringify({ error: code, message: hint, ...(detail === undefined ? {} : { detail }) })}\n`,
    "utf8",
  );
  const fields = [
    makeField("Content-Type", "application/json; charset=utf-8"),
    makeField("Content-Length", String(body.length)),
    makeField("Cache-Control", "no-store"),
    makeField("Keyswap-Error", code),
  ];
  if (status === 429 || status === 503) fields.push(makeField("Retry-After", retryAfterSeconds));
  if (code === "proxy-auth-required") {
    fields.push(makeField("Proxy-Authenticate", 'Basic realm="keyswap", charset="UTF-8"'));
  }
  return { head: { status, reason: reasonPhrases[status] ?? "Error", minor: 1, fields }, body };
}

const reasonPhrases: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  405: "Method Not Allowed",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  413: "Content Too Large",
  421: "Misdirected Request",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};
