// A connection on the proxy port: its first byte says whether it is an HTTP proxy's, a SOCKS5 proxy's, or TLS to the proxy
// itself, inside of which it is one of the other two.

import type { Socket } from "node:net";
import { startsLikeTls } from "../core/wire/client-hello.ts";
import { socksVersion } from "../core/wire/socks5.ts";
import type { Connections } from "./connections.ts";
import type { Timed } from "./deadlines.ts";
import type { HttpsPort } from "./https-port.ts";
import { ProxyPort } from "./proxy-port.ts";
import type { Services } from "./services.ts";
import { SocksPort } from "./socks-port.ts";

export class Front implements Timed {
  deadlineAt: number;
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #socket: Socket;
  readonly #https: HttpsPort | undefined;
  readonly #address: string;
  readonly #onData = (bytes: Buffer): void => this.#look(bytes);
  readonly #onEnd = (): void => {
    this.#socket.end();
  };
  readonly #onClose = (): void => this.#stop();

  /** Takes the socket over. `address` is the client's. Without `https` TLS is not taken. */
  constructor(
    services: Services,
    connections: Connections,
    socket: Socket,
    address: string,
    https: HttpsPort | undefined,
  ) {
    this.#services = services;
    this.#connections = connections;
    this.#socket = socket;
    this.#https = https;
    this.#address = address;
    this.deadlineAt = services.clock() + services.options.limits.headTimeoutMs;
    services.deadlines.add(this);
    socket.on("close", this.#onClose);
    socket.on("end", this.#onEnd);
    socket.on("data", this.#onData);
    socket.resume();
  }

  onDeadline(): void {
    this.#socket.destroy();
  }

  #look(bytes: Buffer): void {
    this.#stop();
    const socket = this.#socket;
    if (this.#https !== undefined && startsLikeTls(bytes)) {
      this.#https.secure(socket, bytes, (secure) => {
        this.#services.newcomers.wrap(socket, secure);
        new Front(this.#services, this.#connections, secure, this.#address, undefined);
      });
      return;
    }
    socket.pause();
    socket.unshift(bytes);
    if (bytes[0] === socksVersion) new SocksPort(this.#services, this.#connections, socket, this.#address);
    else new ProxyPort(this.#services, this.#connections, socket, this.#address);
  }

  #stop(): void {
    this.#services.deadlines.delete(this);
    this.#socket.off("data", this.#onData);
    this.#socket.off("end", this.#onEnd);
    this.#socket.off("close", this.#onClose);
  }
}
