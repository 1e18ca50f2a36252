// A load balancer's connection: its PROXY protocol header comes first and names the client. Without one the connection
// goes nowhere, because its client would pass for the balancer.

import type { Socket } from "node:net";
import { parseProxyHeader } from "../core/wire/proxy-protocol.ts";
import type { Timed } from "./deadlines.ts";
import type { Services } from "./services.ts";

export class BalancerGate implements Timed {
  deadlineAt: number;
  readonly #services: Services;
  readonly #socket: Socket;
  readonly #then: (source: string | undefined) => void;
  readonly #onFault: (detail: string) => void;
  #held: Buffer | undefined;
  readonly #onData = (bytes: Buffer): void => this.#take(bytes);
  readonly #onEnd = (): void => {
    this.#socket.end();
  };
  readonly #onClose = (): void => this.#stop();

  /** `then` gets the client's address, or undefined where the balancer speaks for itself; the socket is paused. */
  constructor(
    services: Services,
    socket: Socket,
    then: (source: string | undefined) => void,
    onFault: (detail: string) => void,
  ) {
    this.#services = services;
    this.#socket = socket;
    this.#then = then;
    this.#onFault = onFault;
    this.deadlineAt = services.clock() + services.options.limits.headTimeoutMs;
    services.deadlines.add(this);
    socket.on("close", this.#onClose);
    socket.on("end", this.#onEnd);
    socket.on("data", this.#onData);
  }

  onDeadline(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    const held = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = held;
    const header = parseProxyHeader(held);
    if (header.kind === "incomplete") return;
    this.#stop();
    this.#socket.pause();
    if (header.kind === "malformed") {
      this.#socket.destroy();
      this.#onFault(header.detail);
      return;
    }
    if (held.length > header.length) this.#socket.unshift(held.subarray(header.length));
    this.#then(header.source);
  }

  #stop(): void {
    this.#services.deadlines.delete(this);
    this.#socket.off("data", this.#onData);
    this.#socket.off("end", this.#onEnd);
    this.#socket.off("close", this.#onClose);
  }
}
