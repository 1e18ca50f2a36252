// An HTTP/1.1 client that sends exactly the bytes it is told to and reads answers with a reader of its own, so that the
// proxy's framing is not judged by its own code.

import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { MadeSandbox, TestKeyswap } from "./keyswap.ts";

export interface WireAnswer {
  readonly status: number;
  readonly reason: string;
  readonly version: string;
  /** As on the wire, Latin-1. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  /** 1xx that came before. */
  readonly interim: readonly WireHead[];
  /** The content of each chunk, where it was chunked. */
  readonly chunks: readonly Buffer[];
}

export interface WireHead {
  readonly status: number;
  readonly reason: string;
  readonly version: string;
  readonly fields: readonly (readonly [string, string])[];
}

export class ConnectionClosed extends Error {
  constructor(held: string) {
    super(`the connection was closed; unread: ${JSON.stringify(held.slice(0, 200))}`);
  }
}

export class WireClient {
  readonly socket: Socket;
  #parts: Buffer[] = [];
  #heldBytes = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.#parts.push(bytes);
      this.#heldBytes += bytes.length;
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
  }

  /** Strings are Latin-1. */
  send(bytes: string | Buffer): void {
    if (typeof bytes === "string") this.socket.write(bytes, "latin1");
    else this.socket.write(bytes);
  }

  /** Waits until the kernel took the bytes. */
  async sendAll(bytes: string | Buffer): Promise<void> {
    this.send(bytes);
    if (!this.socket.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.socket.off("drain", done);
        this.socket.off("close", done);
        resolve();
      };
      this.socket.on("drain", done);
      this.socket.on("close", done);
    });
  }

  /** Reads a whole answer with those 1xx that come before it. */
  async read(method = "GET"): Promise<WireAnswer> {
    const interim: WireHead[] = [];
    for (let i = 0; i < 100; i++) {
      const head = await this.readHead();
      if (head.status >= 200 || head.status === 101) return { ...(await this.readBody(head, method)), interim };
      interim.push(head);
    }
    throw new Error("too many interim answers");
  }

  /** Reads one head, interim or final. */
  async readHead(): Promise<WireHead> {
    const text = (await this.readThrough("\r\n\r\n")).toString("latin1");
    const [line = "", ...lines] = text.slice(0, -4).split("\r\n");
    const match = /^(HTTP\/1\.[01]) (\d{3}) (.*)$/.exec(line);
    if (match === null) throw new Error(`no status line: ${JSON.stringify(line)}`);
    const [, version = "", status = "", reason = ""] = match;
    return { version, status: Number(status), reason, fields: lines.map(splitField) };
  }

  async readBody(head: WireHead, method: string): Promise<Omit<WireAnswer, "interim">> {
    const done = (body: Buffer, more: Partial<WireAnswer> = {}) => ({
      ...head,
      body,
      trailers: [],
      chunks: [],
      ...more,
    });
    if (method === "HEAD" || head.status === 204 || head.status === 304) return done(Buffer.alloc(0));
    const length = fieldValue(head, "content-length");
    const coding = fieldValue(head, "transfer-encoding");
    if (length !== undefined && coding !== undefined) throw new Error("both Content-Length and Transfer-Encoding");
    if (coding !== undefined) {
      if (coding !== "chunked") throw new Error(`Transfer-Encoding: ${coding}`);
      const chunks: Buffer[] = [];
      for (let chunk = await this.readChunk(); chunk !== undefined; chunk = await this.readChunk()) chunks.push(chunk);
      return done(Buffer.concat(chunks), { chunks, trailers: await this.readTrailers() });
    }
    if (length !== undefined) return done(await this.readExactly(Number(length)));
    return done(await this.readToEnd());
  }

  /** One chunk's content; undefined for the last one. */
  async readChunk(): Promise<Buffer | undefined> {
    const line = (await this.readThrough("\r\n")).toString("latin1");
    if (!/^[0-9a-f]+\r\n$/i.test(line)) throw new Error(`no chunk size: ${JSON.stringify(line)}`);
    const size = Number.parseInt(line, 16);
    if (size === 0) return undefined;
    const content = await this.readExactly(size + 2);
    if (content.toString("latin1", size) !== "\r\n") throw new Error("no CRLF behind a chunk");
    return content.subarray(0, size);
  }

  async readTrailers(): Promise<readonly (readonly [string, string])[]> {
    const trailers: (readonly [string, string])[] = [];
    for (let i = 0; i < 100; i++) {
      const line = (await this.readThrough("\r\n")).toString("latin1").slice(0, -2);
      if (line === "") return trailers;
      trailers.push(splitField(line));
    }
    throw new Error("too many trailers");
  }

  async readThrough(delimiter: string): Promise<Buffer> {
    for (;;) {
      const held = this.#join();
      const at = held.indexOf(delimiter, 0, "latin1");
      if (at >= 0) return this.#take(at + delimiter.length);
      await this.#more();
    }
  }

  async readExactly(count: number): Promise<Buffer> {
    while (this.#heldBytes < count) await this.#more();
    return this.#take(count);
  }

  /** Everything until the other side ends its direction. */
  async readToEnd(): Promise<Buffer> {
    while (!this.#ended) await this.#more(true);
    return this.#take(this.#heldBytes);
  }

  /** Resolves when the other side has closed; what was not read comes back. */
  async closed(): Promise<string> {
    return (await this.readToEnd()).toString("latin1");
  }

  get unread(): string {
    return this.#join().toString("latin1");
  }

  get isEnded(): boolean {
    return this.#ended;
  }

  close(): void {
    this.socket.destroy();
  }

  #join(): Buffer {
    if (this.#parts.length !== 1) this.#parts = [Buffer.concat(this.#parts)];
    return this.#parts[0] ?? Buffer.alloc(0);
  }

  #take(count: number): Buffer {
    const held = this.#join();
    this.#parts = [held.subarray(count)];
    this.#heldBytes -= count;
    return held.subarray(0, count);
  }

  async #more(mayEnd = false): Promise<void> {
    if (this.#ended) {
      if (mayEnd) return;
      throw new ConnectionClosed(this.unread);
    }
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }
}

