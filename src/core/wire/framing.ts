// Where a message's body ends (RFC 9112 section 6), and whether its connection lives on (section 9.3).

import type { Field, RequestHead, ResponseHead } from "../message.ts";
import { listHas } from "./head.ts";

/** A number of bytes, chunked coding, or everything until the connection closes (responses only). */
export type BodyLength = number | "chunked" | "close";

export type Framing =
  | { readonly kind: "framing"; readonly length: BodyLength }
  | { readonly kind: "malformed"; readonly detail: string };

/**
 * A request's body length; 0 where it has none. Both lengths, two lengths or a coding but chunked are refused, and so is
 * a body of CONNECT: some take it for the tunnel's first bytes (RFC 9110 section 9.3.6).
 */
export function requestFraming(head: RequestHead): Framing {
  const declared = declaredLength(head.fields, head.minor);
  if (declared.kind === "malformed") return declared;
  if (head.method === "CONNECT" && hasBody(declared.length))
    return { kind: "malformed", detail: "CONNECT with a body" };
  return declared.length === undefined ? NO_BODY : { kind: "framing", length: declared.length };
}

/** A response's body length, given the method it answers. An interim response that declares a body is refused. */
export function responseFraming(head: ResponseHead, method: string): Framing {
  const declared = declaredLength(head.fields, head.minor);
  if (declared.kind === "malformed") return declared;
  if (head.status < 200 && hasBody(declared.length)) return { kind: "malformed", detail: "1xx with a body" };
  if (hasNoBody(head.status, method)) return NO_BODY;
  return { kind: "framing", length: declared.length ?? "close" };
}

/** RFC 9112 section 6.3: such a response ends with its head, whatever its fields say. */
export function hasNoBody(status: number, method: string): boolean {
  if (method === "CONNECT" && status < 300) return true;
  return status === 304 || status === 204 || status < 200 || method === "HEAD";
}

/** Whether the sender of this head is willing to go on using the connection. */
export function isPersistent(head: RequestHead | ResponseHead): boolean {
  if (head.minor === 0) return false;
  for (const { key, value } of head.fields) {
    // Proxy-Connection was never standard; where a sender says "close" there, nobody expects the connection to live on.
    if ((key === "connection" || key === "proxy-connection") && listHas(value, "close")) return false;
  }
  return true;
}

function hasBody(length: BodyLength | undefined): boolean {
  return length !== undefined && length !== 0;
}

const NO_BODY: Framing = { kind: "framing", length: 0 };
const DIGITS = /^[0-9]{1,16}$/;

function declaredLength(
  fields: readonly Field[],
  minor: 0 | 1,
): { kind: "length"; length: BodyLength | undefined } | { kind: "malformed"; detail: string } {
  let length: number | undefined;
  let chunked = false;
  for (const { key, value } of fields) {
    if (key === "content-length") {
      if (length !== undefined) return { kind: "malformed", detail: "two Content-Length fields" };
      if (!DIGITS.test(value)) return { kind: "malformed", detail: "Content-Length" };
      length = Number(value);
      if (!Number.isSafeInteger(length)) return { kind: "malformed", detail: "Content-Length" };
    } else if (key === "transfer-encoding") {
      if (chunked) return { kind: "malformed", detail: "two Transfer-Encoding fields" };
      if (value.toLowerCase() !== "chunked")
        return { kind: "malformed", detail: "Transfer-Encoding other than chunked" };
      if (minor === 0) return { kind: "malformed", detail: "Transfer-Encoding in HTTP/1.0" };
      chunked = true;
    }
  }
  if (chunked && length !== undefined) {
    return { kind: "malformed", detail: "both Content-Length and Transfer-Encoding" };
  }
  return { kind: "length", length: chunked ? "chunked" : length };
}
