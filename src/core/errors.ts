// Every error a client or operator can meet, in one table: code → HTTP status and what it means.

/** `status` is the answer where there still is someone to answer; `hint` says what to do and never holds data. */
export const errorTable = {
  // The client's message
  "bad-request": { status: 400, hint: "The request is not well-formed HTTP/1.1." },
  "head-too-large": {
    status: 431,
    hint: "The request's head is beyond the bound on bytes or on the number of fields.",
  },
  "body-too-large": { status: 413, hint: "The request's body is beyond the bound." },
  "method-not-allowed": { status: 405, hint: "TRACE is refused: it would echo the request." },
  "bad-target": { status: 400, hint: "Send an absolute URL or CONNECT host:port to the proxy port." },
  "authority-mismatch": { status: 421, hint: "Host, SNI and the connection's target must name the same host." },
  "client-closed": { status: 499, hint: "The client closed the connection before the answer was complete." },
  "client-stalled": { status: 499, hint: "The client took nothing of what waited for it, for longer than the bound." },
  "request-timeout": { status: 408, hint: "The request's head, or the rest of its body, did not arrive in time." },
  "upgrade-unsupported": {
    status: 501,
    hint: "A WebSocket is opened over HTTP/1.1, which the destination does not speak.",
  },
  "not-http": { status: 400, hint: "The bytes are neither TLS nor HTTP; a granted host takes only those." },

  // Who is calling
  "proxy-auth-required": {
    status: 407,
    hint: "Set the proxy URL with the sandbox's id and token: http://ID:TOKEN@HOST:PORT.",
  },
  "too-many-logins": {
    status: 429,
    hint: "Too many wrong credentials were shown from this address; check the proxy URL and try again in a minute.",
  },
  "source-unknown": {
    status: 403,
    hint: "No sandbox is known at this source address; give it in the sandbox's sources.",
  },
  "grants-unavailable": {
    status: 503,
    hint: "The Secret API cannot be reached and no fresh enough grants are cached.",
  },

  // Where it wants to go
  "host-invalid": { status: 400, hint: "The destination is not a valid host name or address." },
  "egress-denied": { status: 403, hint: "The egress policy does not let this sandbox reach this host." },
  "address-private": {
    status: 403,
    hint: "The destination resolves to an internal address; the operator can allow it with KEYSWAP_ALLOW_PRIVATE.",
  },
  "address-own": { status: 403, hint: "The destination is keyswap itself." },
  "violation-blocked": { status: 403, hint: "A placeholder may not be substituted here, and violations are blocked." },

  // Upstream
  "dns-failed": { status: 502, hint: "The destination's name does not resolve." },
  "dns-timeout": { status: 504, hint: "The destination's name was not resolved in time." },
  "connect-refused": { status: 502, hint: "The destination refuses connections on this port." },
  "connect-failed": { status: 502, hint: "The connection to the destination could not be made." },
  "connect-timeout": { status: 504, hint: "The destination did not take the connection in time." },
  "parent-proxy-failed": { status: 502, hint: "The parent proxy did not open a way to the destination." },
  "upstream-certificate": {
    status: 502,
    hint: "The destination's certificate does not verify; add its CA with KEYSWAP_UPSTREAM_CA if it is yours.",
  },
  "upstream-tls": { status: 502, hint: "The TLS handshake with the destination failed." },
  "upstream-closed": { status: 502, hint: "The destination closed the connection before its answer was complete." },
  "upstream-malformed": { status: 502, hint: "The destination's answer is not well-formed HTTP." },
  "upstream-stalled": {
    status: 504,
    hint: "The destination took nothing of what waited for it, for longer than the bound.",
  },
  "upstream-timeout": { status: 504, hint: "The destination did not answer in time." },
  "coding-unreadable": { status: 502, hint: "The answer has a content coding that cannot be scrubbed." },

  // Ourselves
  "sandbox-overloaded": {
    status: 429,
    hint: "This sandbox is at its bound of connections, new certificates or names under way; close some and try again.",
  },
  overloaded: { status: 503, hint: "The proxy is at one of its bounds; try again later." },
  "shutting-down": { status: 503, hint: "The proxy is shutting down." },
  internal: { status: 500, hint: "keyswap failed; its log says more." },
} as const satisfies Record<string, { status: number; hint: string }>;

export type ErrorCode = keyof typeof errorTable;

/**
 * A promise that was broken. `code` is stable, for programs; the message is safe to show: it never holds a value, a
 * header or a body. `detail` adds what is safe and helps (a host name, an errno).
 */
export class KeyswapError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, detail?: string, options?: { cause?: unknown }) {
    super(detail === undefined ? errorTable[code].hint : `${errorTable[code].hint} (${detail})`, options);
    this.name = "KeyswapError";
    this.code = code;
    this.detail = detail;
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}
