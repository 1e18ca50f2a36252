// The benchmark's client: as little work as possible for each request, so that the proxy is what is measured.

import { connect as connectTcp, type Socket } from "node:net";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { hostName } from "./scenario.ts";

/** Where requests go: to the origin itself, to a server in its place, or through a proxy. */
export interface Target {
  readonly port: number;
  readonly context: SecureContext;
  /** Through CONNECT, with this Proxy-Authorization; else the port speaks TLS for the host. */
  readonly proxyAuthorization?: string;
  readonly originPort: number;
  readonly placeholder: string;
  /** Substitutes in bodies, too. */
  readonly writesBodies: boolean;
}

export function trust(ca: string): SecureContext {
  return createSecureContext({ ca });
}

const headEnd = Buffer.from("\r\n\r\n", "latin1");

/** One connection, one request at a time. */
export class Connection {
  readonly #socket: TLSSocket;
  #waiting: ((answer: Buffer | undefined) => void) | undefined;
  #parts: Buffer[] = [];
  #missing = 0;
  #bodyBytes = 0;
  #headSeen = false;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("close", () => this.#waiting?.(undefined));
  }

  static async open(target: Target): Promise<Connection> {
    const plain = connectTcp({ host: "127.0.0.1", port: target.port, noDelay: true });
    await new Promise<void>((resolve, reject) => plain.once("connect", resolve).once("error", reject));
    if (target.proxyAuthorization !== undefined) await throughProxy(plain, target);
    const socket = connect({
      socket: plain,
      secureContext: target.context,
      servername: hostName,
      ALPNProtocols: ["http/1.1"],
    });
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    socket.on("error", () => {});
    return new Connection(socket);
  }

  /** Sends what it is given, in order, and answers with the first bytes of the answer's body. Throws where none comes. */
  async exchange(head: string, body: readonly Buffer[] = []): Promise<Buffer> {
    const answered = new Promise<Buffer | undefined>((resolve) => {
      this.#waiting = resolve;
    });
    if (body.length === 1) this.#socket.write(Buffer.concat([Buffer.from(head, "latin1"), ...body]));
    else this.#socket.write(head, "latin1");
    if (body.length > 1) {
      for (const part of body) {
        if (!this.#socket.write(part)) await new Promise((resolve) => this.#socket.once("drain", resolve));
      }
    }
    const answer = await answered;
    if (answer === undefined) throw new Error("the connection closed without an answer");
    return answer;
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    if (this.#headSeen) {
      this.#missing -= bytes.length;
      // Long answers are counted, not kept.
      if (this.#bodyBytes < 4096) this.#parts.push(bytes);
      this.#bodyBytes += bytes.length;
    } else {
      const all = this.#parts.length === 0 ? bytes : Buffer.concat([...this.#parts, bytes]);
      const end = all.indexOf(headEnd);
      if (end < 0) {
        this.#parts = [all];
        return;
      }
      const length = /content-length: *(\d+)/i.exec(all.toString("latin1", 0, end))?.[1];
      if (!all.toString("latin1", 0, 12).endsWith(" 200") || length === undefined) {
        throw new Error(`an answer that was not expected: ${all.toString("latin1", 0, end)}`);
      }
      const body = all.subarray(end + headEnd.length);
      this.#headSeen = true;
      this.#missing = Number(length) - body.length;
      this.#bodyBytes = body.length;
      this.#parts = [all];
    }
    if (this.#missing > 0) return;
    const answer = Buffer.concat(this.#parts);
    this.#headSeen = false;
    this.#parts = [];
    this.#waiting?.(answer);
  }
}

/** Asks for a way to the origin by this name. */
export async function throughProxy(socket: Socket, target: Target, host = hostName): Promise<void> {
  const authority = `${host}:${target.originPort}`;
  socket.write(
    `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${target.proxyAuthorization}\r\n\r\n`,
  );
  const answer = await new Promise<Buffer>((resolve, reject) => socket.once("data", resolve).once("error", reject));
  if (!answer.toString("latin1", 0, 12).endsWith(" 200"))
    throw new Error(`CONNECT was refused: ${answer.toString("latin1")}`);
}