function splitField(line: string): readonly [string, string] {
  const colon = line.indexOf(": ");
  if (colon > 0) return [line.slice(0, colon), line.slice(colon + 2)];
  const bare = line.indexOf(":");
  if (bare <= 0) throw new Error(`no field: ${JSON.stringify(line)}`);
  return [line.slice(0, bare), line.slice(bare + 1).trim()];
}

/** A field's value; several are joined. `key` in lower case. */
export function fieldValue(head: Pick<WireHead, "fields">, key: string): string | undefined {
  const values = head.fields.filter(([name]) => name.toLowerCase() === key).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
}

/** The `error` of one of the proxy's own answers. */
export function errorOf(answer: Pick<WireAnswer, "body" | "fields">): string {
  const error = fieldValue(answer, "keyswap-error");
  const body = JSON.parse(answer.body.toString("utf8")) as { error: string; message: string };
  if (error === undefined || body.error !== error || body.message === "")
    throw new Error("not an error of the proxy's own");
  return error;
}

/** A plain connection to a port of this machine. */
export function dial(port: number, options: { allowHalfOpen?: boolean } = {}): Promise<WireClient> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, ...options });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(new WireClient(socket));
    });
  });
}

/** The answer to a CONNECT and the connection it came on. */
export async function askConnect(
  keyswap: Pick<TestKeyswap, "port">,
  target: string,
  credentials: string | undefined,
): Promise<{ readonly answer: WireAnswer; readonly client: WireClient }> {
  const client = await dial(keyswap.port, { allowHalfOpen: true });
  const proof = credentials === undefined ? "" : `Proxy-Authorization: ${credentials}\r\n`;
  client.send(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${proof}\r\n`);
  const head = await client.readHead();
  if (head.status === 200)
    return { answer: { ...head, body: Buffer.alloc(0), trailers: [], chunks: [], interim: [] }, client };
  return { answer: { ...(await client.readBody(head, "GET")), interim: [] }, client };
}

/** A way opened by CONNECT, nothing said in it yet. */
export async function openWay(keyswap: TestKeyswap, sandbox: MadeSandbox, target: string): Promise<WireClient> {
  const { answer, client } = await askConnect(keyswap, target, sandbox.credentials);
  if (answer.status !== 200) throw new Error(`CONNECT: ${answer.status} ${answer.body}`);
  return client;
}

/** TLS on a way that is open. Rejects where the handshake fails. */
export function secure(
  way: WireClient,
  options: {
    readonly ca: string;
    /** Empty: none is sent. */
    readonly serverName: string;
    /** Where none is sent: the name that the certificate has to be for. */
    readonly checkedName?: string;
    readonly alpn?: string[];
  },
): Promise<WireClient> {
  return new Promise((resolve, reject) => {
    way.socket.removeAllListeners("data");
    const socket = connectTls({
      socket: way.socket,
      ca: options.ca,
      servername: options.serverName,
      ...(options.checkedName === undefined ? {} : { host: options.checkedName }),
      ...(options.alpn === undefined ? {} : { ALPNProtocols: options.alpn }),
    });
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed in the handshake")));
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      resolve(new WireClient(socket));
    });
  });
}

/** An intercepted TLS connection to `host:port` through the proxy. */
export async function connectThrough(
  keyswap: TestKeyswap,
  sandbox: MadeSandbox,
  host: string,
  port: number,
): Promise<WireClient> {
  const way = await openWay(keyswap, sandbox, `${host}:${port}`);
  return secure(way, { ca: keyswap.caPem, serverName: host });
}
