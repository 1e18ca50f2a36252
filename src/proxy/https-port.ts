// TLS to the proxy itself (`https://` proxy URLs): a configured certificate, or a leaf for the name that the client asks
// for; without a name, for the address that it reached.

import type { Socket } from "node:net";
import { type SecureContext, TLSSocket, type TLSSocketOptions } from "node:tls";
import { Allowance } from "../core/allowance.ts";
import { parseWireHost } from "../core/authority/host.ts";
import type { ErrorCode } from "../core/errors.ts";
import { unrecognizedNameAlert } from "../core/wire/client-hello.ts";
import type { Connections } from "./connections.ts";
import { endWith } from "./farewell.ts";
import { FirstBytesReader } from "./first-bytes.ts";
import type { Services } from "./services.ts";

const bulkBytes = 256 * 1024;

export class HttpsPort {
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #minting: Allowance;

  constructor(services: Services, connections: Connections) {
    this.#services = services;
    this.#connections = connections;
    this.#minting = new Allowance({ burst: maxMintsAtOnce, perSecond: mintsPerSecond, clock: services.clock });
  }

  /** Takes the socket over; `then` gets the inside of the TLS connection, which may still fail its handshake. */
  secure(socket: Socket, rest: Buffer, then: (secure: TLSSocket) => void): void {
    new FirstBytesReader(this.#services, socket, rest, (first) => {
      if (first.kind !== "tls") {
        this.#refuse(socket, "bad-request", "TLS");
        return;
      }
      const context = this.#contextFor(first.hello.serverName, socket);
      if (context === undefined || socket.destroyed) return;
      socket.unshift(first.seen);
      const secure = new TLSSocket(socket, {
        isServer: true,
        secureContext: context,
        ALPNProtocols: ["http/1.1"],
        allowHalfOpen: true,
        highWaterMark: bulkBytes,
      } as TLSSocketOptions);
      secure.on("error", () => secure.destroy());
      // A failed TLS record after the handshake is only told by this event unless a tls.Server owns the socket.
      secure.on("_tlsError", () => secure.destroy());
      then(secure);
    });
  }

  /** Undefined where it was refused. */
  #contextFor(serverName: string | undefined, socket: Socket): SecureContext | undefined {
    const { proxyCertificate } = this.#services;
    const { leaves } = this.#services.parts;
    if (proxyCertificate !== undefined) return proxyCertificate;
    const parsed = parseWireHost(serverName ?? socket.localAddress ?? "");
    if (parsed.kind === "invalid") {
      endWith(socket, unrecognizedNameAlert);
      this.#refuse(undefined, "host-invalid", "SNI");
      return undefined;
    }
    // Nobody has shown a token yet: strangers must not have us mint without end.
    const cached = leaves.cached(parsed.host);
    if (cached !== undefined) return cached;
    if (!this.#minting.take()) {
      this.#refuse(socket, "overloaded", "certificates for the proxy's name");
      return undefined;
    }
    try {
      return leaves.contextFor(parsed.host);
    } catch (error) {
      this.#services.logger.error({ err: error instanceof Error ? error.message : "unknown" }, "minting failed");
      this.#refuse(socket, "internal", undefined);
      return undefined;
    }
  }

  #refuse(socket: Socket | undefined, code: ErrorCode, detail: string | undefined): void {
    this.#connections.recordRefusal("connect", undefined, undefined, code, detail);
    socket?.destroy();
  }
}

const maxMintsAtOnce = 100;
const mintsPerSecond = 10;
