// Reads a TLS ClientHello (RFC 8446 section 4.1.2) before anything answers it: which name does the client ask for, which
// protocols does it offer? Only what is needed to decide; OpenSSL judges the rest.

export type ClientHello =
  | {
      readonly kind: "hello";
      /** SNI as sent (RFC 6066), not canonical; undefined without one. ECH extensions are ignored: the outer name counts. */
      readonly serverName: string | undefined;
      /** ALPN protocols in the client's order (RFC 7301), Latin-1. */
      readonly alpn: readonly string[];
    }
  | { readonly kind: "incomplete" }
  | { readonly kind: "not-tls" }
  | { readonly kind: "malformed"; readonly detail: string };

/** A ClientHello longer than this is refused; post-quantum key shares take a few KiB. */
export const maxClientHelloBytes = 64 * 1024;

/** Whether these first bytes of a connection open a TLS handshake record. */
export function startsLikeTls(bytes: Buffer): boolean {
  return bytes.length > 0 && bytes[0] === HANDSHAKE_RECORD && (bytes.length < 2 || bytes[1] === TLS_MAJOR);
}

/** Parses what has arrived so far, from the connection's first byte. The message may be spread over several records. */
export function parseClientHello(bytes: Buffer): ClientHello {
  if (!startsLikeTls(bytes)) return bytes.length === 0 ? INCOMPLETE : { kind: "not-tls" };
  const parts: Buffer[] = [];
  let gathered = 0;
  let wanted = HANDSHAKE_HEADER_BYTES;
  for (let pos = 0; gathered < wanted; ) {
    if (pos + RECORD_HEADER_BYTES > bytes.length) return pending(bytes);
    if (bytes[pos] !== HANDSHAKE_RECORD || bytes[pos + 1] !== TLS_MAJOR) return malformed("record header");
    const length = bytes.readUInt16BE(pos + 3);
    if (length === 0 || length > MAX_RECORD_BYTES) return malformed("record length");
    if (parts.length === MAX_RECORDS) return malformed("too many records");
    const end = Math.min(bytes.length, pos + RECORD_HEADER_BYTES + length);
    const part = bytes.subarray(pos + RECORD_HEADER_BYTES, end);
    parts.push(part);
    gathered += part.length;
    if (wanted === HANDSHAKE_HEADER_BYTES && gathered >= HANDSHAKE_HEADER_BYTES) {
      const header = parts.length === 1 ? part : Buffer.concat(parts);
      if (header[0] !== CLIENT_HELLO) return malformed("not a ClientHello");
      wanted = HANDSHAKE_HEADER_BYTES + header.readUIntBE(1, 3);
      if (wanted > maxClientHelloBytes) return malformed("ClientHello too large");
    }
    if (end < pos + RECORD_HEADER_BYTES + length) {
      if (gathered < wanted) return pending(bytes);
      break;
    }
    pos = end;
  }
  const message = parts.length === 1 ? parts[0] : Buffer.concat(parts);
  if (message === undefined) return INCOMPLETE;
  return readHello(new Reader(message.subarray(HANDSHAKE_HEADER_BYTES, wanted)));
}

/**
 * A fatal unrecognized_name alert in plaintext (RFC 8446 section 6, RFC 6066 section 3): the answer to a wrong SNI before
 * anything is minted for it.
 */
export const unrecognizedNameAlert: Uint8Array = Uint8Array.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70);

/** A fatal internal_error alert: no certificate can be had, which is no fault of the ClientHello. */
export const internalErrorAlert: Uint8Array = Uint8Array.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x50);

/** A fatal access_denied alert: the destination may not be reached. */
export const accessDeniedAlert: Uint8Array = Uint8Array.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x31);

const HANDSHAKE_RECORD = 0x16;
const TLS_MAJOR = 0x03;
const CLIENT_HELLO = 0x01;
const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
// RFC 8446 section 5.1: 2^14; older stacks may add a little.
const MAX_RECORD_BYTES = 16 * 1024 + 256;
/** Every call reads from the first byte again: a message cut into tiny records must not make that long work. */
const MAX_RECORDS = 64;
const SERVER_NAME = 0;
const ALPN = 16;
const HOST_NAME = 0;
const INCOMPLETE: ClientHello = { kind: "incomplete" };

function pending(bytes: Buffer): ClientHello {
  return bytes.length > maxClientHelloBytes ? malformed("ClientHello too large") : INCOMPLETE;
}

function malformed(detail: string): ClientHello {
  return { kind: "malformed", detail };
}

function readHello(hello: Reader): ClientHello {
  hello.skip(2 + 32); // legacy_version, random
  hello.vector(1); // legacy_session_id
  hello.vector(2); // cipher_suites
  hello.vector(1); // legacy_compression_methods
  let serverName: string | undefined;
  const alpn: string[] = [];
  const seen = new Set<number>();
  const extensions = hello.atEnd ? new Reader(Buffer.alloc(0)) : hello.vector(2);
  while (!extensions.atEnd && !extensions.broken) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    // RFC 8446 section 4.2: a second extension of one type is illegal; which one counts would be ambiguous.
    if (seen.has(type)) return malformed("duplicate extension");
    seen.add(type);
    if (type === SERVER_NAME) {
      const names = body.vector(2);
      while (!names.atEnd && !names.broken) {
        const nameType = names.number(1);
        const name = names.vector(2);
        if (nameType !== HOST_NAME || serverName !== undefined) return malformed("server_name");
        serverName = name.rest();
      }
      if (names.broken || !body.atEnd || serverName === undefined || serverName === "") return malformed("server_name");
    } else if (type === ALPN) {
      const list = body.vector(2);
      while (!list.atEnd && !list.broken) alpn.push(list.vector(1).rest());
      if (list.broken || !body.atEnd) return malformed("alpn");
    }
    if (body.broken) return malformed("extension");
  }
  if (hello.broken || !hello.atEnd || extensions.broken) return malformed("ClientHello");
  return { kind: "hello", serverName, alpn };
}

/** Reads forward; past the end it turns `broken` and answers zeros. */
class Reader {
  broken = false;
  readonly #bytes: Buffer;
  #pos = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#pos >= this.#bytes.length;
  }

  skip(count: number): void {
    this.#pos += count;
    if (this.#pos > this.#bytes.length) this.broken = true;
  }

  number(size: 1 | 2): number {
    if (this.#pos + size > this.#bytes.length) {
      this.broken = true;
      this.#pos = this.#bytes.length;
      return 0;
    }
    const value = this.#bytes.readUIntBE(this.#pos, size);
    this.#pos += size;
    return value;
  }

  /** A vector with a length prefix of `size` bytes. */
  vector(size: 1 | 2): Reader {
    const length = this.number(size);
    const start = this.#pos;
    this.skip(length);
    const inner = new Reader(this.#bytes.subarray(start, start + length));
    inner.broken = this.broken;
    return inner;
  }

  rest(): string {
    return this.#bytes.toString("latin1");
  }
}
