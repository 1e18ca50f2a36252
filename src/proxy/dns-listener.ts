// A DNS server for sandboxes that are steered by DNS: every name has the gateway's addresses, and nothing is ever
// forwarded, so names cannot carry data out. Other types of records have no answer: no HTTPS record leads to QUIC or ECH.

import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIP, type Server, type Socket } from "node:net";
import { type Answer, decode, encode, type Packet } from "dns-packet";
import type { ListenAddress, Logger } from "./options.ts";

export interface DnsListenerOptions {
  readonly listen: ListenAddress;
  /** The gateway's, IPv4 and IPv6: a family without one has no answer. */
  readonly addresses: readonly string[];
  readonly logger: Logger;
}

/** Short: a gateway may move. In seconds. */
const ttl = 60;
const tcpIdleMs = 10_000;
const maxTcpConnections = 256;
/** A query has one question: a name of 255 bytes and a little around it. */
const maxQueryBytes = 1024;
const headerBytes = 12;
const formatError = 1;
const notImplemented = 4;
const refusedCode = 5;
const authoritative = 1 << 10;
const recursionDesired = 1 << 8;
const recursionAvailable = 1 << 7;
const opcodeMask = 0x7800;

/** The answer to one message; undefined where it deserves none. Never throws. */
export function answerQuery(bytes: Buffer, addresses: readonly string[]): Buffer | undefined {
  if (bytes.length < headerBytes || bytes.length > maxQueryBytes) return undefined;
  // Answers are never answered: two servers could keep each other busy.
  if ((bytes.readUInt16BE(2) & 0x8000) !== 0) return undefined;
  const id = bytes.readUInt16BE(0);
  const flags = (bytes.readUInt16BE(2) & recursionDesired) | recursionAvailable;
  const fail = (code: number): Buffer => encode({ type: "response", id, flags: flags | code, questions: [] });
  if ((bytes.readUInt16BE(2) & opcodeMask) !== 0) return fail(notImplemented);
  try {
    const query: Packet = decode(bytes);
    const [question, ...others] = query.questions ?? [];
    if (question === undefined || others.length > 0) return fail(formatError);
    if (question.class !== undefined && question.class !== "IN") return fail(refusedCode);
    const answers = addresses.flatMap((data): Answer[] => {
      const type = isIP(data) === 6 ? "AAAA" : "A";
      return type === question.type ? [{ type, name: question.name, ttl, data }] : [];
    });
    return encode({ type: "response", id, flags: flags | authoritative, questions: [question], answers });
  } catch {
    return fail(formatError);
  }
}

export class DnsListener {
  /** `host:port`. */
  readonly address: string;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #sockets: ReadonlySet<Socket>;

  private constructor(address: string, udp: UdpSocket, tcp: Server, sockets: ReadonlySet<Socket>) {
    this.address = address;
    this.#udp = udp;
    this.#tcp = tcp;
    this.#sockets = sockets;
  }

  /** Over UDP and TCP on one port. Rejects with Node's listen error. */
  static async open({ listen, addresses, logger }: DnsListenerOptions): Promise<DnsListener> {
    const { host } = listen;
    const sockets = new Set<Socket>();
    const tcp = createServer({ noDelay: true }, (socket) => serveTcp(socket, addresses, sockets));
    tcp.maxConnections = maxTcpConnections;
    tcp.listen({ host, port: listen.port });
    await once(tcp, "listening");
    const bound = tcp.address();
    if (bound === null || typeof bound === "string") throw new Error("no address");
    const udp = createSocket(bound.family === "IPv6" ? "udp6" : "udp4");
    udp.on("message", (bytes: Buffer, peer: RemoteInfo) => {
      const answer = answerQuery(bytes, addresses);
      // Who cannot be answered asks again.
      if (answer !== undefined) udp.send(answer, peer.port, peer.address, () => {});
    });
    try {
      udp.bind({ address: bound.address, port: bound.port });
      await once(udp, "listening");
    } catch (error) {
      tcp.close();
      throw error;
    }
    const report = (error: Error) => logger.error({ err: error.message }, "DNS listener failed");
    tcp.on("error", report);
    udp.on("error", report);
    const name = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
    return new DnsListener(`${name}:${bound.port}`, udp, tcp, sockets);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([
      new Promise<void>((resolve) => this.#udp.close(() => resolve())),
      new Promise<void>((resolve) => this.#tcp.close(() => resolve())),
    ]);
  }
}

/** Messages with two bytes of length before each (RFC 7766), one after the other. */
function serveTcp(socket: Socket, addresses: readonly string[], sockets: Set<Socket>): void {
  socket.on("error", () => socket.destroy());
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
  socket.setTimeout(tcpIdleMs, () => socket.destroy());
  let held: Buffer = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => {
    held = Buffer.concat([held, bytes]);
    while (held.length >= 2) {
      const length = held.readUInt16BE(0);
      if (length > maxQueryBytes) {
        socket.destroy();
        return;
      }
      if (held.length < 2 + length) return;
      const answer = answerQuery(held.subarray(2, 2 + length), addresses);
      held = held.subarray(2 + length);
      // Whoever asks without reading the answers has to go.
      if (answer === undefined || socket.writableNeedDrain) {
        socket.destroy();
        return;
      }
      socket.write(Buffer.concat([Buffer.of(answer.length >> 8, answer.length & 0xff), answer]));
    }
  });
}
