// A TCP relay in front of a server, for cutting connections that neither end wants to close.

import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class Relay {
  /** While false, connections are closed as they come. */
  isOpen = true;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(port: number) {
    this.#server = createServer((client) => {
      client.on("error", () => {});
      if (!this.isOpen) {
        client.destroy();
        return;
      }
      const server = connect(port, "127.0.0.1");
      for (const [here, there] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(here);
        here.on("error", () => there.destroy());
        here.on("close", () => {
          this.#sockets.delete(here);
          there.destroy();
        });
        here.pipe(there);
      }
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    // A TCP server has an address object.
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends all connections and lets none in. */
  cut(): void {
    this.isOpen = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
