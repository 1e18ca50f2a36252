// Connections of strangers: so many may be open at a time, on every port that strangers can reach.

/** As much of a socket as is used here. */
export interface Connection {
  destroy(): unknown;
  once(event: "close", listener: () => void): unknown;
}

/**
 * Connections of which nobody knows yet whose they are: no whole request, a handshake that is half done. Where there are
 * too many, the oldest goes: it had the longest to speak, and a crowd that keeps silent pushes out only itself.
 */
export class Newcomers {
  readonly #max: number;
  /** In the order in which they came. */
  readonly #waiting = new Set<Connection>();
  /** The TCP socket under a TLS one. */
  readonly #under = new WeakMap<Connection, Connection>();

  constructor(max: number) {
    this.#max = max;
  }

  add(socket: Connection): void {
    this.#waiting.add(socket);
    socket.once("close", () => this.#waiting.delete(socket));
    if (this.#waiting.size <= this.#max) return;
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#waiting.delete(oldest);
    oldest.destroy();
  }

  /** `secure` is the same connection, opened up. */
  wrap(socket: Connection, secure: Connection): void {
    this.#under.set(secure, socket);
  }

  /** It is known whose this is. */
  settle(socket: Connection): void {
    this.#waiting.delete(this.#under.get(socket) ?? socket);
  }

  get size(): number {
    return this.#waiting.size;
  }
}
